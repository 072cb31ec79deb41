package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gannet/client"
)

// The protocol's longest value and TTL.
const (
	maxValueBytes = 1 << 20
	maxTTLSeconds = int(client.MaxTTL / time.Second)
)

// The headers of a PUT that are not HTTP's.
const (
	ttlHeader     = "X-TTL-Seconds"
	softTTLHeader = "X-Soft-TTL-Seconds"
)

// put answers PUT. Everything is checked before the body is read: a sender who
// waits for 100 Continue keeps what would be refused.
func (g *Gateway) put(w http.ResponseWriter, r *http.Request, key string) error {
	match, none, err := putConditions(r.Header)
	if err != nil {
		return err
	}
	options, err := putOptions(r.Header)
	if err != nil {
		return err
	}
	if err := plainBody(r.Header); err != nil {
		return err
	}
	limitBytes, err := g.limit(r.Context())
	if err != nil {
		return err
	}
	value, err := readBody(r, limitBytes)
	if err != nil {
		return err
	}
	g.metrics.receivedBytes.Add(float64(len(value)))
	version, err := g.store(r.Context(), key, value, &match, &none, options)
	if err != nil {
		return err
	}
	setVersion(w.Header(), version)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(putStatus(&none))
	return nil
}

// limit is the longest value that the node takes, or that the protocol does if the
// node says more.
func (g *Gateway) limit(ctx context.Context) (bytes int, err error) {
	limits, err := g.cache.Limits(ctx)
	return max(1, min(limits.MaxValueBytes, maxValueBytes)), err
}

// putStatus is Created where that is known. A plain PUT does not learn whether
// there was an item before.
func putStatus(none *condition) int {
	if none.any {
		return http.StatusCreated
	}
	return http.StatusNoContent
}

// putConditions reads the preconditions and refuses those that one operation of
// the protocol cannot check.
func putConditions(h http.Header) (match, none condition, err error) {
	match, none, err = conditions(h)
	switch {
	case err != nil:
	case match.given && none.given:
		err = problemBadRequest("If-Match and If-None-Match exclude each other in a PUT; send one of them")
	case none.given && !none.any:
		err = problemCondition("a PUT takes If-None-Match: * (store if absent), but no versions with it")
	}
	return match, none, err
}

func problemCondition(detail string) *problem {
	return newProblem(http.StatusNotImplemented, "unsupported-condition", detail)
}

// putOptions reads the times to live.
func putOptions(h http.Header) ([]client.WriteOption, error) {
	ttlSeconds, err := secondsHeader(h, ttlHeader)
	if err != nil {
		return nil, err
	}
	softSeconds, err := secondsHeader(h, softTTLHeader)
	if err != nil {
		return nil, err
	}
	if ttlSeconds != 0 && softSeconds >= ttlSeconds {
		return nil, problemBadRequest(softTTLHeader + " is not below " + ttlHeader + "; an item goes stale before it expires")
	}
	return []client.WriteOption{
		client.WithTTL(time.Duration(ttlSeconds) * time.Second),
		client.WithSoftTTL(time.Duration(softSeconds) * time.Second),
	}, nil
}

// secondsHeader reads a number of seconds; 0 when it is not there.
func secondsHeader(h http.Header, name string) (int, error) {
	fields := h.Values(name)
	if len(fields) == 0 {
		return 0, nil
	}
	text := strings.Trim(fields[0], " \t")
	n, err := strconv.Atoi(text)
	if len(fields) > 1 || err != nil || n < 1 || n > maxTTLSeconds || text[0] == '+' {
		return 0, problemBadRequest(fmt.Sprintf("%s takes one whole number from 1 to %d; leave it out for an item that does not expire", name, maxTTLSeconds))
	}
	return n, nil
}

// plainBody refuses bodies that are not the value as it is to be stored.
func plainBody(h http.Header) error {
	if h.Get("Content-Range") != "" {
		return problemBadRequest("values are stored whole; send no Content-Range")
	}
	for _, coding := range h.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return newProblem(http.StatusUnsupportedMediaType, "content-encoding",
				"Content-Encoding is not kept with the value; send the value without, or store it compressed and say so elsewhere")
		}
	}
	return nil
}

// readBody reads a whole body of at most limitBytes. A body that is cut short is an
// error, so that no beginning is stored as if it were the value.
func readBody(r *http.Request, limitBytes int) ([]byte, error) {
	if r.ContentLength > int64(limitBytes) {
		return nil, problemTooLarge(limitBytes)
	}
	if r.ContentLength >= 0 {
		body := make([]byte, r.ContentLength)
		_, err := io.ReadFull(r.Body, body)
		return body, bodyError(err)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limitBytes)+1))
	if err == nil && len(body) > limitBytes {
		return nil, problemTooLarge(limitBytes)
	}
	return body, bodyError(err)
}

func problemTooLarge(limitBytes int) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, "too-large",
		fmt.Sprintf("the body is longer than the %d bytes taken here; split the value", limitBytes))
}

func bodyError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{
			status: http.StatusRequestTimeout, code: "body-timeout",
			detail: fmt.Sprintf("the body did not arrive within %v", readLongest), cause: err,
		}
	}
	return &problem{status: http.StatusBadRequest, code: "body-cut", detail: "the body ended early or is malformed", cause: err}
}

// store carries out the one operation that the preconditions ask for.
func (g *Gateway) store(ctx context.Context, key string, value []byte, match, none *condition, options []client.WriteOption) (client.Version, error) {
	switch {
	case none.any:
		return g.cache.Add(ctx, key, value, options...)
	case match.any:
		version, err := g.cache.Replace(ctx, key, value, options...)
		return version, unmet(err)
	case match.given:
		return g.swap(ctx, key, value, match, options)
	}
	return g.cache.Put(ctx, key, value, options...)
}

// swap stores over one of the versions given. Which one is there has to be asked
// when there are several; the swap itself makes sure that it still is.
func (g *Gateway) swap(ctx context.Context, key string, value []byte, match *condition, options []client.WriteOption) (client.Version, error) {
	versions := match.versions()
	if len(versions) > 1 {
		item, err := g.cache.Get(ctx, key, client.MetadataOnly())
		if err != nil {
			return 0, unmet(err)
		}
		if !slices.Contains(versions, item.Version) {
			return 0, client.ErrVersion
		}
		versions = []client.Version{item.Version}
	}
	if len(versions) == 0 { // weak tags, or none that we ever gave out
		return 0, client.ErrVersion
	}
	version, err := g.cache.CompareAndSwap(ctx, key, value, versions[0], options...)
	return version, unmet(err)
}

// unmet makes an absent item what it is under If-Match: a precondition that failed.
func unmet(err error) error {
	if errors.Is(err, client.ErrNotFound) || errors.Is(err, client.ErrMiss) {
		return &problem{
			status: http.StatusPreconditionFailed, code: "absent",
			detail: "the key is not in the cache, so no version matches; put it without If-Match", cause: err,
		}
	}
	return err
}

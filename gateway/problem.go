package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"gannet/client"
)

// problemType prefixes a problem's code to make its type, a URI by RFC 9457.
const problemType = "urn:gannet:problem:"

// statusClientGone is what the metrics say of a request whose sender has left. No
// one receives it.
const statusClientGone = 499

// retryAfterSeconds is the wait named to those who should come back: about what a
// node's restart takes.
const retryAfterSeconds = 1

// problem is a request that was not carried out, and why.
type problem struct {
	status int
	code   string // enumerated in docs/rest.md; the counter's label
	detail string // for a person; names no key and no address
	retry  bool   // the same request may succeed later
	allow  string // methods, with 405
	cause  error  // for the log, may be nil
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.code + ": " + p.cause.Error()
	}
	return p.code + ": " + p.detail
}

func (p *problem) Unwrap() error { return p.cause }

func newProblem(status int, code, detail string) *problem {
	return &problem{status: status, code: code, detail: detail}
}

func problemBadRequest(detail string) *problem {
	return newProblem(http.StatusBadRequest, "bad-request", detail)
}

func problemNoRoute() *problem {
	return newProblem(http.StatusNotFound, "no-such-path", "there are /v1/key/{key} and /v1/keys")
}

func problemMethod(allow string) *problem {
	p := newProblem(http.StatusMethodNotAllowed, "method-not-allowed", "this path takes "+allow)
	p.allow = allow
	return p
}

func problemBusy() *problem {
	p := newProblem(http.StatusServiceUnavailable, "gateway-busy", "the gateway serves as many requests as it may; try again")
	p.retry = true
	return p
}

// fromCache translates the client's errors. The first that fits counts, so what
// says more comes before what says less.
var fromCache = []struct {
	err    error
	status int
	code   string
	retry  bool
	detail string
}{
	{client.ErrMiss, http.StatusNotFound, "not-found", false, "the key is not in the cache; load the value from its source and put it"},
	{client.ErrNotFound, http.StatusNotFound, "not-found", false, "the key is not in the cache"},
	{client.ErrExists, http.StatusPreconditionFailed, "exists", false, "the key is in the cache already"},
	{client.ErrVersion, http.StatusPreconditionFailed, "version-mismatch", false, "the item has another version by now; get it again and retry with the new one"},
	{client.ErrTooLarge, http.StatusRequestEntityTooLarge, "too-large", false, "the value is longer than the node takes"},
	{client.ErrForbidden, http.StatusForbidden, "forbidden", false, "the node forbids this operation to the gateway; check its allow-list and roles"},
	{client.ErrUnsupported, http.StatusNotImplemented, "unsupported", false, "the node does not support this operation; upgrade it"},
	{client.ErrNoMemory, http.StatusInsufficientStorage, "no-memory", false, "the node has no room for the item; give it more memory or store less"},
	{client.ErrOverloaded, http.StatusServiceUnavailable, "overloaded", true, "the node is overloaded and shed the request; slow down, then retry"},
	{client.ErrFenced, http.StatusServiceUnavailable, "fenced", true, "the node takes no writes at present; reads work, retry the write later"},
	{client.ErrMoved, http.StatusServiceUnavailable, "moved", true, "the key is moving to another node; retry"},
	{client.ErrOutcomeUnknown, http.StatusGatewayTimeout, "outcome-unknown", true, "no answer in time; the write may or may not have been applied: get the item to see"},
	{client.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", true, "the node is not serving; check that it runs and that --server names it"},
	{client.ErrTimeout, http.StatusGatewayTimeout, "timeout", true, "the node did not answer in time; retry, or give the gateway a longer --timeout"},
	{client.ErrClosed, http.StatusServiceUnavailable, "shutting-down", true, "the gateway is shutting down; try another"},
	{client.ErrCorrupt, http.StatusBadGateway, "corrupt", false, "the value received does not match its checksum; treat it as a miss and report it"},
	{client.ErrProtocol, http.StatusBadGateway, "protocol", false, "the node's answer makes no sense; check that gateway and node are of one version"},
	{client.ErrBadRequest, http.StatusBadRequest, "bad-request", false, "the node refused the request as malformed"},
}

// asProblem makes a problem of any error.
func asProblem(r *http.Request, err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	if errors.Is(r.Context().Err(), context.Canceled) {
		return &problem{status: statusClientGone, code: "client-gone", detail: "the request was given up by its sender", cause: err}
	}
	for i := range fromCache {
		if known := &fromCache[i]; errors.Is(err, known.err) {
			return &problem{status: known.status, code: known.code, detail: known.detail, retry: known.retry, cause: err}
		}
	}
	return &problem{status: http.StatusBadGateway, code: "failed", detail: "the gateway could not ask the node; its log says why", cause: err}
}

// document is a problem as RFC 9457 writes it.
type document struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func (p *problem) document() *document {
	title := http.StatusText(p.status)
	if p.status == statusClientGone {
		title = "Client Closed Request"
	}
	return &document{Type: problemType + p.code, Title: title, Status: p.status, Detail: p.detail}
}

// refuse writes a problem, counts it and logs what the node had to do with it.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := asProblem(r, err)
	g.metrics.problems.WithLabelValues(p.code).Inc()
	if p.status >= http.StatusInternalServerError {
		g.log.Debug("request failed", "method", methodLabel(r.Method), "code", p.code, "error", p.cause)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.retry {
		h.Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	body, _ := json.Marshal(p.document()) // strings and a number always encode
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(p.status)
	_, _ = w.Write(append(body, '\n')) // the asker has gone: nobody to tell
}

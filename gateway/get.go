package gateway

import (
	"net/http"
	"strconv"
	"time"

	"gannet/client"
)

// get answers GET and HEAD. HEAD asks for the value, too: its headers are those of
// GET, with the length.
func (g *Gateway) get(w http.ResponseWriter, r *http.Request, key string) error {
	match, none, err := conditions(r.Header)
	if err != nil {
		return err
	}
	item, err := g.cache.Get(r.Context(), key)
	g.metrics.countRead(err)
	if err != nil {
		return err
	}
	if match.given && !match.strongly(item.Version) {
		return client.ErrVersion
	}
	describe(w.Header(), &item)
	if none.given && none.weakly(item.Version) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(item.Value)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	sent, _ := w.Write(item.Value) // the asker has gone: nobody to tell
	g.metrics.sentBytes.Add(float64(sent))
	return nil
}

// describe says about an item what is not its value.
//
// HTTP caches count an answer's age from Age and its life by max-age, both from the
// day the item was stored. So max-age is age plus time to live, and the copy they
// keep ends with the item. A stale item and one without an end are to be asked for
// again each time, which If-None-Match makes cheap.
func describe(h http.Header, item *client.Item) {
	setVersion(h, item.Version)
	ageSeconds := int64(item.Age / time.Second)
	h.Set("Age", strconv.FormatInt(ageSeconds, 10))
	control := "no-cache"
	if item.TTL != client.NoTTL {
		ttlSeconds := int64(item.TTL / time.Second)
		h[ttlHeader] = []string{strconv.FormatInt(ttlSeconds, 10)} // spelled as it is asked for; Set would write Ttl
		if !item.Stale {
			control = "max-age=" + strconv.FormatInt(ageSeconds+ttlSeconds, 10)
		}
	}
	if item.Stale {
		h.Set("X-Stale", "true")
	}
	h.Set("Cache-Control", control)
}

// etagHeader is spelled as in RFC 9110; Set would write Etag.
const etagHeader = "ETag"

// setVersion writes a version both ways: for HTTP, and as a number.
func setVersion(h http.Header, v client.Version) {
	h[etagHeader] = []string{etag(v)}
	h.Set("X-Version", versionText(v))
}

package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	keyPrefix = "/v1/key/"
	keysPath  = "/v1/keys"
)

// maxKeyBytes is the longest key of the protocol.
const maxKeyBytes = 250

// handler answers a request, or returns what is wrong with it before it has
// written anything.
type handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP admits, routes, answers and counts one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	recorder := &recorder{ResponseWriter: w, status: http.StatusOK}
	route, handle := g.route(r)
	g.metrics.inFlight.Inc()
	defer g.metrics.inFlight.Dec()
	if err := g.admitted(handle)(recorder, r); err != nil {
		g.refuse(recorder, r, err)
	}
	g.metrics.observe(route, r.Method, recorder.status, time.Since(start))
}

// admitted runs the handler if there is a slot free.
func (g *Gateway) admitted(handle handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		select {
		case g.slots <- struct{}{}:
			defer func() { <-g.slots }()
			return handle(w, r)
		default:
			return problemBusy()
		}
	}
}

// route picks the handler, and the route's name in metrics. It does not use a
// ServeMux, which would clean the path: in keys, // and .. are what they are.
func (g *Gateway) route(r *http.Request) (name string, handle handler) {
	path := r.URL.EscapedPath()
	switch {
	case strings.HasPrefix(path, keyPrefix):
		return "key", g.key
	case path == keysPath:
		return "keys", g.keys
	}
	return "other", func(http.ResponseWriter, *http.Request) error { return problemNoRoute() }
}

// key serves /v1/key/{key}.
func (g *Gateway) key(w http.ResponseWriter, r *http.Request) error {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return problemBadRequest("there are no query parameters; write a question mark in a key as %3F")
	}
	key := r.URL.Path[len(keyPrefix):] // the prefix was there unescaped, so it has its length here
	if err := checkKey(key); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return g.get(w, r, key)
	case http.MethodPut:
		return g.put(w, r, key)
	case http.MethodDelete:
		return g.delete(w, r, key)
	}
	return problemMethod("GET, HEAD, PUT, DELETE")
}

func checkKey(key string) error {
	switch {
	case key == "":
		return problemBadRequest("the key is empty; a key has 1 to 250 bytes")
	case len(key) > maxKeyBytes:
		return newProblem(http.StatusRequestURITooLong, "key-too-long",
			fmt.Sprintf("the key has %d bytes after percent-decoding; a key has 1 to %d", len(key), maxKeyBytes))
	}
	return nil
}

// recorder remembers the status for the metrics.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader takes note of the status.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

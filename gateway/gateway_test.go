package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gannet/client"
	"gannet/client/clienttest"
)

// world is a gateway in front of a test node.
type world struct {
	*testing.T
	node *clienttest.Server
	g    *Gateway
	http *http.Client
	end  func() error // ends Run and returns what it returned
}

// newWorld starts a node, a client and a gateway that end with the test.
func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	node := clienttest.New(t, clienttest.Config{Shards: 2, MaxValueBytes: 100 << 10})
	cache, err := client.Open([]string{node.Addr()}, client.WithTimeout(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	w := serve(t, append([]func(*Config){func(c *Config) { c.Cache = cache }}, change...)...)
	w.node = node
	return w
}

// serve starts a gateway without a node.
func serve(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	return run(t, open(t, change...))
}

func open(t *testing.T, change ...func(*Config)) *Gateway {
	t.Helper()
	cfg := Config{Listen: "127.0.0.1:0", Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, f := range change {
		f(&cfg)
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func run(t *testing.T, g *Gateway) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = g.Run(ctx)
	}()
	w := &world{T: t, g: g, http: &http.Client{Transport: &http.Transport{}}}
	w.end = func() error {
		cancel()
		<-ended
		return err
	}
	t.Cleanup(func() {
		w.http.CloseIdleConnections()
		if err := w.end(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body []byte
}

// do sends a request; headers come as "Name: value".
func (w *world) do(method, path string, body io.Reader, headers ...string) *reply {
	w.Helper()
	request, err := http.NewRequest(method, w.g.URL()+path, body)
	if err != nil {
		w.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Add(name, value)
	}
	return w.send(request)
}

func (w *world) send(request *http.Request) *reply {
	w.Helper()
	response, err := w.http.Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return &reply{response, content}
}

// want checks status and headers, written "Name: value"; "Name:" means absent.
func (r *reply) want(t *testing.T, status int, headers ...string) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("%s %s answers %d, want %d: %s", r.Request.Method, r.Request.URL, r.StatusCode, status, r.body)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ":")
		if got := r.Header.Get(name); got != strings.TrimSpace(value) {
			t.Errorf("%s %s: header %s is %q, want %q", r.Request.Method, r.Request.URL, name, got, strings.TrimSpace(value))
		}
	}
}

// wantProblem checks that the answer is a problem document with the code.
func (r *reply) wantProblem(t *testing.T, status int, code string, headers ...string) {
	t.Helper()
	r.want(t, status, append(headers, "Content-Type: application/problem+json", "Cache-Control: no-store", "ETag:")...)
	if r.Request.Method == http.MethodHead {
		return
	}
	var doc document
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&doc); err != nil {
		t.Fatalf("the problem is no JSON: %v: %q", err, r.body)
	}
	if doc.Type != "urn:gannet:problem:"+code || doc.Status != status || doc.Title != http.StatusText(status) || doc.Detail == "" {
		t.Errorf("problem %+v, want code %q and status %d", doc, code, status)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/wire"
)

// talk sends a text, ends its side of the connection and returns the answer.
func (w *world) talk(text string) string {
	w.Helper()
	conn, err := net.Dial("tcp", w.g.Addr())
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		w.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		w.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		w.Fatal(err)
	}
	return string(answer)
}

// fakeCache answers Get and Put by function; a test sets what it needs.
type fakeCache struct {
	Cache
	get   func(ctx context.Context) (client.Item, error)
	multi func(keys []string) ([]client.Result, error)
	put   func(value []byte) (client.Version, error)
}

func (f *fakeCache) Get(ctx context.Context, _ string, _ ...client.GetOption) (client.Item, error) {
	return f.get(ctx)
}

func (f *fakeCache) GetMulti(_ context.Context, keys []string, _ ...client.GetOption) ([]client.Result, error) {
	return f.multi(keys)
}

func (f *fakeCache) Put(_ context.Context, _ string, value []byte, _ ...client.WriteOption) (client.Version, error) {
	return f.put(value)
}

func (f *fakeCache) Limits(context.Context) (client.Limits, error) {
	return client.Limits{Shards: 1, MaxValueBytes: maxValueBytes}, nil
}

func withCache(cache Cache) func(*Config) { return func(c *Config) { c.Cache = cache } }

// TestAgeAndLife: see describe.
func TestAgeAndLife(t *testing.T) {
	const version = client.Version(9)
	for name, test := range map[string]struct {
		item    client.Item
		headers []string
	}{
		"fresh":         {client.Item{TTL: 60 * time.Second}, []string{"Age: 0", "Cache-Control: max-age=60", "X-TTL-Seconds: 60", "X-Stale:"}},
		"older":         {client.Item{TTL: 20 * time.Second, Age: 40 * time.Second}, []string{"Age: 40", "Cache-Control: max-age=60", "X-TTL-Seconds: 20"}},
		"last second":   {client.Item{TTL: 0, Age: 40 * time.Second}, []string{"Age: 40", "Cache-Control: max-age=40", "X-TTL-Seconds: 0"}},
		"without end":   {client.Item{TTL: client.NoTTL, Age: time.Hour}, []string{"Age: 3600", "Cache-Control: no-cache", "X-TTL-Seconds:"}},
		"stale":         {client.Item{TTL: 20 * time.Second, Age: time.Second, Stale: true}, []string{"Cache-Control: no-cache", "X-TTL-Seconds: 20", "X-Stale: true"}},
		"stale, no end": {client.Item{TTL: client.NoTTL, Stale: true}, []string{"Cache-Control: no-cache", "X-TTL-Seconds:", "X-Stale: true"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.item.Version = version
			w := serve(t, withCache(&fakeCache{get: func(context.Context) (client.Item, error) { return test.item, nil }}))
			w.do("GET", "/v1/key/k", nil).want(t, 200, append(test.headers, `ETag: "9"`, "X-Version: 9")...)
		})
	}
}

// TestErrors: each error of the client has its status, alone and as clients wrap it.
func TestErrors(t *testing.T) {
	var failure error
	w := serve(t, withCache(&fakeCache{get: func(context.Context) (client.Item, error) { return client.Item{}, failure }}))
	for _, test := range []struct {
		err    error
		status int
		code   string
		retry  string
	}{
		{client.ErrMiss, 404, "not-found", ""},
		{client.ErrNotFound, 404, "not-found", ""},
		{client.ErrExists, 412, "exists", ""},
		{client.ErrVersion, 412, "version-mismatch", ""},
		{client.ErrTooLarge, 413, "too-large", ""},
		{client.ErrForbidden, 403, "forbidden", ""},
		{client.ErrUnsupported, 501, "unsupported", ""},
		{client.ErrNoMemory, 507, "no-memory", ""},
		{client.ErrOverloaded, 503, "overloaded", "1"},
		{client.ErrFenced, 503, "fenced", "1"},
		{client.ErrMoved, 503, "moved", "1"},
		{client.ErrUnavailable, 503, "unavailable", "1"},
		{client.ErrTimeout, 504, "timeout", "1"},
		{client.ErrOutcomeUnknown, 504, "outcome-unknown", "1"},
		{errors.Join(client.ErrTimeout, client.ErrOutcomeUnknown), 504, "outcome-unknown", "1"},
		{errors.Join(client.ErrUnavailable, client.ErrOutcomeUnknown), 504, "outcome-unknown", "1"},
		{client.ErrClosed, 503, "shutting-down", "1"},
		{client.ErrCorrupt, 502, "corrupt", ""},
		{client.ErrProtocol, 502, "protocol", ""},
		{client.ErrBadRequest, 400, "bad-request", ""},
		{errors.New("what nobody foresaw"), 502, "failed", ""},
	} {
		failure = &client.OpError{Op: "get", Key: "secret-key", Server: "10.1.2.3:9800", Err: test.err}
		answer := w.do("GET", "/v1/key/k", nil)
		answer.wantProblem(t, test.status, test.code, "Retry-After: "+test.retry)
		for _, secret := range []string{"secret-key", "10.1.2.3"} {
			if bytes.Contains(answer.body, []byte(secret)) {
				t.Errorf("%s is in the answer: %s", secret, answer.body)
			}
		}
		head := w.do("HEAD", "/v1/key/k", nil)
		head.wantProblem(t, test.status, test.code, "Retry-After: "+test.retry)
	}
}

// TestNodeStatuses: what a node says reaches the HTTP client, end to end.
func TestNodeStatuses(t *testing.T) {
	w := newWorld(t)
	w.do("GET", "/v1/key/k", nil).want(t, 404)
	for _, test := range []struct {
		status wire.Status
		http   int
		code   string
	}{
		{wire.StatusTooLarge, 413, "too-large"},
		{wire.StatusNoMemory, 507, "no-memory"},
		{wire.StatusFenced, 503, "fenced"},
		{wire.StatusForbidden, 403, "forbidden"},
		{wire.StatusUnsupported, 501, "unsupported"},
	} {
		w.node.Answer(wire.Put, test.status, 1)
		w.do("PUT", "/v1/key/k", strings.NewReader("v")).wantProblem(t, test.http, test.code)
	}
}

// silentNode takes requests and never answers.
func silentWorld(t *testing.T, timeout time.Duration) *world {
	t.Helper()
	node := clienttest.New(t, clienttest.Config{})
	cache, err := client.Open([]string{node.Addr()}, client.WithTimeout(timeout))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	w := serve(t, withCache(cache))
	w.do("GET", "/v1/key/k", nil).want(t, 404) // introduces client and node
	w.node = node
	node.SetFaults(clienttest.Faults{LoseRequests: 1})
	return w
}

func TestSilentNode(t *testing.T) {
	w := silentWorld(t, 50*time.Millisecond)
	w.do("GET", "/v1/key/k", nil).wantProblem(t, 504, "timeout", "Retry-After: 1")
	w.do("PUT", "/v1/key/k", strings.NewReader("v")).wantProblem(t, 504, "outcome-unknown", "Retry-After: 1")
}

func TestDeadNode(t *testing.T) {
	w := silentWorld(t, 50*time.Millisecond)
	w.node.Stop()
	w.do("GET", "/v1/key/k", nil).wantProblem(t, 503, "unavailable", "Retry-After: 1")
}

// TestBusy: who finds no slot free is told to come back, and a slot that is free
// again serves.
func TestBusy(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	w := serve(t, withCache(&fakeCache{get: func(context.Context) (client.Item, error) {
		entered <- struct{}{}
		<-leave
		return client.Item{}, nil
	}}), func(c *Config) { c.MaxInFlight = 1 })
	first := make(chan *reply)
	go func() { first <- w.do("GET", "/v1/key/k", nil) }()
	<-entered
	w.do("GET", "/v1/key/k", nil).wantProblem(t, 503, "gateway-busy", "Retry-After: 1")
	close(leave)
	(<-first).want(t, 200)
	go func() { <-entered }()
	w.do("GET", "/v1/key/k", nil).want(t, 200)
}

// TestSenderGone: a request whose sender has left is not asked on.
func TestSenderGone(t *testing.T) {
	gone, entered := make(chan error, 1), make(chan struct{})
	w := serve(t, withCache(&fakeCache{get: func(ctx context.Context) (client.Item, error) {
		close(entered)
		<-ctx.Done()
		gone <- ctx.Err()
		return client.Item{}, ctx.Err()
	}}))
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, "GET", w.g.URL()+"/v1/key/k", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-entered
		cancel()
	}()
	if response, err := w.http.Do(request); err == nil {
		response.Body.Close()
		t.Error("there was an answer")
	}
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	if err := w.end(); err != nil {
		t.Error(err)
	}
	if got := gathered(t, w.g, `gannet_gateway_requests_total{code="499",method="GET",route="key"}`); got != "1" {
		t.Errorf("%q requests counted as left", got)
	}
}

// TestShutdown: a request in flight is finished, a new connection is not taken.
func TestShutdown(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	w := serve(t, withCache(&fakeCache{get: func(context.Context) (client.Item, error) {
		close(entered)
		<-leave
		return client.Item{Value: []byte("last words"), TTL: client.NoTTL}, nil
	}}))
	last := make(chan *reply)
	go func() { last <- w.do("GET", "/v1/key/k", nil) }()
	<-entered
	ended := make(chan error)
	go func() { ended <- w.end() }()
	for { // until the port is closed
		conn, err := net.Dial("tcp", w.g.Addr())
		if err != nil {
			break
		}
		conn.Close()
	}
	select {
	case err := <-ended:
		t.Fatalf("Run returned %v while a request was in flight", err)
	default:
	}
	close(leave)
	answer := <-last
	answer.want(t, 200)
	if string(answer.body) != "last words" {
		t.Errorf("body %q", answer.body)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// pipeListener hands out one side of pipes, which keep the clock of a bubble.
type pipeListener struct {
	net.Listener
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { close(l.done); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// TestSlowPeers: nobody holds a connection for ever, on the clock of a bubble.
func TestSlowPeers(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		longest time.Duration
		answer  string // begins with
	}{
		"header": {"PUT /v1/key/k HTTP/1.1\r\nHost:", readHeaderLongest, ""},
		"body":   {"PUT /v1/key/k HTTP/1.1\r\nHost: g\r\nContent-Length: 9\r\n\r\nslow", readLongest, "HTTP/1.1 408"},
		"idle":   {"DELETE /v1/keys HTTP/1.1\r\nHost: g\r\n\r\n", idleLongest, "HTTP/1.1 405"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listener := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
				g := &Gateway{
					cache: &fakeCache{}, metrics: newMetrics(), slots: make(chan struct{}, 1),
					log: discard(), listener: listener,
				}
				g.server = newServer(g, g.log)
				ended := make(chan error)
				go func() { ended <- g.serve() }()
				near, far := net.Pipe()
				listener.conns <- far
				go func() { _, _ = io.WriteString(near, test.text) }()
				start := time.Now()
				answer, err := io.ReadAll(near)
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
				}
				if took := time.Since(start); took < test.longest || took > test.longest+time.Second {
					t.Errorf("cut off after %v, want %v", took, test.longest)
				}
				if !strings.HasPrefix(string(answer), test.answer) {
					t.Errorf("answer: %s", answer)
				}
				near.Close()
				if err := errors.Join(g.server.Close(), <-ended); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestHugeHeader(t *testing.T) {
	w := newWorld(t)
	w.do("GET", "/v1/key/k", nil, "X-Filler: "+strings.Repeat("x", 64<<10)).want(t, 431)
}

func TestBadConfig(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, test := range map[string]struct {
		config Config
		says   string
	}{
		"listen taken": {Config{Listen: taken.Addr().String()}, "--listen"},
		"admin taken":  {Config{Listen: "127.0.0.1:0", Admin: taken.Addr().String()}, "--admin"},
		"no address":   {Config{Listen: "nonsense"}, "--listen"},
		"slots":        {Config{Listen: "127.0.0.1:0", MaxInFlight: -1}, "1 or more"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.config)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that names %s", err, test.says)
			}
		})
	}
}

// TestFailedNewFreesPorts: a gateway that could not be made holds nothing.
func TestFailedNewFreesPorts(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	if _, err := New(Config{Listen: addr, Admin: "nonsense"}); err == nil {
		t.Fatal("an admin address that makes no sense was taken")
	}
	again, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gannet/control/invalidate"
	"gannet/ring"
	"gannet/security/mtls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server under test.
type world struct {
	*testing.T
	*Server
	hub     *invalidate.Hub
	dir     string // of certificates; empty: no TLS
	drained []string
	stop    func()
}

func newWorld(t *testing.T, dir string, change func(*Config)) *world {
	t.Helper()
	w := &world{T: t, dir: dir}
	w.hub = invalidate.NewHub(invalidate.Config{
		Origin: 1, Incarnation: 1, Timing: invalidate.DefaultTiming(), MaxSubscribers: 2,
		Spread: func([]byte) {}, Peers: func() int { return 0 },
	})
	cfg := Config{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Hub: w.hub, Log: slog.New(slog.DiscardHandler),
		Hot: func() []HotKey {
			return []HotKey{{Key: []byte("hot"), Requests: 900, GrantMillis: 1000}, {Key: []byte{0xff}, Requests: 1, InKernel: true}}
		},
		Drain: w.drain, Replicate: w.replicate,
	}
	if dir != "" {
		cfg.TLS = w.store("node-1")
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if w.Server, err = Listen(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Server.Run(ctx) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) drain(_ context.Context, node string) error {
	switch node {
	case "nobody":
		return ErrUnknownNode
	case "last":
		return fmt.Errorf("%w: it is the only one", ErrNotNow)
	case "broken":
		return errors.New("etcd is gone")
	}
	w.drained = append(w.drained, node)
	return nil
}

// replicate repeats what it is told, after a greeting.
func (w *world) replicate(ctx context.Context, conn net.Conn, peer mtls.Identity) {
	_, _ = io.WriteString(conn, "hello "+peer.Name+"\n")
	_, _ = io.Copy(conn, conn)
}

func certificates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := mtls.DevCA(dir, mtls.DevOptions{
		NodeNames: []string{"node-1", "node-2"}, Hosts: []string{"127.0.0.1"}, ValidFor: time.Hour, Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func (w *world) store(holder string) *mtls.Store {
	w.Helper()
	store, err := mtls.Open(mtls.DevFiles(w.dir, holder), mtls.Options{})
	if err != nil {
		w.Fatal(err)
	}
	return store
}

func (w *world) client(holder string) *Client {
	w.Helper()
	var store *mtls.Store
	if w.dir != "" && holder != "" {
		store = w.store(holder)
	}
	c := NewClient(w.Addr(), store, mtls.ClientOptions{})
	w.Cleanup(c.Close)
	return c
}

func makeRing(t *testing.T, epoch uint32) *ring.Ring {
	t.Helper()
	r, err := ring.New(epoch, []ring.Member{
		{ID: 1, Name: "node-1", Zone: "a", Addr: netip.MustParseAddrPort("10.0.0.1:9800"), Shards: 2, Weight: 1},
		{ID: 1 << 63, Name: "node-2", Addr: netip.MustParseAddrPort("10.0.0.2:9800"), Control: netip.MustParseAddrPort("10.0.0.2:9741"), Shards: 2, Weight: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// problem expects an error that is a problem with this status.
func problem(t *testing.T, err error, status int, words string) {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) || p.Status != status || !strings.Contains(err.Error(), words) {
		t.Errorf("error %v, want status %d and %q", err, status, words)
	}
}

func TestRing(t *testing.T) {
	w := newWorld(t, "", nil)
	c := w.client("")
	_, err := c.Ring(t.Context(), nil)
	problem(t, err, 503, "no ring yet")
	w.SetRing(makeRing(t, 5))
	got, err := c.Ring(t.Context(), nil)
	if err != nil || got.Epoch() != 5 || len(got.Members()) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	w.SetRing(makeRing(t, 4)) // older: not taken
	after := uint32(4)
	if got, err := c.Ring(t.Context(), &after); err != nil || got.Epoch() != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestRingWaits lets a client ask for what is not there yet.
func TestRingWaits(t *testing.T) {
	w := newWorld(t, "", nil)
	c := w.client("")
	w.SetRing(makeRing(t, 5))
	after := uint32(5)
	answer := make(chan *ring.Ring)
	go func() {
		got, err := c.Ring(t.Context(), &after)
		if err != nil {
			t.Error(err)
		}
		answer <- got
	}()
	eventually(t, "the request waits", func() bool { return w.Stats().Polls == 1 })
	w.SetRing(makeRing(t, 6))
	if got := <-answer; got == nil || got.Epoch() != 6 {
		t.Errorf("%+v", got)
	}
}

func TestRingWaitEnds(t *testing.T) {
	w := newWorld(t, "", func(c *Config) { c.pollLongest = time.Millisecond })
	w.SetRing(makeRing(t, 5))
	after := uint32(5)
	if got, err := w.client("").Ring(t.Context(), &after); got != nil || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// ask makes a plain request and returns status, headers and body.
func (w *world) ask(method, path, accept, body string) (*http.Response, string) {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), method, "http://"+w.Addr()+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		w.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	return response, string(content)
}

func TestRingAsJSON(t *testing.T) {
	w := newWorld(t, "", nil)
	w.SetRing(makeRing(t, 5))
	response, body := w.ask("GET", "/v1/ring", "application/json", "")
	var got RingJSON
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Epoch != 5 || got.Replicas != 2 || len(got.Members) != 2 || got.Members[1].ID != "9223372036854775808" ||
		got.Members[1].Control != "10.0.0.2:9741" || got.Members[0].Zone != "a" || got.Members[0].State != "active" {
		t.Errorf("%s", body)
	}
	if share := got.Members[0].Share + got.Members[1].Share; share < 0.999 || share > 1.001 {
		t.Errorf("shares add up to %g", share)
	}
	if response.Header.Get("ETag") != `"5"` {
		t.Errorf("%v", response.Header)
	}
}

// TestProblems asks for what there is not, in ways that are not.
func TestProblems(t *testing.T) {
	w := newWorld(t, "", nil)
	for _, test := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/v1/nothing", "", 404, "no-such-path"},
		{"DELETE", "/v1/ring", "", 405, "method-not-allowed"},
		{"GET", "/v1/drain", "", 405, "method-not-allowed"},
		{"GET", "/v1/ring?after=x", "", 400, "bad-request"},
		{"GET", "/v1/ring?after=-1", "", 400, "bad-request"},
		{"POST", "/v1/drain", "{", 400, "bad-request"},
		{"POST", "/v1/drain", `{"nodes":"x"}`, 400, "bad-request"},
		{"POST", "/v1/drain", strings.Repeat(" ", maxBodyBytes+1), 400, "bad-request"},
		{"POST", "/v1/drain", `{"node":"nobody"}`, 404, "unknown-node"},
		{"POST", "/v1/drain", `{"node":"last"}`, 409, "not-now"},
		{"POST", "/v1/drain", `{"node":"broken"}`, 500, "failed"},
		{"POST", "/v1/replicate", "", 426, "upgrade-required"},
	} {
		response, body := w.ask(test.method, test.path, "", test.body)
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %q, %v", test.method, test.path, body, err)
		}
		if response.StatusCode != test.status || p.Status != test.status || p.Type != problemType+test.code || p.Detail == "" || p.Title == "" {
			t.Errorf("%s %s: status %d, %+v", test.method, test.path, response.StatusCode, p)
		}
	}
	if st := w.Stats(); st.ClientProblems != 11 || st.ServerProblems != 1 {
		t.Errorf("%+v", st)
	}
}

func TestHot(t *testing.T) {
	w := newWorld(t, "", nil)
	got, err := w.client("").Hot(t.Context())
	if err != nil || len(got.Keys) != 2 || *got.Keys[0].Key != "hot" || got.Keys[0].Requests != 900 || got.Keys[1].KeyBase64[0] != 0xff ||
		!slices.Equal(got.Keys[0].Served, []string{"shard", "l1"}) || !slices.Equal(got.Keys[1].Served, []string{"shard", "kernel"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestInvalidations(t *testing.T) {
	w := newWorld(t, "", nil)
	c := w.client("")
	enough := errors.New("enough")
	var lines []string
	err := c.Watch(t.Context(), func(line []byte) error {
		lines = append(lines, string(line))
		switch len(lines) {
		case 2: // the subscription has begun
			w.hub.Announce(0, []invalidate.Write{{Key: []byte("k"), Version: 7}})
		case 3:
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || lines[2] != `{"action":"invalidate","key":"k","version":7,"origin":"0000000000000001","sequence":1}` {
		t.Errorf("%q, %v", lines, err)
	}
	eventually(t, "the stream has ended", func() bool { return w.Stats().EndedSubscribers == 1 && w.hub.Stats().Subscribers == 0 })
}

func TestTooManySubscribers(t *testing.T) {
	w := newWorld(t, "", nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		go func() { ended <- w.client("").Watch(ctx, func([]byte) error { return nil }) }()
	}
	eventually(t, "two are subscribed", func() bool { return w.hub.Stats().Subscribers == 2 })
	problem(t, w.client("").Watch(ctx, func([]byte) error { return nil }), 503, "subscribe to another")
	cancel()
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestSlowSubscriber never reads: it is dropped, and the hub goes on.
func TestSlowSubscriber(t *testing.T) {
	w := newWorld(t, "", func(c *Config) { c.writeLongest = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", w.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/invalidations HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	writes := make([]invalidate.Write, 500)
	for i := range writes {
		writes[i] = invalidate.Write{Key: bytes.Repeat([]byte("k"), 250), Version: 1}
	}
	eventually(t, "it was dropped", func() bool {
		w.hub.Announce(0, writes)
		return w.Stats().SlowSubscribers == 1
	})
	eventually(t, "its subscription ended", func() bool { return w.hub.Stats().Subscribers == 0 })
}

func TestDrain(t *testing.T) {
	w := newWorld(t, "", nil)
	c := w.client("")
	if err := errors.Join(c.Drain(t.Context(), ""), c.Drain(t.Context(), "node-2")); err != nil || !slices.Equal(w.drained, []string{"", "node-2"}) {
		t.Errorf("%q, %v", w.drained, err)
	}
	problem(t, c.Drain(t.Context(), "last"), 409, "it is the only one")
}

func TestReplicate(t *testing.T) {
	for name, dir := range map[string]string{"plain": "", "secure": certificates(t)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, dir, nil)
			stream, err := w.client("node-2").Replicate(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			want := "hello \n"
			if dir != "" {
				want = "hello node-2\n"
			}
			expect(t, stream, want)
			if _, err := io.WriteString(stream, "echo"); err != nil {
				t.Fatal(err)
			}
			expect(t, stream, "echo")
			if n := w.Stats().Streams; n != 1 {
				t.Errorf("%d streams", n)
			}
			w.stop() // closes the stream, too
			if _, err := io.ReadAll(stream); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Error(err)
			}
			if n := w.Stats().Streams; n != 0 {
				t.Errorf("%d streams after the end", n)
			}
		})
	}
}

func expect(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

// TestEarlyBytes: what a peer sends with its request is part of the stream.
func TestEarlyBytes(t *testing.T) {
	w := newWorld(t, "", nil)
	conn, err := net.Dial("tcp", w.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /v1/replicate HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: gannet-replication/1\r\n\r\nearly"); err != nil {
		t.Fatal(err)
	}
	expect(t, conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: gannet-replication/1\r\n\r\nhello \nearly")
}

// TestRoles: who may what.
func TestRoles(t *testing.T) {
	w := newWorld(t, certificates(t), nil)
	w.SetRing(makeRing(t, 5))
	for holder, may := range map[string]struct{ drain, replicate bool }{
		"node-2": {false, true}, "client": {false, false}, "admin": {true, false},
	} {
		c := w.client(holder)
		if got, err := c.Ring(t.Context(), nil); err != nil || got.Epoch() != 5 {
			t.Errorf("%s: ring: %v", holder, err)
		}
		if _, err := c.Hot(t.Context()); err != nil {
			t.Errorf("%s: hot keys: %v", holder, err)
		}
		if err := c.Drain(t.Context(), ""); may.drain != (err == nil) {
			t.Errorf("%s: drain: %v", holder, err)
		} else if err != nil {
			problem(t, err, 403, "certificate of the role [admin]")
		}
		stream, err := c.Replicate(t.Context())
		if may.replicate != (err == nil) {
			t.Errorf("%s: replicate: %v", holder, err)
		}
		if err != nil {
			problem(t, err, 403, "certificate of the role [node]")
			continue
		}
		if err := stream.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRevokedStreams: all that a revoked peer has open ends.
func TestRevokedStreams(t *testing.T) {
	dir := certificates(t)
	store, err := mtls.Open(mtls.DevFiles(dir, "node-1"), mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, dir, func(c *Config) { c.TLS = store })
	stream, err := w.client("node-2").Replicate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	expect(t, stream, "hello node-2\n")
	watched := make(chan error)
	c := w.client("node-2")
	go func() { watched <- c.Watch(t.Context(), func([]byte) error { return nil }) }()
	eventually(t, "it is subscribed", func() bool { return w.hub.Stats().Subscribers == 1 })
	if err := mtls.DevRevoke(dir, time.Now(), "node-2"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Refresh(); err != nil {
		t.Fatal(err)
	}
	store.Sweep()
	if _, err := io.ReadAll(stream); err == nil {
		t.Log("the stream ended without an error")
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the stream goes on")
	}
	if err := <-watched; err == nil {
		t.Error("it watches on")
	}
	_, err = c.Ring(t.Context(), nil)
	var refused *mtls.RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("and asks on: %v", err)
	}
}

// TestWrongDoors: plain to TLS, TLS to plain, nobody there.
func TestWrongDoors(t *testing.T) {
	secure, plain := newWorld(t, certificates(t), nil), newWorld(t, "", nil)
	_, err := secure.client("").Ring(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "it may want TLS") {
		t.Errorf("plain to TLS: %v", err)
	}
	c := NewClient(plain.Addr(), secure.store("client"), mtls.ClientOptions{})
	defer c.Close()
	if _, err := c.Ring(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("TLS to plain: %v", err)
	}
	if _, err := c.Replicate(t.Context()); err == nil {
		t.Error("a stream without TLS")
	}
	addr := plain.Addr()
	plain.stop()
	gone := NewClient(addr, nil, mtls.ClientOptions{})
	defer gone.Close()
	if _, err := gone.Ring(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
	taken := secure.cfg
	taken.Listen = netip.MustParseAddrPort(secure.Addr())
	if _, err := Listen(taken); err == nil || !strings.Contains(err.Error(), "--control-port") {
		t.Errorf("taken: %v", err)
	}
}

package clienttest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// beatEvery is how often a control port says that it is alive.
const beatEvery = 100 * time.Millisecond

// Control is a node's control port as far as invalidations go. It tells its
// subscribers what the test has it tell.
type Control struct {
	node   uint64
	server http.Server
	done   sync.WaitGroup

	mu   sync.Mutex
	subs map[chan string]struct{} // guarded by mu
	mute bool                     // guarded by mu
}

// NewControl gives the node a control port, which ends with the test. It stands in
// rings made later. Subscribers are told at once that the node is covered.
func NewControl(t testing.TB, s *Server) *Control {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Control{node: s.config.NodeID, subs: map[chan string]struct{}{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/invalidations", c.stream)
	ctx, cancel := context.WithCancel(context.Background())
	c.server = http.Server{Handler: mux, BaseContext: func(net.Listener) context.Context { return ctx }}
	c.done.Go(func() { _ = c.server.Serve(inner) })
	t.Cleanup(func() {
		cancel()
		c.server.Close()
		c.done.Wait()
	})
	s.SetControl(inner.Addr().(*net.TCPAddr).AddrPort())
	return c
}

// SetControl says where the node's control port is, in rings made later.
func (s *Server) SetControl(addr netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.control = addr
}

func (c *Control) stream(w http.ResponseWriter, r *http.Request) {
	lines := make(chan string, 1024)
	lines <- `{"action":"flush","reason":"subscribed"}`
	lines <- c.flush(c.node, true)
	c.mu.Lock()
	c.subs[lines] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.subs, lines)
		c.mu.Unlock()
	}()
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		line := ""
		select {
		case <-r.Context().Done():
			return
		case line = <-lines:
		case <-beat.C:
			line = `{"action":"heartbeat"}`
		}
		c.mu.Lock()
		mute := c.mute
		c.mu.Unlock()
		switch {
		case mute:
		case line == "":
			return
		default:
			_, _ = fmt.Fprintln(w, line)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

func (c *Control) flush(origin uint64, covered bool) string {
	return fmt.Sprintf(`{"action":"flush","origin":"%016x","reason":"test","covered":%v}`, origin, covered)
}

// Invalidate announces a write of a key.
func (c *Control) Invalidate(key string, version uint64) {
	c.tell(fmt.Sprintf(`{"action":"invalidate","key":%q,"version":%d,"origin":"%016x","sequence":1}`, key, version, c.node))
}

// Flush orders that copies of a node's items be dropped.
func (c *Control) Flush(origin uint64, covered bool) { c.tell(c.flush(origin, covered)) }

// Break ends all streams.
func (c *Control) Break() { c.tell("") }

// Mute keeps the port from saying anything, or lets it speak again.
func (c *Control) Mute(mute bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = mute
}

// Subscribers is how many streams there are.
func (c *Control) Subscribers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.subs)
}

func (c *Control) tell(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for lines := range c.subs {
		lines <- line
	}
}

package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gannet/wire"
)

// Client talks to a Gannet cache. It is safe for any number of goroutines; a
// program needs one. Keys are strings of 1 to 250 bytes, any bytes.
type Client struct {
	settings settings
	node     *node
	session  uint64
	origin   time.Time // of nowNanos
	ids      atomic.Uint64
	counters counters
	closing  chan struct{}
	readers  sync.WaitGroup

	mu     sync.Mutex
	closed bool               // guarded by mu
	conns  map[*conn]struct{} // guarded by mu; all that have a reader
}

// Open makes a client of the cache that the servers belong to: "host" or
// "host:port" each. It does not wait for the network; the first call does.
//
// This version knows caches of one node, so it takes exactly one server.
func Open(servers []string, opts ...Option) (*Client, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	if len(servers) != 1 {
		return nil, fmt.Errorf("open client: %w: %d servers given: give one, such as 127.0.0.1:%d", ErrBadRequest, len(servers), wire.BasePort)
	}
	addr, err := net.ResolveUDPAddr("udp", withPort(servers[0]))
	if err != nil {
		return nil, fmt.Errorf("open client: %w: server %q: %w: give host:port, such as 127.0.0.1:%d", ErrBadRequest, servers[0], err, wire.BasePort)
	}
	target := addr.AddrPort()
	if !target.Addr().IsValid() || target.Port() == 0 {
		return nil, fmt.Errorf("open client: %w: server %q: give host:port, such as 127.0.0.1:%d", ErrBadRequest, servers[0], wire.BasePort)
	}
	c := &Client{
		settings: s, session: randomID(), origin: time.Now(),
		closing: make(chan struct{}), conns: make(map[*conn]struct{}),
	}
	c.ids.Store(randomID())
	c.node = newNode(c, servers[0], target)
	return c, nil
}

// withPort adds the default port to a server without one.
func withPort(server string) string {
	if _, _, err := net.SplitHostPort(server); err == nil || server == "" {
		return server
	}
	return net.JoinHostPort(server, strconv.Itoa(wire.BasePort))
}

// randomID returns a number that nobody off the path can guess and that is not 0.
func randomID() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) | 1
}

// Close ends all calls with ErrClosed and frees everything. When it returns, no
// goroutine of the client is left.
func (c *Client) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.closing)
		for k := range c.conns {
			k.udp.Close()
		}
	}
	c.mu.Unlock()
	c.readers.Wait()
	return nil
}

// track takes note of a socket whose reader is about to start. It returns false
// when the client is closed.
func (c *Client) track(k *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.conns[k] = struct{}{}
	c.readers.Add(1)
	return true
}

// untrack forgets a socket whose reader has ended.
func (c *Client) untrack(k *conn) {
	c.mu.Lock()
	delete(c.conns, k)
	c.mu.Unlock()
	c.readers.Done()
}

// nowNanos is the client's clock, which never goes backwards.
func (c *Client) nowNanos() int64 { return int64(time.Since(c.origin)) }

// deadlineNanos is when a call must end: at its context's deadline or after the
// client's timeout, whichever is first.
func (c *Client) deadlineNanos(ctx context.Context) int64 {
	deadline := c.nowNanos() + int64(c.settings.timeout)
	if at, ok := ctx.Deadline(); ok {
		deadline = min(deadline, int64(at.Sub(c.origin)))
	}
	return deadline
}

// nextIDs reserves n request ids and returns the first.
func (c *Client) nextIDs(n int) uint64 { return c.ids.Add(uint64(n)) - uint64(n) }

package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
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
	seeds    []*node // as given to Open
	session  uint64
	origin   time.Time // of nowNanos
	ids      atomic.Uint64
	counters counters
	closing  chan struct{}
	readers  sync.WaitGroup // of sockets, and the guide
	budget   budget
	incast   incast
	seed     maphash.Seed
	hot      sketch
	padded   padded
	l1       *l1       // nil: none
	listener *listener // nil without l1
	flights  flights
	onWrite  atomic.Pointer[func(Ack)]

	routes       atomic.Pointer[routes] // nil before the first answer; writer: holder of routing
	routing      sync.Mutex
	searching    chan struct{} // of capacity 1: held while the first routes are sought
	startGuide   sync.Once
	news         chan *node    // of capacity 1: a node that may have a newer ring
	asked        atomic.Uint32 // epoch that the guide was sent for
	doubtedNanos atomic.Int64  // before that time no doubt is followed up
	doubtPause   atomic.Int64  // after the last
	vain         atomic.Uint32 // epoch of the ring under which it was
	places       atomic.Uint32 // of nodes made so far

	mu     sync.Mutex
	closed bool               // guarded by mu
	conns  map[*conn]struct{} // guarded by mu; all that have a reader
}

// Open makes a client of the cache that the servers belong to: "host" or
// "host:port" each, any of its nodes; it learns of the others from the first that
// answers. It does not wait for the network; the first call does.
func Open(servers []string, opts ...Option) (*Client, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("open client: %w: no servers given: give one or more, such as 127.0.0.1:%d", ErrBadRequest, wire.BasePort)
	}
	c := &Client{
		settings: s, session: randomID(), origin: time.Now(),
		closing: make(chan struct{}), conns: make(map[*conn]struct{}),
		searching: make(chan struct{}, 1), news: make(chan *node, 1),
	}
	c.seed = maphash.MakeSeed()
	c.ids.Store(randomID())
	c.flights.init(c)
	c.incast.init()
	if s.retryShare > 0 {
		c.budget.milli.Store(burstMilli)
	}
	for _, server := range servers {
		addr, err := resolve(server)
		if err != nil {
			return nil, fmt.Errorf("open client: %w", err)
		}
		n := newNode(c, server, addr)
		n.isSeed = true
		c.seeds = append(c.seeds, n)
	}
	if s.l1Bytes > 0 {
		if c.l1, err = newL1(&s, c.seed); err != nil {
			return nil, fmt.Errorf("open client: L1: %w", err)
		}
		c.listener = newListener(c)
		c.readers.Add(1)
		go c.listener.run()
	}
	return c, nil
}

func resolve(server string) (netip.AddrPort, error) {
	addr, err := net.ResolveUDPAddr("udp", withPort(server))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w: server %q: %w: give host:port, such as 127.0.0.1:%d", ErrBadRequest, server, err, wire.BasePort)
	}
	target := addr.AddrPort()
	if !target.Addr().IsValid() || target.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%w: server %q: give host:port, such as 127.0.0.1:%d", ErrBadRequest, server, wire.BasePort)
	}
	return netip.AddrPortFrom(target.Addr().Unmap(), target.Port()), nil
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
	c.flights.end()
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

// trackWorker is track for a goroutine without a socket.
func (c *Client) trackWorker() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.readers.Add(1)
	return true
}

// Epoch is that of the ring the client routes by; 0: it has none yet.
func (c *Client) Epoch() uint32 { return c.epoch() }

// epoch is that of the ring in use; 0 = none.
func (c *Client) epoch() uint32 {
	if r := c.routes.Load(); r != nil {
		return r.epoch()
	}
	return 0
}

// serverName names whom an operation on a key was meant for, for errors.
func (c *Client) serverName(key string) string {
	if r := c.routes.Load(); r != nil && key != "" {
		if n := r.leader(keyHash([]byte(key))); n != nil {
			return n.name
		}
	}
	return c.seeds[0].name
}

// opError wraps why an operation failed. Misses stay bare: they are no failures.
func (c *Client) opError(op, key string, err error) error {
	if err == nil || err == ErrMiss { //nolint:errorlint // the very value, not a wrapper
		return err
	}
	return &OpError{Op: op, Key: key, Server: c.serverName(key), Err: err}
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

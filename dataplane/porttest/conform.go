package porttest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gannet/dataplane/port"
)

// Peer is the other end of the path to a port under test.
type Peer interface {
	// Send sends one datagram to the port.
	Send(payload []byte) error
	// Receive waits for one datagram from the port. An error means that none came.
	Receive(payload []byte, timeout time.Duration) (int, error)
	// Addr is the address under which the port sees this peer.
	Addr() port.Addr
}

// Setup is a freshly opened port and its peer. Whoever opens it closes both with
// t.Cleanup; a test may close the port before.
type Setup struct {
	Port port.Port
	Peer Peer
	// Datagrams is how many pass in the census test; 0 = 2,000.
	Datagrams int
	// Tails is memory for the tails of replies, where the port sends from in place;
	// nil = the heap.
	Tails []byte
	// Window is how many datagrams may be in flight without loss; 0 = 16.
	Window int
}

// giveUp bounds waits for events that must come. It is no measure of anything.
const giveUp = 10 * time.Second

// Conform runs the tests of the [port.Port] contract. open is called once a test.
func Conform(t *testing.T, open func(t *testing.T) Setup) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			r := &rig{t: t, Setup: s, caps: s.Port.Caps(), buf: make([]byte, 1<<16)}
			r.all = s.Port.Census().All
			c.run(r)
		})
	}
}

// rig drives one port from one goroutine.
type rig struct {
	Setup
	t    *testing.T
	caps port.Caps
	all  int
	buf  []byte
	used int // of Tails
}

// maxPayload is what fits the path to the peer.
func (r *rig) maxPayload() int {
	if r.Peer.Addr().Is4() {
		return r.caps.MaxPayload
	}
	return r.caps.MaxPayload6
}

func (r *rig) window() int { return orElse(r.Window, 16) }

// until calls step until it says true. Between calls the port is flushed and waits.
func (r *rig) until(what string, step func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(giveUp)
	for !step() {
		if time.Now().After(deadline) {
			var d port.Drops
			r.Port.Drops(&d)
			r.t.Fatalf("gave up waiting for %s; census %+v, drops %v", what, r.Port.Census(), d)
		}
		if err := r.Port.Flush(); err != nil {
			r.t.Fatalf("Flush while waiting for %s: %v", what, err)
		}
		if err := r.Port.Wait(time.Millisecond / 4); err != nil {
			r.t.Fatalf("Wait for %s: %v", what, err)
		}
	}
}

// send lets the peer send one datagram.
func (r *rig) send(payload []byte) {
	r.t.Helper()
	if err := r.Peer.Send(payload); err != nil {
		r.t.Fatalf("the peer could not send: %v", err)
	}
}

// request carries one datagram from the peer into the hands of the test.
func (r *rig) request(payload []byte) port.Rx {
	r.t.Helper()
	r.flush()
	r.send(payload)
	return r.receive(1)[0]
}

// receive gets exactly n datagrams from the port.
func (r *rig) receive(n int) []port.Rx {
	r.t.Helper()
	got := make([]port.Rx, 0, n)
	r.until(fmt.Sprintf("%d datagrams", n), func() bool {
		batch := make([]port.Rx, n-len(got))
		k := r.Port.Recv(batch)
		got = append(got, batch[:k]...)
		return len(got) == n
	})
	return got
}

// reply sends all of tx and flushes.
func (r *rig) reply(tx ...port.Tx) {
	r.t.Helper()
	r.until("room to send", func() bool {
		tx = tx[r.Port.Send(tx):]
		return len(tx) == 0
	})
	r.flush()
}

func (r *rig) flush() {
	r.t.Helper()
	if err := r.Port.Flush(); err != nil {
		r.t.Fatalf("Flush: %v", err)
	}
}

// expect lets the peer receive one datagram, which must be want.
func (r *rig) expect(want []byte) {
	r.t.Helper()
	deadline := time.Now().Add(giveUp)
	for {
		n, err := r.Peer.Receive(r.buf, 20*time.Millisecond)
		if err == nil {
			r.same(r.buf[:n], want)
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no datagram reached the peer: %v; census %+v", err, r.Port.Census())
		}
		r.flush()
	}
}

func (r *rig) same(got, want []byte) {
	r.t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	r.t.Fatalf("got %d bytes, want %d; they differ from byte %d on", len(got), len(want), at)
}

// expectNothing says that the peer gets no datagram any more: a marker datagram
// sent after everything else is the next that arrives.
func (r *rig) expectNothing() {
	r.t.Helper()
	marker := r.pattern(33, 0xfeed)
	rx := r.request(marker)
	r.reply(port.Tx{Frame: rx.Frame, Bytes: len(rx.Payload)})
	r.expect(marker)
}

// settle waits until no frame is in motion and checks that none got lost.
func (r *rig) settle() {
	r.t.Helper()
	tokens := make([]uint64, 16)
	r.until("a balanced census", func() bool {
		r.Port.Completed(tokens)
		c := r.Port.Census()
		return c.Balanced() && c.Held == 0 && c.Tx == 0 && c.Completion == 0 && c.Rx == 0
	})
	if c := r.Port.Census(); c.All != r.all {
		r.t.Fatalf("census %+v: there were %d frames at first", c, r.all)
	}
	if n := r.drops(port.DropKernelInvalid); n != 0 {
		r.t.Fatalf("%d descriptors were invalid, ours or the kernel's", n)
	}
}

// tokens collects n completion tokens.
func (r *rig) tokens(n int) []uint64 {
	r.t.Helper()
	var got []uint64
	buf := make([]uint64, 3)
	r.until(fmt.Sprintf("%d tokens", n), func() bool {
		got = append(got, buf[:r.Port.Completed(buf)]...)
		return len(got) >= n
	})
	return got
}

// drops is the port's counter of one reason.
func (r *rig) drops(reason port.DropReason) uint64 {
	var d port.Drops
	r.Port.Drops(&d)
	return d[reason]
}

// pattern makes n bytes that no other seed makes.
func (r *rig) pattern(n int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// tail is a pattern where the port wants tails to be. The places are odd on purpose.
func (r *rig) tail(n int, seed uint64) []byte {
	b := r.pattern(n, seed)
	if r.Tails == nil {
		return b
	}
	if r.used+n > len(r.Tails) {
		r.used = 0
	}
	at := r.Tails[r.used : r.used+n : r.used+n]
	r.used += n + 1
	copy(at, b)
	return at
}

// memoryPeer is the peer of a memory port.
type memoryPeer struct {
	m    *Memory
	addr port.Addr
}

// Peer returns a peer at addr for conformance tests.
func (m *Memory) Peer(addr port.Addr) Peer { return &memoryPeer{m, addr} }

var errNothing = errors.New("no datagram is waiting")

func (p *memoryPeer) Send(payload []byte) error {
	if !p.m.Inject(payload, p.addr) {
		return errors.New("the port lost the datagram")
	}
	return nil
}

func (p *memoryPeer) Receive(payload []byte, _ time.Duration) (int, error) {
	b, to, ok := p.m.Take()
	if !ok {
		return 0, errNothing
	}
	if to != p.addr {
		return 0, fmt.Errorf("a datagram went to %v, not to %v", to, p.addr)
	}
	return copy(payload, b), nil
}

func (p *memoryPeer) Addr() port.Addr { return p.addr }

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"gannet/board"
	"gannet/bpf"
	"gannet/dataplane/port"
	"gannet/wire"
)

// skipUnsupported skips where the kernel or the privileges are missing.
func skipUnsupported(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, bpf.ErrUnsupported) || errors.Is(err, bpf.ErrPrivilege) {
		t.Skipf("missing: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// reads is how many reads a test makes: more with FULL=1.
func reads(few, full int64) int64 {
	if os.Getenv("FULL") == "1" {
		return full
	}
	return few
}

func TestValuesTellWhatIsTorn(t *testing.T) {
	for _, number := range []uint64{1, 2, 3, 127, 128, 1 << 40} {
		value := appendValue(nil, number)
		if got, err := numberOf(value); err != nil || got != number {
			t.Fatalf("number %d read as %d, %v", number, got, err)
		}
		other := appendValue(nil, number+maxValueWords) // of the same length
		for at := 0; at+wordBytes <= len(value) && len(value) > wordBytes; at += wordBytes {
			mixed := append(append([]byte{}, value[:at]...), other[at:]...)
			if at == 0 {
				mixed = append(append([]byte{}, other[:wordBytes]...), value[wordBytes:]...)
			}
			if _, err := numberOf(mixed); !errors.Is(err, errTorn) {
				t.Fatalf("number %d, torn at %d: %v", number, at, err)
			}
		}
		if _, err := numberOf(value[:len(value)-1]); !errors.Is(err, errTorn) {
			t.Fatal("a value that was cut off is whole")
		}
	}
}

func TestNoReadIsTornOrStale(t *testing.T) {
	c, err := newChurn()
	skipUnsupported(t, err)
	defer c.close()
	o, err := c.run(t.Context(), reads(200_000, 100_000_000))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d reads, %d answered by the kernel, %d writes; counted %v", o.reads, o.hits, o.writes, c.steer.Counters())
	if o.torn != 0 || o.stale != 0 {
		t.Errorf("%d torn, %d stale: %v", o.torn, o.stale, o.first)
	}
	counted := c.steer.Counters()
	if o.hits == 0 || uint64(o.hits) != counted[bpf.Answered] {
		t.Errorf("%d hits seen, the program counted %d", o.hits, counted[bpf.Answered])
	}
	if o.writes < leastWrites || counted[bpf.HotBusy] == 0 {
		t.Errorf("%d writes, of which %d met a reader: no test of anything", o.writes, counted[bpf.HotBusy])
	}
}

func startTestNode(t *testing.T, opt nodeOptions) *node {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root, for network namespaces")
	}
	n, err := startNode(opt)
	skipUnsupported(t, err)
	t.Cleanup(func() {
		if err := n.close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestNoReadOnTheWireIsTornOrStale(t *testing.T) {
	n := startTestNode(t, nodeOptions{hot: true, passNanos: 500_000})
	c := &wireChurn{node: n}
	wanted := reads(20_000, 10_000_000)
	o, err := c.run(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	hits := int64(n.answered())
	t.Logf("%d reads, %d answered by the kernel, %d writes; published %d times", o.reads, hits, o.writes, n.counter(board.CountKernelPublished))
	if o.torn != 0 || o.stale != 0 {
		t.Errorf("%d torn, %d stale: %v", o.torn, o.stale, o.first)
	}
	if hits < wanted/4 || hits > o.asked {
		t.Errorf("the kernel answered %d of %d reads: no test of it", hits, o.asked)
	}
	if o.writes < leastWrites {
		t.Errorf("%d writes", o.writes)
	}
}

// The same request, answered by the shard and by the kernel, gets the same bytes:
// but for load, remaining TTL and age, which are of their moments.
func TestKernelAnswersAsTheShard(t *testing.T) {
	for _, rung := range []port.Rung{port.RungXDPCopy, port.RungXDPGeneric} {
		t.Run(rung.String(), func(t *testing.T) {
			n := startTestNode(t, nodeOptions{hot: true, passNanos: 1_000_000, rungs: []port.Rung{rung}})
			for _, to := range []netip.AddrPort{serverIPv4, serverIPv6} {
				for _, words := range []int{1, 2, 13, 128} {
					compareAnswers(t, n, to, words)
				}
			}
		})
	}
}

func compareAnswers(t *testing.T, n *node, to netip.AddrPort, words int) {
	t.Helper()
	c, err := n.dial(to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	key := []byte(fmt.Sprint("key of ", words, " words, asked over ", to))
	value := bytes.Repeat([]byte("eightbit"), words)
	put := wire.Op{Code: wire.Put, Key: key, Value: value, TTLSeconds: 1000, SoftSeconds: 500}
	if op, err := c.ask(&put); err != nil || op.Status != wire.StatusOK {
		t.Fatal(op.Status, err)
	}
	ask := get(key, len(value))
	fromShard := sameRequest(t, c, ask)
	if err := n.heat(c, ask); err != nil {
		t.Fatal(err)
	}
	before := n.answered()
	fromKernel := sameRequest(t, c, ask)
	if answered := n.answered() - before; answered != 1 {
		t.Fatalf("the kernel answered %d times; counted %v", answered, n.steer.Counters())
	}
	if !bytes.Equal(fromShard, fromKernel) {
		t.Errorf("%s:\nshard  %x\nkernel %x", key, fromShard, fromKernel)
	}
}

// sameRequest sends a request of a fixed id and blanks what is of the moment.
func sameRequest(t *testing.T, c *client, ask *wire.Op) []byte {
	t.Helper()
	id := c.header.RequestID
	c.header.RequestID = 4711
	payload, err := c.exchange(ask)
	if err != nil {
		t.Fatal(err)
	}
	c.header.RequestID = id
	reply := bytes.Clone(payload)
	clear(reply[wire.OffsetLoad : wire.OffsetLoad+2])
	at := wire.ReplyHeaderBytes + wire.ReplyOpOffsetTTLSeconds
	clear(reply[at : at+8])
	return reply
}

// A loop that stands still is not answered for, and one that ended neither.
func TestNothingIsAnsweredForAStoppedLoop(t *testing.T) {
	n := startTestNode(t, nodeOptions{hot: true, passNanos: 1_000_000})
	c, err := n.dial(serverIPv4)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	key := []byte("hot until the end")
	if _, err := c.ask(&wire.Op{Code: wire.Put, Key: key, Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	if err := n.heat(c, get(key, 1)); err != nil {
		t.Fatal(err)
	}
	if err := n.halt(); err != nil {
		t.Fatal(err)
	}
	before := n.steer.Counters()
	c.build(get(key, 1), 1)
	if _, err := c.conn.Write(c.request); err != nil {
		t.Fatal(err)
	}
	for n.steer.Counters()[bpf.Redirected]+n.steer.Counters()[bpf.PassStale] == before[bpf.Redirected]+before[bpf.PassStale] {
		runtime.Gosched() // until the program has seen it
	}
	if n.answered() != before[bpf.Answered] {
		t.Error("answered for a loop that has ended")
	}
	if published, withdrawn := n.counter(board.CountKernelPublished), n.counter(board.CountKernelWithdrawn); published == 0 || published != withdrawn {
		t.Errorf("%d published, %d withdrawn", published, withdrawn)
	}
}

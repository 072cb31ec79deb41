package openloop

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"gannet/wire"
)

// ringSlots is how many requests a generator remembers: more than can be on
// their way within any sensible budget. A power of two.
const ringSlots = 1 << 18

// grace is how long replies are awaited after the schedule's end.
const grace = 200 * time.Millisecond

// target is a key with what a request for it carries.
type target struct {
	hash uint64
	key  [keyBytes]byte
}

// generator offers its share of the load over one socket, from one thread.
type generator struct {
	socket   *socket
	cpu      int // to be pinned to; negative = none
	shard    uint16
	keys     int // of each request
	targets  []target
	rate     float64
	duration time.Duration
	budget   int64
	random   *rand.Rand

	start  time.Time
	sent   int64   // sequence number of the next request
	due    []int64 // scheduled times, by sequence modulo ringSlots; 0 = answered
	out    *datagrams
	in     *datagrams
	result Result
	hits   *hdrhistogram.Histogram // nanoseconds
	err    error
}

const sessionID = 0x09E27009

func newGenerator(s *socket, shard uint16, targets []target, o *Options, rate float64, seed uint64) *generator {
	g := &generator{
		socket: s, shard: shard, keys: o.KeysPerRequest, targets: targets, rate: rate, duration: o.Duration, budget: int64(o.Budget),
		cpu:    -1,
		random: rand.New(rand.NewPCG(seed, uint64(shard))),
		due:    make([]int64, ringSlots),
		out:    newDatagrams(batchDatagrams, requestBytes(o.KeysPerRequest)),
		in:     newDatagrams(batchDatagrams, replyBytes),
		hits:   hdrhistogram.New(1, int64(time.Minute), 3),
	}
	if len(o.CPUs) > 0 {
		g.cpu = o.CPUs[int(seed-o.Seed)%len(o.CPUs)]
	}
	for i := range batchDatagrams {
		g.template(g.out.buffer(i))
	}
	return g
}

// template writes what all requests have in common.
func (g *generator) template(b []byte) {
	d := wire.AppendRequest(b[:0], &wire.RequestHeader{Shard: g.shard, SessionID: sessionID, Cookie: g.socket.cookie})
	for range g.keys {
		d = wire.AppendOp(d, 0, &wire.Op{Code: wire.Get, Key: g.targets[0].key[:]})
	}
}

// run carries out the schedule and then waits for the last replies.
func (g *generator) run(start time.Time) {
	if g.err = g.pin(); g.err != nil {
		return
	}
	g.start = start
	total := int64(g.rate * g.duration.Seconds())
	for g.sent < total && g.err == nil {
		now := int64(time.Since(g.start))
		due := min(int64(float64(now)/1e9*g.rate)+1, total) - g.sent
		g.offer(int(min(due, batchDatagrams)), now)
		if g.collect() == 0 && due <= batchDatagrams {
			g.socket.wait(time.Duration(g.moment(g.sent) - int64(time.Since(g.start))))
		}
		if int64(time.Since(g.start)) > 2*int64(g.duration) {
			break // hopelessly behind: the result says what was really offered
		}
	}
	g.result.Seconds = time.Since(g.start).Seconds()
	for end := time.Now().Add(grace); time.Now().Before(end) && g.err == nil; {
		if g.collect() == 0 {
			g.socket.wait(time.Until(end))
		}
	}
}

// pin takes a thread for this goroutine and ties it to its CPU. A pinned thread is
// not given back: it ends with the goroutine.
func (g *generator) pin() error {
	runtime.LockOSThread()
	if g.cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(g.cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin the generator to CPU %d: %w: give a CPU that this process may run on", g.cpu, err)
	}
	return nil
}

// moment is when a request is due.
func (g *generator) moment(sequence int64) int64 { return int64(float64(sequence) * 1e9 / g.rate) }

// offer sends the next n requests of the schedule. What the kernel does not take
// is offered again in the next round, later than scheduled.
func (g *generator) offer(n int, nowNanos int64) {
	if n <= 0 {
		return
	}
	for i := range n {
		g.patch(g.out.buffer(i), g.sent+int64(i), nowNanos)
	}
	took, err := g.out.send(g.socket.fd, n)
	for i := range took {
		sequence := g.sent + int64(i)
		g.due[sequence%ringSlots] = g.moment(sequence) + 1 // 0 stands for answered
	}
	g.sent += int64(took)
	g.result.Sent += int64(took)
	g.err = err
}

// patch makes the template the request with a sequence number.
func (g *generator) patch(b []byte, sequence, nowNanos int64) {
	le := binary.LittleEndian
	for i := range g.keys {
		t := &g.targets[g.random.IntN(len(g.targets))]
		copy(b[wire.MinRequestBytes+i*opBytes:], t.key[:])
		if i == 0 {
			le.PutUint64(b[wire.OffsetKeyHash:], t.hash)
		}
	}
	left := max(g.moment(sequence)+g.budget-nowNanos, int64(time.Microsecond))
	le.PutUint64(b[wire.OffsetRequestID:], uint64(sequence))
	le.PutUint32(b[wire.OffsetBudgetMicros:], uint32(left/1000))
}

// collect takes in the replies that are there.
func (g *generator) collect() int {
	n, err := g.in.receive(g.socket.fd)
	if err != nil {
		g.err = err
		return 0
	}
	if n == 0 {
		return 0
	}
	now := int64(time.Since(g.start))
	for i := range n {
		g.file(g.in.received(i), now)
	}
	return n
}

// file counts one reply. Only its first bytes are looked at: speed matters, and
// values are checked elsewhere.
func (g *generator) file(reply []byte, nowNanos int64) {
	if len(reply) < wire.MinReplyBytes {
		return
	}
	le := binary.LittleEndian
	sequence := int64(le.Uint64(reply[wire.OffsetRequestID:]))
	if le.Uint64(reply[wire.OffsetSessionID:]) != sessionID || sequence < 0 || sequence >= g.sent || g.sent-sequence > ringSlots {
		return
	}
	slot := &g.due[sequence%ringSlots]
	if *slot == 0 {
		return // a second part of a long value, or a duplicate
	}
	latency := max(nowNanos-(*slot-1), 1)
	*slot = 0
	op := reply[int(reply[wire.OffsetHeaderWords])*wire.AlignBytes:]
	if len(op) < wire.ReplyOpHeaderBytes {
		g.result.Failed++
		return
	}
	g.count(wire.Status(op[wire.ReplyOpOffsetStatus]), latency)
}

func (g *generator) count(status wire.Status, latencyNanos int64) {
	switch status {
	case wire.StatusOK:
		_ = g.hits.RecordValue(min(latencyNanos, int64(time.Minute))) // inside its range
		if latencyNanos <= g.budget {
			g.result.Good++
		} else {
			g.result.Late++
		}
	case wire.StatusTooLate, wire.StatusOverloaded:
		g.result.Shed++
	case wire.StatusMiss:
		g.result.Missed++
	default:
		g.result.Failed++
	}
}

package wirefuzz

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gannet/checksum"
	"gannet/wire"
)

// ErrNoHello says that there is no node to be tried.
var ErrNoHello = errors.New("no answer to HELLO: is the node running, and is this the UDP address of one of its shards?")

// Traffic is what went over one source. Bytes are those of UDP payloads.
type Traffic struct {
	Sent          int64
	BytesSent     int64
	Replies       int64
	BytesReceived int64
	Lost          uint32                  // replies this side had no room for: not among the received
	BadReplies    int64                   // that do not parse
	Statuses      [wire.StatusCount]int64 // of the replies' first operations

	// By request id, so of use for the unproven source only: all its datagrams that may be answered have ids of their own.
	Amplified  int64   // replies that brought a datagram's answers above its own length
	WorstRatio float64 // of bytes received for a datagram to its length
}

// Result is what a run found.
type Result struct {
	Broken int64 // datagrams sent that break the format
	Probes int64 // sent besides without a good cookie; every fourth breaks the format, too
	// Reasons counts all malformed ones by the parser's answer: what a node on kernel sockets should have counted, to the last one. (An
	// XDP program counts some of them under reasons of its own.)
	Reasons  [wire.ReasonCount]int64
	Proven   Traffic
	Unproven Traffic

	Alive          bool          // the node answered to the end
	SentinelIntact bool          // value and version were the same at the end
	BootChanged    bool          // another boot id at the end: the node lost its memory
	Restarts       int           // times that its counters fell back: the data plane was started again, warm perhaps
	LongestSilence time.Duration // that a HELLO was not answered
}

// Quiet reports whether no unproven byte was answered with more than one, in sum and for each datagram, and all replies were seen.
func (r *Result) Quiet() bool {
	u := &r.Unproven
	return u.BytesReceived <= u.BytesSent && u.Amplified == 0 && u.Lost == 0 && u.WorstRatio <= 1
}

// Lived reports whether one and the same data plane served the whole run, and nothing came of what was broken.
func (r *Result) Lived() bool {
	return r.Alive && r.SentinelIntact && !r.BootChanged && r.Restarts == 0
}

// Missing returns the reasons that no datagram was sent for, of those that a request on a socket can be refused for.
func (r *Result) Missing() (missing []wire.Reason) {
	for reason := wire.ReasonShort; reason < wire.ReasonCount; reason++ {
		if r.Reasons[reason] == 0 && !unreachable(reason) {
			missing = append(missing, reason)
		}
	}
	return missing
}

// unreachable: no socket sends datagrams that long, and the others are for replies.
func unreachable(reason wire.Reason) bool {
	return reason == wire.ReasonLong || reason == wire.ReasonStatus || reason == wire.ReasonStages
}

// patience is how long the node may be silent before it counts as dead.
const patience = 3 * time.Second

// suspicious is a silence in which a data plane could have been started again.
const suspicious = 50 * time.Millisecond

// rollKey is written to, to see the node count.
const rollKey = "gannet:wirefuzz:roll"

// Run sends n broken datagrams to the shard at target, and a well-formed one without cookie for every 32 of them. A node that falls
// silent ends the run, with Result.Alive false; an error says that the run itself could not be made.
func Run(ctx context.Context, target netip.AddrPort, n int, seed uint64) (Result, error) {
	f, err := newFuzzer(target, seed)
	if err != nil {
		return Result{}, err
	}
	defer f.proven.close()
	defer f.unproven.close()
	hello, err := f.hello(ctx)
	if err != nil {
		return Result{}, errors.Join(ErrNoHello, err)
	}
	f.aim(target, hello)
	if err := f.plant(ctx); err != nil {
		return Result{}, err
	}
	err = f.batches(ctx, n)
	if err == nil {
		err = f.inspect(ctx, hello)
	}
	f.result.Alive = err == nil
	if errors.Is(err, errSilent) {
		err = nil // not the run's failure: what it was made to find
	}
	return f.finish(), err
}

type fuzzer struct {
	proven, unproven *source
	good, bad        *Generator // whose datagrams carry a good cookie, and those that do not
	nextID           uint64
	sentinel         []byte
	version          wire.Version
	puts             uint64 // that the node has counted, when it was last asked
	result           Result
}

func newFuzzer(target netip.AddrPort, seed uint64) (*fuzzer, error) {
	proven, err := newSource(target)
	if err != nil {
		return nil, err
	}
	unproven, err := newSource(target)
	if err != nil {
		proven.close()
		return nil, err
	}
	f := &fuzzer{proven: proven, unproven: unproven, good: NewGenerator(seed), bad: NewGenerator(^seed)}
	f.sentinel = bytes.Repeat([]byte("untouched "), 100)
	return f, nil
}

// aim finds the shard that listens on the target's port.
func (f *fuzzer) aim(target netip.AddrPort, hello wire.HelloReply) {
	shard := target.Port() - hello.BasePort
	if target.Port() >= hello.BasePort && shard < hello.Shards {
		f.good.Shard, f.bad.Shard = shard, shard
	}
}

var errSilent = errors.New("the node does not answer")

// ask sends a well-formed request of one operation from the proven source until it is answered.
func (f *fuzzer) ask(ctx context.Context, op *wire.Op) (wire.ReplyOp, error) {
	f.nextID++
	id := ownID | f.nextID
	header := wire.RequestHeader{Shard: f.good.Shard, RequestID: id, SessionID: 1, Cookie: f.good.Cookie}
	header.KeyHash = wire.KeyHash(op.Key)
	begun, wait := time.Now(), 20*time.Millisecond
	for time.Since(begun) < patience {
		b := wire.AppendOp(wire.AppendRequest(f.proven.slot()[:0], &header), 0, op)
		if err := errors.Join(f.proven.add(b), f.proven.flush()); err != nil {
			return wire.ReplyOp{}, err
		}
		attempt, cancel := context.WithTimeout(ctx, wait)
		answer, err := f.proven.waitFor(attempt, id)
		cancel()
		if err == nil {
			f.result.LongestSilence = max(f.result.LongestSilence, time.Since(begun))
			return answer, nil
		}
		if ctx.Err() != nil {
			return wire.ReplyOp{}, ctx.Err()
		}
		wait = min(2*wait, 500*time.Millisecond)
	}
	f.result.LongestSilence = max(f.result.LongestSilence, time.Since(begun))
	return wire.ReplyOp{}, errSilent
}

// hello renews the cookie, and tells that the node has taken all that was sent before.
func (f *fuzzer) hello(ctx context.Context) (wire.HelloReply, error) {
	reply, err := f.ask(ctx, &wire.Op{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)})
	if err != nil {
		return wire.HelloReply{}, err
	}
	hello, ok := wire.ParseHelloReply(reply.Value)
	if !ok || reply.Status != wire.StatusOK {
		return wire.HelloReply{}, fmt.Errorf("HELLO was answered with %v and %d bytes", reply.Status, len(reply.Value))
	}
	f.good.Cookie = reply.Token
	return hello, nil
}

// put stores an item from the proven source.
func (f *fuzzer) put(ctx context.Context, key string, value []byte) (wire.Version, error) {
	reply, err := f.ask(ctx, &wire.Op{Code: wire.Put, Key: []byte(key), Value: value})
	if err == nil && reply.Status != wire.StatusOK {
		err = fmt.Errorf("the node says %v", reply.Status)
	}
	if err != nil {
		return 0, fmt.Errorf("storing %s: %w", key, err)
	}
	return reply.Version, nil
}

// plant stores the item that nothing may touch.
func (f *fuzzer) plant(ctx context.Context) (err error) {
	if f.version, err = f.put(ctx, SentinelKey, f.sentinel); err != nil {
		return err
	}
	return f.roll(ctx)
}

// roll finds out whether the data plane is still the same process: its count of PUTs, to which one is added, must have grown.
func (f *fuzzer) roll(ctx context.Context) error {
	if _, err := f.put(ctx, rollKey, nil); err != nil {
		return err
	}
	reply, err := f.ask(ctx, &wire.Op{Code: wire.Stats})
	if err != nil {
		return fmt.Errorf("asking for STATS: %w", err)
	}
	var stats struct {
		Puts *uint64 `json:"puts"`
	}
	if json.Unmarshal(reply.Value, &stats) != nil || stats.Puts == nil {
		return fmt.Errorf("STATS, answered with %v, does not tell the puts: %q", reply.Status, reply.Value)
	}
	if *stats.Puts <= f.puts {
		f.result.Restarts++
	}
	f.puts = *stats.Puts
	return nil
}

// batches sends everything, and waits for the node after each batch.
func (f *fuzzer) batches(ctx context.Context, n int) error {
	for n > 0 {
		for range min(n, batchSize/2) {
			if err := f.one(); err != nil {
				return err
			}
		}
		n -= batchSize / 2
		if err := f.probe(); err != nil {
			return err
		}
		if err := errors.Join(f.unproven.flush(), f.proven.flush()); err != nil {
			return err
		}
		if err := f.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until the node has taken the batch, and looks more closely when that took long.
func (f *fuzzer) settle(ctx context.Context) error {
	begun := time.Now()
	if _, err := f.hello(ctx); err != nil {
		return err
	}
	if time.Since(begun) < suspicious {
		return nil
	}
	return f.roll(ctx)
}

// one sends a broken datagram: garbage from either source in turn, and mutations, which know a good cookie, from the proven one.
func (f *fuzzer) one() error {
	f.nextID++
	f.result.Broken++
	if f.result.Broken%2 == 0 {
		b, reason := f.good.Mutated(f.proven.slot(), f.nextID)
		f.result.Reasons[reason]++
		return f.proven.add(b)
	}
	from, generator := f.proven, f.good
	if f.result.Broken%4 == 1 {
		from, generator = f.unproven, f.bad
	}
	b, reason := generator.Garbage(from.slot())
	f.result.Reasons[reason]++
	return from.add(b)
}

// probe asks well-formed questions of every kind from the unproven source: with no cookie, with the cookie of the other source, and
// broken ones.
func (f *fuzzer) probe() error {
	f.nextID++
	f.result.Probes++
	f.bad.Cookie = f.good.Cookie * uint64(f.result.Probes%2)
	if f.result.Probes%4 == 3 {
		b, reason := f.bad.Mutated(f.unproven.slot(), f.nextID)
		f.result.Reasons[reason]++
		return f.unproven.add(b)
	}
	return f.unproven.add(f.bad.Good(f.unproven.slot(), f.nextID))
}

// inspect reads the sentinel back and asks whether the node is still the same.
func (f *fuzzer) inspect(ctx context.Context, before wire.HelloReply) error {
	after, err := f.hello(ctx)
	if err != nil {
		return err
	}
	f.result.BootChanged = after.BootID != before.BootID
	if err := f.roll(ctx); err != nil {
		return err
	}
	reply, err := f.ask(ctx, &wire.Op{Code: wire.Get, Key: []byte(SentinelKey)})
	if err != nil {
		return err
	}
	f.result.SentinelIntact = reply.Status == wire.StatusOK && reply.Version == f.version &&
		bytes.Equal(reply.Value, f.sentinel) && reply.CRC == checksum.CRC(f.sentinel)
	return nil
}

func (f *fuzzer) finish() Result {
	f.result.Proven, f.result.Unproven = f.proven.snapshot(), f.unproven.snapshot()
	f.result.Proven.Lost, _ = receiveDrops(f.proven.conn)
	f.result.Unproven.Lost, _ = receiveDrops(f.unproven.conn)
	return f.result
}

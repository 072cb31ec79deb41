package dataplane

import (
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/security"
	"gannet/shard"
	"gannet/wire"
)

// rig is one shard with its loop on a port in memory, driven turn by turn.
type rig struct {
	t       testing.TB
	loop    *Loop
	port    *porttest.Memory
	board   *board.Board
	store   *shard.Shard
	cookies *security.Cookies
	now     int64
	from    port.Addr
	lastID  uint64
}

type rigOptions struct {
	port   porttest.Options
	config Config
	store  shard.Config
}

const rigStart = int64(1e12)

func newRig(t testing.TB, opt rigOptions) *rig {
	t.Helper()
	r := &rig{t: t, now: rigStart, from: peer(1)}
	opt.port.NowNanos = func() int64 { return r.now }
	r.port = porttest.New(opt.port)
	cfg := opt.config
	if cfg.Shards == 0 {
		cfg.Shards = 1
	}
	if cfg.Board == nil {
		cfg.Board = newBoard(t, cfg.Shards)
	}
	r.board = cfg.Board
	r.board.Fence().Set(1 << 62)
	r.cookies = security.NewCookies([16]byte{1, 2, 3}, int64(600e9))
	if opt.store.MemoryBytes == 0 {
		opt.store.MemoryBytes = 64 << 20
	}
	opt.store.Policy, opt.store.NUMANode = "default", -1
	cfg.Log = NewLog(r.board, cfg.Shard)
	opt.store.Log = cfg.Log
	store, _, err := shard.Open(opt.store, r.now)
	if err != nil {
		t.Fatal(err)
	}
	r.store = store
	cfg.Port, cfg.Store, cfg.Cookies = r.port, store, r.cookies
	cfg.Policy, cfg.BasePort, cfg.NodeID, cfg.BootID = "default", 9800, 7, 8
	if r.loop, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.loop.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func newBoard(t testing.TB, shards int) *board.Board {
	t.Helper()
	b, err := board.Create(filepath.Join(t.TempDir(), "board"), board.Spec{Shards: shards})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// peer is the nth client's address.
func peer(n byte) port.Addr {
	a := port.Addr{Port: 40000 + uint16(n)}
	copy(a.IP[10:], []byte{0xff, 0xff, 10, 0, 0, n})
	return a
}

func (r *rig) header() wire.RequestHeader {
	r.lastID++
	return wire.RequestHeader{
		RequestID: r.lastID, SessionID: 77, Shard: uint16(r.loop.cfg.Shard),
		Cookie: r.cookies.Make(r.from.IP, r.from.Port, r.now),
	}
}

// datagram builds a request; the header's key hash is that of the first key.
func datagram(h wire.RequestHeader, ops ...wire.Op) []byte {
	if len(ops) > 0 && len(ops[0].Key) > 0 {
		h.KeyHash = wire.KeyHash(ops[0].Key)
	}
	b := wire.AppendRequest(nil, &h)
	for i := range ops {
		b = wire.AppendOp(b, 0, &ops[i])
	}
	return b
}

func (r *rig) inject(b []byte) {
	r.t.Helper()
	if !r.port.Inject(b, r.from) {
		r.t.Fatal("the port had no frame for a request")
	}
}

// turns runs the loop until it has nothing to do, and checks the frames then.
func (r *rig) turns() {
	r.t.Helper()
	for i := 0; r.loop.Turn(r.now); i++ {
		if i > 10000 {
			r.t.Fatal("the loop never rests")
		}
		r.now += 1000
	}
	if c := r.port.Census(); !c.Balanced() || c.Held != r.loop.heldFrames() {
		r.t.Fatalf("frame census %+v, the loop holds %d", c, r.loop.heldFrames())
	}
}

// answer is a parsed reply datagram with copies of its operations.
type answer struct {
	wire.Reply
	bytes int
	ops   []wire.ReplyOp
}

// take parses what the port sent since.
func (r *rig) take() (answers []answer) {
	r.t.Helper()
	for {
		b, to, ok := r.port.Take()
		if !ok {
			return answers
		}
		if to != r.from {
			r.t.Fatalf("reply for %v, want %v", to, r.from)
		}
		a := answer{bytes: len(b)}
		if reason := wire.ParseReply(b, &a.Reply); reason != wire.ReasonNone {
			r.t.Fatalf("reply does not parse: %v", reason)
		}
		ops := a.Ops()
		var op wire.ReplyOp
		for ops.Next(&op) {
			if !op.Intact() {
				r.t.Fatalf("CRC of operation %d is not its value's", op.Index)
			}
			a.ops = append(a.ops, op)
		}
		answers = append(answers, a)
	}
}

// ask sends one datagram and returns the replies.
func (r *rig) ask(ops ...wire.Op) []answer {
	r.t.Helper()
	r.inject(datagram(r.header(), ops...))
	r.turns()
	return r.take()
}

// one sends one datagram that is answered by one.
func (r *rig) one(ops ...wire.Op) answer {
	r.t.Helper()
	answers := r.ask(ops...)
	if len(answers) != 1 || len(answers[0].ops) != len(ops) {
		r.t.Fatalf("got %d datagrams (%+v), want one of %d operations", len(answers), answers, len(ops))
	}
	return answers[0]
}

// do sends one operation and returns its answer.
func (r *rig) do(op wire.Op) wire.ReplyOp {
	r.t.Helper()
	return r.one(op).ops[0]
}

func (r *rig) mustStatus(want wire.Status, op wire.Op) wire.ReplyOp {
	r.t.Helper()
	got := r.do(op)
	if got.Status != want {
		r.t.Fatalf("%v of %q: status %v, want %v", op.Code, op.Key, got.Status, want)
	}
	return got
}

func put(key, value string) wire.Op {
	return wire.Op{Code: wire.Put, Key: []byte(key), Value: []byte(value)}
}

func get(key string) wire.Op { return wire.Op{Code: wire.Get, Key: []byte(key)} }

func (r *rig) counter(id board.Counter) uint64 {
	r.loop.publishCounters()
	return r.board.Counters(r.loop.cfg.Shard).Get(id)
}

func (r *rig) reason(why Reason) uint64 { return r.loop.counts.reason[why] }

// rapidRig is a rig whose failures are rapid's, and which ends with its case.
type rapidRig struct {
	*rig
	rt    *rapid.T
	outer *failer
}

// failer gives a rapid.T the rest of testing.TB that rigs use.
type failer struct {
	testing.TB
	rt   *rapid.T
	dir  string
	undo []func()
}

func (f *failer) Helper()                      {}
func (f *failer) Fatal(args ...any)            { f.rt.Fatal(args...) }
func (f *failer) Fatalf(s string, args ...any) { f.rt.Fatalf(s, args...) }
func (f *failer) Error(args ...any)            { f.rt.Error(args...) }
func (f *failer) Errorf(s string, args ...any) { f.rt.Errorf(s, args...) }
func (f *failer) Cleanup(do func())            { f.undo = append(f.undo, do) }
func (f *failer) TempDir() string              { return f.dir }

func newRapidRig(t *rapid.T, opt porttest.Options) *rapidRig {
	return newRapidRigWith(t, opt, shard.Config{MemoryBytes: 8 << 20})
}

func newRapidRigWith(t *rapid.T, opt porttest.Options, store shard.Config) *rapidRig {
	dir, err := os.MkdirTemp("", "gannet-loop-")
	if err != nil {
		t.Fatal(err)
	}
	f := &failer{rt: t, dir: dir}
	f.undo = append(f.undo, func() { _ = os.RemoveAll(dir) })
	return &rapidRig{rig: newRig(f, rigOptions{port: opt, store: store}), rt: t, outer: f}
}

func (r *rapidRig) end() {
	for i := len(r.outer.undo) - 1; i >= 0; i-- {
		r.outer.undo[i]()
	}
}

// exchange sends one datagram and returns the answers by operation.
func (r *rapidRig) exchange(ops []wire.Op) []wire.ReplyOp {
	r.inject(datagram(r.header(), ops...))
	got := make([]wire.ReplyOp, len(ops))
	seen := make([]bool, len(ops))
	for range 2 * len(ops) {
		r.turns()
		for _, a := range r.take() {
			for _, op := range a.ops {
				got[op.Index], seen[op.Index] = op, true
			}
		}
	}
	for i := range seen {
		if !seen[i] {
			r.rt.Fatalf("operation %d of %d was not answered", i, len(ops))
		}
	}
	return got
}

package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gannet/board"
	"gannet/dataplane"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/replication"
	"gannet/ring"
	"gannet/security"
	"gannet/shard"
	"gannet/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is etcd as far as a ring goes: one record, compared by revision.
type store struct {
	mu       sync.Mutex
	rec      replication.Record
	watchers []func(replication.Record)
}

func (s *store) put(r *ring.Ring, prevVoters []uint64, blank ...uint64) {
	s.mu.Lock()
	rec := replication.NewRecord(r, s.rec.Revision+1, prevVoters)
	rec.Blank = blank
	s.rec = rec
	watchers := s.watchers
	s.mu.Unlock()
	for _, tell := range watchers {
		tell(rec)
	}
}

func (s *store) get() replication.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rec
}

// node is a driver over the board of a real shard loop on a port in memory.
type node struct {
	t      *testing.T
	id     uint64
	board  *board.Board
	mem    *porttest.Memory
	rings  *dataplane.Rings
	driver *Driver
	addr   string // of its replication listener
	cookie uint64
	from   port.Addr
	mu     sync.Mutex
	lastID uint64
	report atomic.Pointer[replication.Report]
}

// flock is some nodes that know each other.
type flock struct {
	t     *testing.T
	etcd  *store
	nodes map[uint64]*node
	cut   map[[2]uint64]bool // pairs that cannot connect; guarded by mu
	mu    sync.Mutex
}

func newFlock(t *testing.T, ids ...uint64) *flock {
	t.Helper()
	f := &flock{t: t, etcd: &store{}, nodes: map[uint64]*node{}, cut: map[[2]uint64]bool{}}
	for _, id := range ids {
		f.nodes[id] = f.start(id)
	}
	return f
}

func member(id uint64, state ring.State) ring.Member {
	return ring.Member{
		ID: id, Name: fmt.Sprint("node-", id), Zone: fmt.Sprint("zone-", id), State: state, Weight: 1, Shards: 1,
		Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(1+id)), // nobody lives there
	}
}

func (f *flock) ring(epoch uint32, members ...ring.Member) *ring.Ring {
	f.t.Helper()
	r, err := ring.Build(ring.Spec{Epoch: epoch, Replicas: 2, Members: members})
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (f *flock) start(id uint64) *node {
	t := f.t
	t.Helper()
	dir := t.TempDir()
	b, err := board.Create(filepath.Join(dir, "board"), board.Spec{Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, id: id, board: b, from: port.Addr{Port: 40000}}
	n.mem = porttest.New(porttest.Options{NowNanos: port.BootNanos})
	cookies := security.NewCookies([16]byte{byte(id)}, int64(600e9))
	n.cookie = cookies.Make(n.from.IP, n.from.Port, port.BootNanos())
	n.rings = dataplane.NewRings(b, func(err error) { t.Error(err) })
	log := dataplane.NewLog(b, 0)
	kept, _, err := shard.Open(shard.Config{MemoryBytes: 32 << 20, Policy: "default", NUMANode: -1, Log: log, TombstoneNanos: 60e9}, port.BootNanos())
	if err != nil {
		t.Fatal(err)
	}
	loop, err := dataplane.New(dataplane.Config{
		Shards: 1, Port: n.mem, Store: kept, Board: b, Log: log, Cookies: cookies, Rings: n.rings, NodeID: id,
		SpinNanos: 10_000, HeartbeatNanos: 2e6, Policy: "default",
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Node().Start(os.Getpid(), 1, port.BootNanos())
	if err := b.Node().SetInfo(board.NodeInfo{NodeID: id, MemoryID: 1, Shards: []board.ShardInfo{{}}}); err != nil {
		t.Fatal(err)
	}
	n.serve(f, loop)
	return n
}

// serve runs the loop and the driver until the test ends.
func (n *node) serve(f *flock, loop *dataplane.Loop) {
	t := f.t
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var stop dataplane.Stop
	done := make(chan struct{})
	running.Go(func() {
		if err := loop.Run(&stop, -1, port.BootNanos); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() { n.rings.Follow(done) })
	<-loop.Started()
	n.board.Node().SetPhase(board.PhaseServing)
	group, err := replication.NewNode(replication.Config{}, replication.Origin{Self: n.id, Life: n.id, Shards: 1}, port.BootNanos())
	if err != nil {
		t.Fatal(err)
	}
	n.driver = New(Config{
		Node: group, Self: n.id, Clock: port.BootNanos, Log: slog.New(slog.DiscardHandler), MemoryID: 1,
		Board:      func(do func(*board.Board)) bool { do(n.board); return true },
		Publish:    func(rec replication.Record) { n.publish(rec) },
		Renew:      func(revision int64) { n.renew(f, revision) },
		ReadRing:   func() { n.driver.Post(replication.RecordSeen{Record: f.etcd.get(), Linear: true}) },
		Remember:   func([]byte, uint64) {},
		Gossip:     func(to uint64, payload []byte) { f.gossip(n.id, to, payload) },
		Controller: func() uint64 { return n.id },
		Reported:   func(r replication.Report) { n.report.Store(&r) },
		Dial:       func(ctx context.Context, to uint64) (net.Conn, error) { return f.dial(ctx, n.id, to) },
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.addr = listener.Addr().String()
	if err := n.driver.Start(ctx); err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { n.driver.Accept(ctx, conn, anybody) })
		}
	})
	running.Go(func() { _ = n.driver.Run(ctx) })
	f.etcd.watchers = append(f.etcd.watchers, func(rec replication.Record) {
		n.driver.Post(replication.RecordSeen{Record: rec, Linear: true})
	})
	t.Cleanup(func() {
		cancel()
		listener.Close()
		stop.Set()
		n.mem.Wake()
		close(done)
		running.Wait()
		if err := errors.Join(loop.Close(), n.board.Close()); err != nil {
			t.Error(err)
		}
	})
}

func (n *node) publish(rec replication.Record) {
	if err := n.board.Ring().Publish(rec.Epoch(), rec.Ring.AppendEncode(nil)); err != nil {
		n.t.Error(err)
	}
	n.mem.Wake()
}

func (n *node) renew(f *flock, revision int64) {
	if f.etcd.get().Revision == revision {
		n.driver.Post(replication.Renewed{Revision: revision, SentNanos: port.BootNanos()})
	} else {
		n.driver.Post(replication.RenewRefused{Revision: revision})
	}
}

func (f *flock) gossip(from, to uint64, payload []byte) {
	if n := f.nodes[to]; n != nil && !f.isCut(from, to) {
		n.driver.GossipReceived(from, payload)
	}
}

func (f *flock) isCut(a, b uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut[[2]uint64{min(a, b), max(a, b)}]
}

func (f *flock) dial(ctx context.Context, from, to uint64) (net.Conn, error) {
	if f.nodes[to] == nil || f.isCut(from, to) {
		return nil, errors.New("unreachable")
	}
	return new(net.Dialer).DialContext(ctx, "tcp", f.nodes[to].addr)
}

// ask sends one operation to the node's shard and waits for the answer.
func (n *node) ask(op wire.Op) wire.ReplyOp {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lastID++
	h := wire.RequestHeader{RequestID: n.lastID, SessionID: 77, Cookie: n.cookie, KeyHash: wire.KeyHash(op.Key)}
	b := wire.AppendOp(wire.AppendRequest(nil, &h), 0, &op)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if !n.mem.Inject(b, n.from) {
			n.t.Fatal("no frame")
		}
		if answer, ok := n.answer(h.RequestID); ok {
			return answer
		}
	}
	n.t.Fatalf("no answer to %v", op.Code)
	return wire.ReplyOp{}
}

func (n *node) answer(id uint64) (wire.ReplyOp, bool) {
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
		b, _, ok := n.mem.Take()
		if !ok {
			time.Sleep(50 * time.Microsecond) // the port in memory has no event to wait for
			continue
		}
		var reply wire.Reply
		var op wire.ReplyOp
		if wire.ParseReply(b, &reply) != wire.ReasonNone || reply.RequestID != id {
			continue
		}
		if ops := reply.Ops(); ops.Next(&op) {
			op.Value = append([]byte(nil), op.Value...)
			return op, true
		}
	}
	return wire.ReplyOp{}, false
}

// until repeats a question until its answer is right.
func until(t *testing.T, what string, right func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !right(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// store writes until it is acknowledged as asked: on a machine that stalls a fence
// lapses, and a follower is late.
func (n *node) store(op wire.Op) (stored wire.ReplyOp) {
	n.t.Helper()
	until(n.t, "the acknowledgement of a write", func() bool {
		stored = n.ask(op)
		return stored.Status == wire.StatusOK && (op.Flags&wire.OpAckReplica == 0 || stored.Flags&wire.ReplyDegraded == 0)
	})
	return stored
}

func putOp(key, value string) wire.Op {
	return wire.Op{Code: wire.Put, Key: []byte(key), Value: []byte(value)}
}

func getOp(key string) wire.Op { return wire.Op{Code: wire.Get, Key: []byte(key)} }

// ledBy makes a key that a member leads.
func ledBy(r *ring.Ring, id uint64, tag string) string {
	for i := 0; ; i++ {
		if key := fmt.Sprintf("%s-%d", tag, i); r.Owns(id, wire.KeyHash([]byte(key))) {
			return key
		}
	}
}

// pair starts two nodes that lead and follow each other, and waits until writes at 1
// are replicated to 2.
func pair(t *testing.T) (*flock, *ring.Ring) {
	t.Helper()
	f := newFlock(t, 1, 2)
	r := f.ring(1, member(1, ring.Active), member(2, ring.Active))
	f.etcd.put(r, nil, 1, 2)
	for _, n := range f.nodes {
		key := ledBy(r, n.id, "settled")
		until(t, "undegraded writes", func() bool {
			answer := n.ask(putOp(key, "v"))
			return answer.Status == wire.StatusOK && answer.Flags&wire.ReplyDegraded == 0
		})
	}
	return f, r
}

func TestWritesReachTheFollower(t *testing.T) {
	f, r := pair(t)
	for i := range 200 {
		key := ledBy(r, 1, fmt.Sprint("key-", i))
		op := putOp(key, key)
		if i%20 == 0 {
			op.Flags = wire.OpAckReplica
		}
		stored := f.nodes[1].store(op)
		if i%20 == 0 { // acknowledged by the follower: it is there
			if got := f.nodes[2].ask(getOp(key)); string(got.Value) != key || got.Version != stored.Version {
				t.Fatalf("%s at the follower: %v %q", key, got.Status, got.Value)
			}
		}
	}
	key := ledBy(r, 1, "key-0")
	f.nodes[1].ask(wire.Op{Code: wire.Delete, Key: []byte(key)})
	until(t, "the delete", func() bool { return f.nodes[2].ask(getOp(key)).Status == wire.StatusMiss })
}

// TestAStreamGoesOnWhereItBroke: what was written meanwhile arrives, by the window or
// by a repair.
func TestAStreamGoesOnWhereItBroke(t *testing.T) {
	f, r := pair(t)
	f.mu.Lock()
	f.cut[[2]uint64{1, 2}] = true
	f.mu.Unlock()
	f.nodes[1].driver.mesh.mu.Lock()
	broken := f.nodes[1].driver.mesh.links[2]
	f.nodes[1].driver.mesh.mu.Unlock()
	broken.close()
	var keys []string
	for i := range 100 {
		keys = append(keys, ledBy(r, 1, fmt.Sprint("meanwhile-", i)))
		f.nodes[1].store(putOp(keys[i], "v"))
	}
	if got := f.nodes[2].ask(getOp(keys[99])); got.Status != wire.StatusMiss {
		t.Fatal("the link was not broken")
	}
	f.mu.Lock()
	clear(f.cut)
	f.mu.Unlock()
	for _, key := range keys {
		until(t, key, func() bool { return f.nodes[2].ask(getOp(key)).Status == wire.StatusOK })
	}
}

// TestAJoiningNodeIsRepaired: items of before come by a scan, deletes do not come back.
func TestAJoiningNodeIsRepaired(t *testing.T) {
	f := newFlock(t, 1, 2)
	alone := f.ring(1, member(1, ring.Active))
	f.etcd.put(alone, nil, 1)
	until(t, "writes", func() bool { return f.nodes[1].ask(putOp("first", "v")).Status == wire.StatusOK })
	const items = 3000
	for i := range items {
		put := putOp(fmt.Sprint("key-", i), fmt.Sprint("value-", i))
		until(t, "a write", func() bool { return f.nodes[1].ask(put).Status == wire.StatusOK })
	}
	for i := range 100 {
		remove := wire.Op{Code: wire.Delete, Key: []byte(fmt.Sprint("key-", i))}
		until(t, "a delete", func() bool { s := f.nodes[1].ask(remove).Status; return s == wire.StatusOK || s == wire.StatusNotFound })
	}
	joining := f.ring(2, member(1, ring.Active), member(2, ring.Joining))
	f.etcd.put(joining, []uint64{1})
	both := f.ring(3, member(1, ring.Active), member(2, ring.Active))
	// The node answers reads of what it follows only once the ring says so: its copy is
	// looked at through the ring in which it is active.
	until(t, "the repair", func() bool {
		report := f.nodes[2].report.Load()
		return report != nil && report.Epoch == 2 && report.Warm
	})
	f.etcd.put(both, []uint64{1})
	until(t, "the ring", func() bool { return f.nodes[2].ask(getOp("key-100")).Status != wire.StatusMoved })
	for i := range items {
		key := fmt.Sprint("key-", i)
		want := wire.StatusOK
		if i < 100 {
			want = wire.StatusMiss
		}
		if got := f.nodes[2].ask(getOp(key)); got.Status != want {
			t.Fatalf("%s at the new node: %v, want %v", key, got.Status, want)
		}
	}
}

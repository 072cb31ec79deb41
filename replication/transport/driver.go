package transport

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/replication"
	"gannet/ring"
)

const (
	tickNanos = int64(10e6)
	// The driver looks at the board this often while something moves, while nothing
	// does, and while there is nobody to replicate to.
	busyPoll  = time.Millisecond
	quietPoll = 5 * time.Millisecond
	alonePoll = 50 * time.Millisecond
	// What moved a moment ago will move again.
	busyNanos = int64(50e6)
	// What comes sooner after a turn than this waits for what else comes: a turn costs
	// as much for many messages as for one. The first after a quiet time waits for
	// nothing.
	turnGap = time.Millisecond
)

// Config is what a Driver is made of. Its functions are called from the driver's
// goroutine and must not wait, unless they say so.
type Config struct {
	Node *replication.Node
	Self uint64
	// Board calls do with the mapped board; false when there is none.
	Board func(do func(*board.Board)) bool
	// Clock reads CLOCK_BOOTTIME.
	Clock func() int64

	// Publish puts a ring up for everyone on this node.
	Publish func(replication.Record)
	// Renew and ReadRing ask etcd; what comes of it is posted.
	Renew    func(revision int64)
	ReadRing func()
	// Remember makes the state durable as far as this process's death goes.
	Remember func(state []byte, memoryID uint64)
	// MemoryID names the items that the remembered state is about.
	MemoryID uint64
	// Gossip sends a datagram to a member, best effort.
	Gossip func(to uint64, payload []byte)
	// Controller is the member that etcd elected, 0 = not known.
	Controller func() uint64
	// Reported takes a report when this node is the controller.
	Reported func(replication.Report)
	// Dial connects to a member for replication. It may wait.
	Dial func(ctx context.Context, member uint64) (net.Conn, error)
	// Wake rings the bell of a shard that may sleep: something for it stands on the
	// board.
	Wake func(shard int)
	// Wrote takes the writes that were read from a shard's log in one turn; they are its
	// only until it returns. nil: nobody wants them.
	Wrote func(writes []Write)
	// Watched says whether Wrote is wanted although there is nobody to replicate to.
	Watched func() bool

	Log *slog.Logger
}

// Write is a change of an item that this node led.
type Write struct {
	Key     []byte
	Hash    uint64
	Version uint64 // copies of a lower one are old
	Cached  bool   // there may be some
	Lost    bool   // instead of a write: some before it were lost, and nobody knows which
}

// Driver carries out what a Node wants.
type Driver struct {
	cfg    Config
	inbox  *inbox
	mesh   *mesh
	probes *prober
	counts counters
	heard  lastHeard

	started atomic.Bool // mesh is there

	// Owned by Run's goroutine.
	board       *board.Board // the mapping that the ends below belong to
	logs        []*logReader
	applier     applier
	scanner     scanner
	up          dataPlane
	record      replication.Record
	replicating bool // the ring has others
	watching    bool // nobody to replicate to, but somebody hears of writes
	held        []ring.Range
	degraded    []ring.Range
	lacking     []ring.Range
	spare       []ring.Range // see standsIn
	syncNanos   int64
	lists       spanLists
	adopt       uint32 // epoch whose adoption by the shards is awaited; 0 = none
	adoptedAt   int64  // when all had adopted it
	tickAt      int64
	turnedAt    int64
	movedAt     int64
	memoryID    uint64
	seen        []replication.Event          // on the board, in this turn
	writes      writeBuffer                  // read in this turn
	partners    []uint64                     // beside the ring's members
	repairs     map[uint64]replication.Begin // by leader: the last that began
	begun       bool                         // the Node knows its data plane and its logs
	early       []any                        // what came before
}

// dataPlane is what was reported last.
type dataPlane struct {
	reported bool
	up       bool
	pid      int
	started  int64
}

// everything is lacking until the Node has said what is.
var everything = []ring.Range{{From: 0, To: math.MaxUint64}}

// New makes a driver. Nothing moves before Run.
func New(cfg Config) *Driver {
	return &Driver{cfg: cfg, inbox: newInbox(), repairs: map[uint64]replication.Begin{}, memoryID: cfg.MemoryID, probes: newProber(), lacking: everything}
}

// Post gives the driver an event, from any goroutine.
func (d *Driver) Post(ev replication.Event) { d.inbox.post(ev) }

// Partner says which nodes to keep links to beside the ring's members: those that are
// to come. It may be called from any goroutine.
func (d *Driver) Partner(nodes []uint64) { d.inbox.post(partners(nodes)) }

type partners []uint64

// Accept serves a replication stream that another node opened, until it ends. may says
// whether the connection's other side may be the node it says it is.
func (d *Driver) Accept(ctx context.Context, conn net.Conn, may func(node uint64) bool) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	d.mesh.accept(conn, may)
}

// GossipReceived takes a datagram of Config.Gossip from a member.
func (d *Driver) GossipReceived(from uint64, payload []byte) bool {
	msg, err := replication.DecodeMessage(payload)
	if err != nil {
		d.counts.badMessages.Add(1)
		return false
	}
	d.inbox.post(replication.Received{From: from, Message: msg})
	return true
}

// Start prepares what Accept needs; call it before Run.
func (d *Driver) Start(ctx context.Context) error {
	d.mesh = newMesh(ctx, d.cfg.Self, d.cfg.Dial, d.inbox.post, d.cfg.Log)
	d.started.Store(true)
	return d.probes.open(d.inbox.post)
}

// Run drives until the context ends.
func (d *Driver) Run(ctx context.Context) error {
	defer d.probes.close()
	defer d.mesh.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.inbox.bell:
			if !d.gather(ctx, timer) {
				return nil
			}
		case <-timer.C:
		}
		d.turnedAt = d.cfg.Clock()
		d.turn(d.turnedAt)
		timer.Reset(d.pollAfter())
	}
}

// gather lets what comes soon after a turn wait for company. False: the context has
// ended.
func (d *Driver) gather(ctx context.Context, timer *time.Timer) bool {
	rest := turnGap - time.Duration(d.cfg.Clock()-d.turnedAt)
	if rest <= 0 {
		return true
	}
	timer.Reset(rest)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (d *Driver) pollAfter() time.Duration {
	switch {
	case !d.begun:
		return busyPoll
	case !d.replicating && !d.watching:
		return alonePoll
	case d.cfg.Clock()-d.movedAt < busyNanos:
		return busyPoll
	}
	return quietPoll
}

// turn takes what came, looks at the board, and lets time pass.
func (d *Driver) turn(now int64) {
	d.cfg.Board(func(b *board.Board) { d.lookAt(b, now) })
	for _, ev := range d.seen {
		d.step(ev)
	}
	d.seen = d.seen[:0]
	d.tellWrites()
	d.early = append(d.early, d.inbox.take()...)
	if !d.begin() {
		return
	}
	for _, ev := range d.early {
		d.take(ev)
	}
	d.early = nil
	d.passOn()
	if now-d.tickAt >= tickNanos {
		d.tickAt = now
		d.step(replication.Tick{})
	}
}

// passOn gives the shards at once what came for them in this turn: the next one may be
// a while away.
func (d *Driver) passOn() {
	if len(d.applier.waiting) == 0 {
		return
	}
	d.cfg.Board(func(b *board.Board) {
		if b == d.board && d.up.up {
			d.applier.turn(d.see)
			d.ringBells()
		}
	})
}

// begin says whether the Node may learn of the world: it must know its data plane and
// where the logs begin before.
func (d *Driver) begin() bool {
	if d.begun || !d.up.up {
		return d.begun
	}
	for _, r := range d.logs {
		if !r.known {
			return false
		}
	}
	d.begun = true
	return true
}

// take hands an event to the Node. Those of links that are not the present ones any
// more are dropped.
func (d *Driver) take(ev any) {
	switch e := ev.(type) {
	case fromLink:
		if !d.mesh.isCurrent(e.link) {
			return
		}
		if report, ok := e.msg.(replication.Report); ok {
			d.heard.note(e.link.peer, d.cfg.Clock())
			d.cfg.Reported(report)
			return
		}
		if begin, ok := e.msg.(replication.Begin); ok {
			d.repairs[e.link.peer] = begin
		}
		d.moved()
		d.heard.note(e.link.peer, d.cfg.Clock())
		d.step(replication.Received{From: e.link.peer, Message: e.msg})
	case linkUp:
		if d.mesh.isCurrent(e.link) {
			d.heard.note(e.link.peer, d.cfg.Clock())
			d.step(replication.LinkUp{With: e.link.peer})
		}
	case linkDown:
		d.step(replication.LinkDown{With: e.link.peer})
	case partners:
		d.partners = e
		d.followMembers()
	case replication.Received:
		d.heard.note(e.From, d.cfg.Clock())
		d.step(e)
	case replication.Traced:
		d.cfg.Log.Debug("sign of death of a member", "member", e.Of, "sign", e.Sign)
		d.step(e)
	case replication.Heard:
		d.heard.note(e.From, d.cfg.Clock())
		d.step(e)
	case replication.Event:
		d.step(e)
	}
}

func (d *Driver) moved() { d.movedAt = d.cfg.Clock() }

// step lets the Node take an event, and carries out what it wants.
func (d *Driver) step(ev replication.Event) {
	for _, a := range d.cfg.Node.Step(d.cfg.Clock(), ev) {
		d.perform(a)
	}
}

// see notes what was seen on the board. The Node takes it once the board is let go
// of: what it wants may need it again.
func (d *Driver) see(ev replication.Event) { d.seen = append(d.seen, ev) }

// lookAt reads what the data plane has put on the board since.
func (d *Driver) lookAt(b *board.Board, now int64) {
	if b != d.board {
		d.attach(b, now)
	}
	d.followDataPlane(b)
	if !d.up.up {
		return
	}
	d.watchLogs()
	if d.replicating || !d.begun {
		for _, r := range d.logs {
			before := len(r.window)
			r.read(b.Heartbeat(int(r.shard)), now, d.see)
			if len(r.window) != before {
				d.moved()
			}
		}
	} else if d.watching {
		for _, r := range d.logs {
			r.glance()
		}
	}
	applied, scanned := d.applier.turn(d.see), d.scanner.turn(func() []uint64 { return versionsOf(b) }, d.see)
	if applied || scanned {
		d.moved()
	}
	d.ringBells()
	d.checkAdoption(b, now)
}

// versionsOf are the greatest versions that the shards have given or seen.
func versionsOf(b *board.Board) []uint64 {
	versions := make([]uint64, b.Shards())
	for shard := range versions {
		versions[shard] = b.Heartbeat(shard).Version()
	}
	return versions
}

// attach opens the ends of the queues of another mapping.
func (d *Driver) attach(b *board.Board, now int64) {
	d.board = b
	d.logs = nil
	var queues []*board.Queue
	var scans []*board.Scan
	for shard := range b.Shards() {
		r := &logReader{shard: uint16(shard), wrote: d.noteWrite, missed: d.noteLoss}
		if d.replicating || !d.begun {
			r.attach(b.Log(shard), now)
		} else {
			r.queue = b.Log(shard)
			r.queue.Follow(d.watching)
		}
		d.logs = append(d.logs, r)
		queues = append(queues, b.Apply(shard))
		scans = append(scans, b.Scan(shard))
	}
	d.applier.attach(queues)
	d.scanner.attach(scans, now)
	d.publishSpans(b)
}

// followDataPlane tells the Node when the data plane comes and goes.
func (d *Driver) followDataPlane(b *board.Board) {
	pid, started := b.Node().PID()
	up := pid != 0 && b.Node().Phase() == board.PhaseServing && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
	if d.up.reported && up == d.up.up && (!up || pid == d.up.pid && int64(started) == d.up.started) {
		return
	}
	info, ok := b.Node().Info()
	if !ok {
		up = false
	}
	if d.up.reported && !up && !d.up.up {
		return
	}
	again := d.up.pid != 0 && pid != d.up.pid
	d.up = dataPlane{reported: true, up: up, pid: pid, started: int64(started)}
	if !up {
		d.see(replication.DataPlane{})
		return
	}
	cold := info.MemoryID != d.memoryID || again && beganFresh(&info)
	d.memoryID = info.MemoryID
	since := int64(0)
	for shard := range b.Shards() {
		since = max(since, b.Heartbeat(shard).TombstonesNanos())
	}
	d.see(replication.DataPlane{Up: true, Cold: cold, SinceNanos: since})
	if cold && d.begun {
		for _, r := range d.logs {
			r.begin(d.cfg.Clock())
		}
	}
	if d.adopt == 0 && d.record.Ring != nil {
		d.adopt, d.adoptedAt = d.record.Epoch(), 0
	}
}

// beganFresh says whether a shard found no items to go on with.
func beganFresh(info *board.NodeInfo) bool {
	for _, s := range info.Shards {
		if strings.HasPrefix(s.Recovery, "fresh") {
			return true
		}
	}
	return false
}

// checkAdoption reports when all shards have adopted the ring and their logs of before
// were read.
func (d *Driver) checkAdoption(b *board.Board, now int64) {
	if d.adopt == 0 {
		return
	}
	if d.adoptedAt == 0 {
		for shard := range b.Shards() {
			if b.Heartbeat(shard).Epoch() < d.adopt {
				return
			}
		}
		d.adoptedAt = now
	}
	for _, r := range d.logs {
		if d.replicating && r.emptyNanos <= d.adoptedAt {
			return
		}
	}
	epoch := d.adopt
	d.adopt = 0
	d.see(replication.Drained{Epoch: epoch})
}

// ringBells wakes shards that sleep over a filled apply queue.
func (d *Driver) ringBells() {
	if d.cfg.Wake == nil || !d.applier.busy() {
		return
	}
	for shard, q := range d.applier.queues {
		if q.Filled() > 0 {
			d.cfg.Wake(shard)
		}
	}
}

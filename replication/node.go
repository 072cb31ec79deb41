package replication

import (
	"slices"

	"gannet/replication/internal/plant"
	"gannet/ring"
)

// Node is the group logic of one node. It is not safe for concurrent use.
type Node struct {
	cfg  Config
	self uint64
	life uint64 // of this control process
	out  []Action

	now     int64 // the boot clock, for what must end soon enough
	patient int64 // time in which this process ran, for what must last long enough

	rec      Record
	trusted  bool // rec is not older than this node's own promises
	blank    bool // the items were lost, by this process or the one before, and no epoch since said what to do
	known    bool // what the data plane holds is known: it was remembered, or is nothing
	fence    fence
	peers    map[uint64]*peer
	promises promises
	report   reporting

	dataUp    bool
	cold      bool  // the items are gone, and no epoch since has said what to do
	downSince int64 // patient
	leave     bool

	beatAt    int64 // patient
	askRingAt int64 // patient

	// As leader.
	led       RangeSet // what this node leads, held or not
	ledSince  []tenure
	takeovers []*takeover
	farewells map[uint64]*farewell
	logs      []shardLog
	logLife   uint64
	outs      map[uint64]*outbound
	outIDs    []uint64 // of outs, in order: steps are deterministic
	said      said
	synced    []sight
	nextID    uint64

	// As follower.
	ins       map[uint64]*inbound
	fallback  RangeSet // items from an earlier role, good until repaired
	follows   RangeSet // by the ring, not only by what it works towards
	lackStale bool     // what is lacking may have changed in this step

	// Orders to the data plane, batches and parts, are taken in order.
	ordered, taken uint64
	settleAt       uint64 // so many must be taken before what is led is whole

	savedAt    int64 // when the state this process began with was remembered
	rememberAt int64 // patient
	dirty      bool
	stateBytes int // of the last state
}

// Origin is what a Node begins with.
type Origin struct {
	Self       uint64
	Life       uint64 // differs from that of every earlier process of this node
	Shards     int
	Remembered []byte // of the last Remember; nil: nothing
	// Positions, by leader and shard, are those of the last Applied that was carried
	// out, kept on the board: what is remembered may be a second older. Without them a
	// start together with the data plane repairs all that it follows.
	Positions map[uint64][]uint64
}

// tenure says since which epoch ranges are led without a break.
type tenure struct {
	ranges RangeSet
	since  uint32
}

// tickLongest bounds how much of the time between two events counts as lived: what
// lies beyond was a stall of this process, or a jump of the clock.
const tickLongest = 20 * millisecond

// NewNode makes a node that knows no ring.
func NewNode(cfg Config, start Origin, nowNanos int64) (*Node, error) {
	n := &Node{
		cfg: cfg.WithDefaults(), self: start.Self, life: start.Life, now: nowNanos, patient: 1,
		peers: map[uint64]*peer{}, farewells: map[uint64]*farewell{}, outs: map[uint64]*outbound{}, ins: map[uint64]*inbound{},
		logs: make([]shardLog, start.Shards), logLife: start.Life, nextID: start.Life, cold: true,
	}
	if start.Remembered != nil {
		if err := n.restore(start.Remembered); err != nil {
			return nil, err
		}
		n.reposition(start.Positions)
	}
	return n, nil
}

// Step takes an event and returns what is to be done, in order. The slice is good
// until the next Step.
func (n *Node) Step(nowNanos int64, ev Event) []Action {
	n.out = n.out[:0]
	n.advance(nowNanos)
	n.dispatch(ev)
	if n.lackStale {
		n.sayLacking()
	}
	return n.out
}

// advance moves both clocks. A clock that runs backwards loses the fence: nobody
// knows how much time passed.
func (n *Node) advance(nowNanos int64) {
	passed := nowNanos - n.now
	if passed < 0 {
		n.fence.lose()
		n.do(SetFence{})
	}
	n.now = nowNanos
	n.patient += min(max(passed, 0), tickLongest)
}

func (n *Node) dispatch(ev Event) {
	switch e := ev.(type) {
	case Tick:
		n.tick()
	case RecordSeen:
		n.trusted = n.trusted || e.Linear
		n.adopt(e.Record)
	case Renewed:
		n.renewed(e)
	case RenewRefused:
		n.refused(e)
	case Received:
		n.received(e.From, e.Message)
	case Heard:
		n.heard(e.From, e.Over)
	case Traced:
		n.traced(e)
	case DataPlane:
		n.dataPlane(e)
	case Want:
		n.leave = e.Leave
		n.report.changed = true
	case LinkUp:
		n.linkUp(e.With)
	case LinkDown:
		n.linkDown(e.With)
	default:
		n.dispatchLog(ev)
	}
}

func (n *Node) dispatchLog(ev Event) {
	switch e := ev.(type) {
	case Appended:
		n.appended(e)
	case LogRead:
		n.logRead(e)
	case LogAt:
		n.logAt(e)
	case Hinted:
		n.hinted(e)
	case Drained:
		n.drained(e)
	case Applied:
		n.taken = min(n.taken+1, n.ordered)
		n.applied(e)
	case PartApplied:
		n.taken = min(n.taken+1, n.ordered)
		n.partApplied(e)
	case Scanned:
		n.scanned(e)
	}
}

func (n *Node) do(a Action) { n.out = append(n.out, a) }

func (n *Node) send(to uint64, over Channel, m Message) { n.do(Send{To: to, Over: over, Message: m}) }

// tick does what time alone brings about.
func (n *Node) tick() {
	n.checkDataPlane()
	n.chatter()
	n.accuse()
	n.renew()
	n.endTakeovers()
	n.endFarewells()
	n.repairAll()
	n.sayAll()
	n.tellController()
	if n.dirty && n.patient-n.rememberAt >= 1000*millisecond {
		n.remember()
	}
}

// received hands a message on. Whatever carries an epoch teaches how far its sender
// is, and an older one is told.
func (n *Node) received(from uint64, m Message) {
	switch e := m.(type) {
	case Beat:
		n.heard(from, Chatter)
		n.learn(from, e.Epoch)
	case GrantAsk:
		n.heard(from, Chatter)
		n.learn(from, e.Epoch)
		n.asked(from, e)
	case Grant:
		n.heard(from, Chatter)
		n.granted(from, e)
	case RingNews:
		n.adopt(e.Record)
	case Redo:
		n.learn(from, e.Epoch)
		n.redo(from)
	default:
		n.receivedStream(from, m)
	}
}

func (n *Node) receivedStream(from uint64, m Message) {
	switch e := m.(type) {
	case Resume:
		n.resume(from, e)
	case Ack:
		n.acked(from, e)
	case Ready:
		n.ready(from, e)
	case PartAck:
		n.partAcked(from, e)
	case Open:
		n.opened(from, e)
	case Start:
		n.started(from, e)
	case Batch:
		n.batch(from, e)
	case Hints:
		n.hints(from, e)
	case Release:
		n.released(from, e)
	case Begin:
		n.begin(from, e)
	case Part:
		n.part(from, e)
	}
}

// learn takes down which epoch a member has shown, and tells it a newer one.
func (n *Node) learn(from uint64, epoch uint32) {
	p := n.peer(from)
	p.epoch = max(p.epoch, epoch)
	if epoch < n.rec.Epoch() && n.patient >= p.newsAt {
		p.newsAt = n.patient + 20*millisecond
		n.send(from, Stream, RingNews{n.rec})
	}
}

// dataPlane follows the data plane's life. One that came back without its items ends
// this node's part in the epoch.
func (n *Node) dataPlane(e DataPlane) {
	n.dataUp = e.Up
	n.downSince = n.patient
	if !e.Up {
		return
	}
	n.askAnew()
	if !e.Cold && n.known && !n.blank {
		n.cold = false
		n.distrust(e.SinceNanos)
		return
	}
	if forgotten := n.blank && !e.Cold; !forgotten {
		n.forgetItems()
	}
	n.cold, n.known, n.blank = true, true, true
	n.remember()
	n.acceptCold()
}

// forgetItems: there are none any more, and the log is another.
func (n *Node) forgetItems() {
	n.fallback = nil
	n.ins = map[uint64]*inbound{}
	n.lackStale = true
	n.logLife += 1 << 32
	clear(n.logs)
	for _, id := range n.outIDs {
		n.outs[id].streaming = false
	}
}

// resignAfter a data plane has been away for so long, its followers had better lead:
// a warm start takes longer than they need.
const resignAfter = 300 * millisecond

func (n *Node) checkDataPlane() {
	if !n.dataUp && n.serves() && n.patient-n.downSince >= resignAfter {
		n.resign()
	}
}

// resign gives up this epoch: nothing is acknowledged in it any more, so that no
// witness is needed to promote the followers.
func (n *Node) resign() {
	if n.promises.resigned == n.rec.Epoch() {
		return
	}
	n.promises.resigned = n.rec.Epoch()
	n.fence.lose()
	n.do(SetFence{})
	n.remember()
	n.report.changed = true
}

func (n *Node) serves() bool { return slices.Contains(n.rec.Voters(), n.self) }

func (n *Node) state() (ring.State, bool) {
	if n.rec.Ring == nil {
		return 0, false
	}
	m := n.rec.Ring.Member(n.self)
	if m == nil {
		return 0, false
	}
	return m.State, true
}

func (n *Node) members() []ring.Member {
	if n.rec.Ring == nil {
		return nil
	}
	return n.rec.Ring.Members()
}

func (n *Node) planted(f plant.Fault) bool { return n.cfg.has(f) }

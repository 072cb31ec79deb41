package replication

import (
	"fmt"
	"slices"

	"gannet/replication/internal/plant"
	"gannet/ring"
)

// Controller turns reports into rings. Any number of them may run at once: what two
// decide, the comparison with the ring's revision puts in order, and every rule that
// matters is about promises that hold for an epoch, whoever collects them.
type Controller struct {
	cfg  Config
	self uint64
	out  []Action

	now     int64
	patient int64

	elected    bool
	rec        Record
	none       bool // etcd has no ring
	registered map[uint64]ring.Member
	reports    map[uint64]known
	against    map[uint64]int // by member: how many voters of this epoch accuse it
	pending    bool           // a Swap is under way
	pendingAt  int64
	lossAt     map[uint64]int64 // by member that is down: since when, patient
	gatherAt   int64            // patient: when the first of several could be promoted
	calmAt     int64            // patient: since when promises only stand in the way
	why        string
}

type known struct {
	Report
	at    int64 // patient
	first int64 // patient: since when this life reports without a long break
}

const (
	reportFresh = 2000 * millisecond
	swapLongest = 3000 * millisecond
)

// NewController makes a controller that is not elected.
func NewController(cfg Config, self uint64, nowNanos int64) *Controller {
	return &Controller{
		cfg: cfg.WithDefaults(), self: self, now: nowNanos, patient: 1,
		registered: map[uint64]ring.Member{}, reports: map[uint64]known{}, against: map[uint64]int{}, lossAt: map[uint64]int64{},
	}
}

// Step takes an event and returns what is to be done. The slice is good until the
// next Step.
func (c *Controller) Step(nowNanos int64, ev Event) []Action {
	c.out = c.out[:0]
	c.patient += min(max(nowNanos-c.now, 0), tickLongest)
	c.now = nowNanos
	switch e := ev.(type) {
	case Elected:
		c.elected = e.Yes
	case RecordSeen:
		c.see(e.Record)
	case Registered:
		clear(c.registered)
		for _, r := range e.Members {
			c.registered[r.Member.ID] = r.Member
		}
	case Swapped:
		c.pending = false
	case Reported:
		if !c.take(e.Report) {
			return c.out // a tick looks at what time alone brings about
		}
	}
	c.decide()
	return c.out
}

func (c *Controller) see(rec Record) {
	if rec.Ring == nil {
		c.none = c.rec.Ring == nil
		return
	}
	if rec.Epoch() <= c.rec.Epoch() {
		return
	}
	c.rec, c.none = rec, false
	c.gatherAt, c.calmAt = 0, 0
	for i := range rec.Ring.Members() {
		m := &rec.Ring.Members()[i]
		if m.State != ring.Down {
			delete(c.lossAt, m.ID)
		} else if c.lossAt[m.ID] == 0 {
			c.lossAt[m.ID] = c.patient
		}
	}
	clear(c.against)
	for _, r := range c.reports {
		c.weigh(&r.Report, 1)
	}
}

// take says whether there is anything new in a report. Hundreds of members report
// several times a second, and mostly the same.
func (c *Controller) take(r Report) (news bool) {
	old := c.reports[r.From]
	if old.Life == r.Life && old.Number >= r.Number || old.Life > r.Life {
		return false
	}
	k := known{r, c.patient, old.first}
	same := old.Life == r.Life && c.patient-old.at < reportFresh
	if !same && (old.Life != r.Life || c.patient-old.at > reportFresh) {
		k.first = c.patient
	}
	c.reports[r.From] = k
	if same && old.Epoch == r.Epoch && old.Wish == r.Wish && old.Warm == r.Warm && slices.Equal(old.Accused, r.Accused) {
		return false
	}
	c.weigh(&old.Report, -1)
	c.weigh(&r, 1)
	return true
}

// weigh counts the accusations of a voter's report of this epoch.
func (c *Controller) weigh(r *Report, by int) {
	if r.Epoch != c.rec.Epoch() || len(r.Accused) == 0 || !c.rec.serves(r.From) {
		return
	}
	for _, a := range r.Accused {
		if !a.Alive {
			c.against[a.Suspect] += by
		}
	}
}

// decide makes at most one change at a time.
func (c *Controller) decide() {
	if c.pending && c.patient-c.pendingAt > swapLongest {
		c.pending = false // the answer got lost; the comparison guards against twice
	}
	if !c.elected || c.pending {
		return
	}
	switch {
	case c.rec.Ring == nil:
		c.begin()
	case !c.closed():
		c.freeze("too few members know the ring of this epoch yet")
	case c.refresh() || c.promote() || c.move():
	}
}

// closed tells whether the epoch before has ended for so many of its voters that the
// others cannot grant a leader anything. Only then may the ring change again.
func (c *Controller) closed() bool {
	if c.planted(plant.OpenEpochs) {
		return true
	}
	voters := c.rec.PrevVoters
	know := 0
	for _, id := range voters {
		if c.reports[id].Epoch >= c.rec.Epoch() {
			know++
		}
	}
	return len(voters) == 0 || know >= withholders(len(voters))
}

// begin makes the first ring, of all who are there.
func (c *Controller) begin() {
	if !c.none || len(c.registered) < c.cfg.Expect {
		return
	}
	spec := ring.Spec{Epoch: 1, Replicas: c.cfg.Replicas}
	var blank []uint64
	for _, id := range slices.Sorted(mapKeys(c.registered)) {
		m, r := c.registered[id], c.reports[id]
		if r.From == 0 {
			return // it will say whether it has items
		}
		m.State = ring.Active
		spec.Members = append(spec.Members, m)
		spec.Epoch = max(spec.Epoch, r.Epoch+1)
		blank = append(blank, r.Life)
	}
	spec.Members = ring.Correct(spec.Members)
	c.swap(spec, nil, blank)
}

// lost lists the members against which there is enough: the word of so many witnesses
// that no majority is left to grant the member its fence, or its own.
func (c *Controller) lost() (lost []uint64, accused int) {
	need := withholders(len(c.rec.Voters()))
	if c.planted(plant.LoneWitness) {
		need = 1
	}
	for i := range c.rec.Ring.Members() {
		m := &c.rec.Ring.Members()[i]
		if m.State == ring.Down {
			continue
		}
		if c.against[m.ID] >= need || m.State.Serves() && c.resigned(m.ID) {
			lost = append(lost, m.ID)
		} else if c.against[m.ID] > 0 {
			accused++
		}
	}
	return lost, accused
}

// resigned tells whether a member gives this epoch up itself.
func (c *Controller) resigned(id uint64) bool {
	r := c.reports[id]
	return r.Wish == WishResign && r.Epoch == c.rec.Epoch()
}

// promote takes lost members down, so that their followers lead.
func (c *Controller) promote() bool {
	lost, accused := c.lost()
	if len(lost) == 0 {
		c.gatherAt = 0
		return false
	}
	if c.gatherAt == 0 {
		c.gatherAt = c.patient
	}
	if accused > 0 && c.patient-c.gatherAt < c.cfg.GatherNanos {
		return true
	}
	if why := c.tooMany(lost); why != "" {
		c.freeze(why)
		return true
	}
	spec := c.rec.Ring.Spec()
	serving := 0
	for i := range spec.Members {
		m := &spec.Members[i]
		if slices.Contains(lost, m.ID) {
			m.State = ring.Down
		}
		if m.State.Serves() {
			serving++
		}
	}
	if serving == 0 {
		return c.startOver()
	}
	spec.Members = slices.DeleteFunc(spec.Members, func(m ring.Member) bool {
		was := c.rec.Ring.Member(m.ID).State
		return m.State == ring.Down && was == ring.Joining // it has nothing yet
	})
	c.swap(spec, c.rec.Voters(), nil)
	return true
}

// startOver: when every serving member says itself that its items are gone, there is
// nobody to promote and nothing to lose.
func (c *Controller) startOver() bool {
	var blank []uint64
	if len(c.rec.Voters()) == 0 {
		c.freeze("no member serves")
		return true
	}
	for _, id := range c.rec.Voters() {
		if !c.resigned(id) {
			c.freeze("no serving member would be left")
			return true
		}
		blank = append(blank, c.reports[id].Life)
	}
	c.swap(c.rec.Ring.Spec(), c.rec.Voters(), blank)
	return true
}

// tooMany is the self-preservation: losses over several zones of more than a third of
// the members at once are more likely a fault of what watches them.
func (c *Controller) tooMany(lost []uint64) string {
	zones := map[string]bool{}
	count, all := 0, 0
	for i := range c.rec.Ring.Members() {
		m := &c.rec.Ring.Members()[i]
		all++
		at := c.lossAt[m.ID]
		recent := m.State == ring.Down && at != 0 && c.patient-at < c.cfg.LossNanos
		if (slices.Contains(lost, m.ID) && c.reports[m.ID].Wish != WishResign) || recent {
			zones[m.Zone] = true
			count++
		}
	}
	if len(zones) > 1 && count*3 > all {
		return fmt.Sprintf("%d of %d members in %d zones lost at once", count, all, len(zones))
	}
	return ""
}

// refresh begins an epoch without any change when witnesses hear again whom they
// accused: their promises end with the epoch.
func (c *Controller) refresh() bool {
	stale := false
	for _, id := range c.rec.Voters() {
		if r := c.reports[id]; len(r.Accused) > 0 && r.Epoch == c.rec.Epoch() && c.patient-r.at < reportFresh {
			stale = stale || slices.ContainsFunc(r.Accused, func(a Accusation) bool { return a.Alive })
		}
	}
	if !stale {
		c.calmAt = 0
		return false
	}
	if c.calmAt == 0 {
		c.calmAt = c.patient
	}
	if c.patient-c.calmAt < c.cfg.SettleNanos {
		return false
	}
	c.swap(c.rec.Ring.Spec(), c.rec.Voters(), nil)
	return true
}

// move begins and ends handoffs.
func (c *Controller) move() bool {
	if c.somebodyMoves() {
		spec := c.rec.Ring.Spec()
		c.states(&spec)
		c.swap(spec, c.rec.Voters(), nil)
		return true
	}
	changed := c.finish()
	if !changed {
		c.freeze("")
	}
	return changed
}

// somebodyMoves tells whether states would change anything: mostly not.
func (c *Controller) somebodyMoves() bool {
	members := c.rec.Ring.Members()
	for i := range members {
		if c.next(members, &members[i]) != members[i].State {
			return true
		}
	}
	for id := range c.registered {
		if c.joins(id) {
			return true
		}
	}
	return false
}

// states moves members as they wish.
func (c *Controller) states(spec *ring.Spec) {
	for i := range spec.Members {
		spec.Members[i].State = c.next(spec.Members, &spec.Members[i])
	}
	for _, id := range slices.Sorted(mapKeys(c.registered)) {
		if c.joins(id) {
			m := c.registered[id]
			m.State = ring.Joining
			spec.Members = append(spec.Members, m)
		}
	}
}

// next is the state that a member wishes itself into.
func (c *Controller) next(all []ring.Member, m *ring.Member) ring.State {
	switch r := c.reports[m.ID]; {
	case r.Wish == WishNone && m.State != ring.Leaving || r.Epoch != c.rec.Epoch() || !c.steady(r):
	case r.Wish == WishJoin && m.State == ring.Down:
		return ring.Returning
	case r.Wish == WishLeave && m.State == ring.Active && othersStay(all, m.ID):
		return ring.Leaving
	case r.Wish != WishLeave && m.State == ring.Leaving:
		return ring.Active // it has changed its mind
	}
	return m.State
}

func (c *Controller) joins(id uint64) bool {
	r := c.reports[id]
	return r.Wish == WishJoin && c.rec.Ring.Member(id) == nil && c.steady(r)
}

// steady: it has reported for a while.
func (c *Controller) steady(r known) bool {
	return r.From != 0 && c.patient-r.at < reportFresh && c.patient-r.first >= c.cfg.SettleNanos
}

// othersStay tells whether somebody else would stay.
func othersStay(all []ring.Member, but uint64) bool {
	return slices.ContainsFunc(all, func(m ring.Member) bool { return m.ID != but && m.State == ring.Active })
}

// finish ends the handoffs when everybody has what the ring to come gives it.
func (c *Controller) finish() bool {
	target := c.rec.Target()
	if target == c.rec.Ring {
		return false
	}
	serving := false
	for i := range target.Members() {
		m := &target.Members()[i]
		serving = serving || m.State.Serves()
		r := c.reports[m.ID]
		if m.State.Serves() && !(r.Warm && r.Epoch == c.rec.Epoch() && c.patient-r.at < reportFresh) {
			return false
		}
	}
	if serving {
		c.swap(target.Spec(), c.rec.Voters(), nil)
	}
	return serving
}

func (c *Controller) swap(spec ring.Spec, voters []uint64, blank []uint64) {
	if c.rec.Ring != nil {
		spec.Epoch = c.rec.Epoch() + 1
	}
	r, err := ring.Build(spec)
	if err != nil {
		c.freeze(fmt.Sprintf("the next ring cannot be built: %v", err))
		return
	}
	c.freeze("")
	rec := NewRecord(r, c.rec.Revision, voters)
	rec.Blank = blank
	c.pending, c.pendingAt = true, c.patient
	c.out = append(c.out, Swap{rec})
}

func (c *Controller) freeze(why string) {
	if why != c.why {
		c.why = why
		c.out = append(c.out, Frozen{why})
	}
}

func (c *Controller) planted(f plant.Fault) bool { return c.cfg.has(f) }

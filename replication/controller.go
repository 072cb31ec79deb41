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
	pending    bool // a Swap is under way
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
		registered: map[uint64]ring.Member{}, reports: map[uint64]known{}, lossAt: map[uint64]int64{},
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
		c.take(e.Report)
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
}

func (c *Controller) take(r Report) {
	old := c.reports[r.From]
	if old.Life == r.Life && old.Number >= r.Number || old.Life > r.Life {
		return
	}
	k := known{r, c.patient, old.first}
	if old.Life != r.Life || c.patient-old.at > reportFresh {
		k.first = c.patient
	}
	c.reports[r.From] = k
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
	voters := c.rec.Voters()
	need := withholders(len(voters))
	if c.planted(plant.LoneWitness) {
		need = 1
	}
	against := map[uint64]int{}
	resigned := map[uint64]bool{}
	for _, id := range voters {
		r := c.reports[id]
		if r.Epoch != c.rec.Epoch() {
			continue
		}
		resigned[id] = r.Wish == WishResign
		for _, a := range r.Accused {
			if !a.Alive {
				against[a.Suspect]++
			}
		}
	}
	for i := range c.rec.Ring.Members() {
		m := &c.rec.Ring.Members()[i]
		if m.State == ring.Down {
			continue
		}
		if against[m.ID] >= need || resigned[m.ID] {
			lost = append(lost, m.ID)
		} else if against[m.ID] > 0 {
			accused++
		}
	}
	return lost, accused
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
		r := c.reports[id]
		if r.Epoch != c.rec.Epoch() || r.Wish != WishResign {
			c.freeze("no serving member would be left")
			return true
		}
		blank = append(blank, r.Life)
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
		r := c.reports[id]
		alive := slices.ContainsFunc(r.Accused, func(a Accusation) bool { return a.Alive })
		stale = stale || r.Epoch == c.rec.Epoch() && alive && c.patient-r.at < reportFresh
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
	spec := c.rec.Ring.Spec()
	changed := c.states(&spec)
	if changed {
		c.swap(spec, c.rec.Voters(), nil)
	} else if changed = c.finish(); !changed {
		c.freeze("")
	}
	return changed
}

// states moves members as they wish.
func (c *Controller) states(spec *ring.Spec) (changed bool) {
	for i := range spec.Members {
		m := &spec.Members[i]
		switch r := c.reports[m.ID]; {
		case !c.steady(r) || r.Epoch != c.rec.Epoch():
		case r.Wish == WishJoin && m.State == ring.Down:
			m.State, changed = ring.Returning, true
		case r.Wish == WishLeave && m.State == ring.Active && c.others(*spec, m.ID):
			m.State, changed = ring.Leaving, true
		case r.Wish != WishLeave && m.State == ring.Leaving:
			m.State, changed = ring.Active, true // it has changed its mind
		}
	}
	for _, id := range slices.Sorted(mapKeys(c.registered)) {
		if r := c.reports[id]; c.rec.Ring.Member(id) == nil && c.steady(r) && r.Wish == WishJoin {
			m := c.registered[id]
			m.State = ring.Joining
			spec.Members = append(spec.Members, m)
			changed = true
		}
	}
	return changed
}

// steady: it has reported for a while.
func (c *Controller) steady(r known) bool {
	return r.From != 0 && c.patient-r.at < reportFresh && c.patient-r.first >= c.cfg.SettleNanos
}

// others tells whether somebody else would stay.
func (c *Controller) others(spec ring.Spec, but uint64) bool {
	return slices.ContainsFunc(spec.Members, func(m ring.Member) bool { return m.ID != but && m.State == ring.Active })
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

package replication

import (
	"slices"

	"gannet/replication/internal/plant"
	"gannet/ring"
)

// adopt takes a newer ring into use. What this node does with each range may change:
// see roles.
func (n *Node) adopt(rec Record) {
	if rec.Ring == nil || rec.Epoch() < n.promises.epoch {
		return
	}
	if rec.Epoch() == n.rec.Epoch() {
		n.rec.Revision = max(n.rec.Revision, rec.Revision)
		return
	}
	if rec.Epoch() < n.rec.Epoch() {
		return
	}
	prev, last := n.rec, n.promises.epoch
	n.rec = rec
	n.promises.renew(rec.Epoch())
	n.fence.firstTry = n.now
	n.acceptCold()
	n.roles(prev, last)
	n.do(SetHeld{n.heldRanges()})
	n.said.held = n.heldRanges()
	n.remember()
	n.sayLacking()
	n.do(Publish{rec})
	if !n.mayLead() && !n.handsOver() {
		n.fence.lose()
		n.do(SetFence{})
	}
	n.report.changed = true
	n.beatAt = 0 // tell everybody at once
	n.chatter()
	n.greetAll()
	n.endTakeovers()
	n.sayAll()
}

// acceptCold: a node without items goes on when it does not serve, because all will
// be repaired, or when it was decided that nobody has any.
func (n *Node) acceptCold() {
	if !n.cold || !n.dataUp {
		return
	}
	switch {
	case n.rec.Ring == nil:
	case !n.serves(), slices.Contains(n.rec.Blank, n.life):
		n.cold, n.blank = false, false
	default:
		n.resign()
	}
}

// roles moves from the roles of one ring to those of the next. After a leap over
// epochs (not after a restart in the same one) others may have led in between what
// this node leads still: it counts as gained.
func (n *Node) roles(prev Record, last uint32) {
	contiguous := n.rec.Epoch() <= last+1
	had := n.holdings()
	wasLed := n.led
	if !contiguous {
		wasLed = nil
		n.doubtInbound()
	}
	led := n.rec.ledBy(n.self)
	n.settleAt = n.ordered
	n.beginTakeover(prev, led.Minus(wasLed), prev.Epoch() != 0 && prev.Epoch()+1 == n.rec.Epoch())
	n.beginFarewells(prev, wasLed.Minus(led))
	n.led = led
	n.setTenure(wasLed)

	into := n.rec.into(n.self)
	all := slices.Clone(led)
	for _, set := range into {
		all = append(all, set...)
	}
	need := NewRangeSet(all)
	if strange := need.Minus(had); len(strange) > 0 && !n.planted(plant.KeepStaleData) {
		n.do(Drop{strange})
	}
	n.fallback = need.Intersect(had)
	n.follows = n.rec.followedBy(n.self)
	n.setInbound(into)
	n.setOutbound()
}

// holdings are the ranges whose items this node may go on with: what it led and what
// it followed. They may be old, after a leap over epochs: then whoever had newer ones
// knew this node as a follower out of sync, and said so to its clients. One that is cold
// has what came by repairs since.
func (n *Node) holdings() RangeSet {
	var had []ring.Range
	if !n.cold {
		had = slices.Concat(n.led, n.fallback)
	}
	for _, in := range n.ins {
		had = append(had, in.have...)
	}
	return NewRangeSet(had)
}

// setTenure keeps since when ranges are led without a break.
func (n *Node) setTenure(wasLed RangeSet) {
	kept := tenuresWithin(n.ledSince, n.led.Intersect(wasLed))
	if gained := n.led.Minus(wasLed); len(gained) > 0 {
		kept = append(kept, tenure{gained, n.rec.Epoch()})
	}
	n.ledSince = kept
}

// tenuresWithin are the tenures of some ranges.
func tenuresWithin(tenures []tenure, ranges RangeSet) (kept []tenure) {
	for _, t := range tenures {
		if still := t.ranges.Intersect(ranges); len(still) > 0 {
			kept = append(kept, tenure{still, t.since})
		}
	}
	return kept
}

// ledThrough are the ranges led without a break since the epoch or before.
func ledThrough(tenures []tenure, epoch uint32) RangeSet {
	var set RangeSet
	for _, t := range tenures {
		if t.since <= epoch {
			set = set.Union(t.ranges)
		}
	}
	return set
}

// takeover is a number of ranges that this node leads and must not write yet: the
// leader before might still acknowledge.
type takeover struct {
	ranges RangeSet
	epoch  uint32
	voters []uint64 // of the epoch before
	from   map[uint64]RangeSet
	words  map[uint64]Release
	// closedAt is the patient time at which no earlier leader could be granted
	// anything any more, 0 = not yet. A fence later the ranges are free.
	closedAt int64
}

func (n *Node) beginTakeover(prev Record, gained RangeSet, contiguous bool) {
	n.trimTakeovers()
	if len(gained) == 0 || len(n.rec.PrevVoters) == 0 || n.planted(plant.SkipFenceWait) {
		return
	}
	t := &takeover{ranges: gained, epoch: n.rec.Epoch(), voters: n.rec.PrevVoters, from: map[uint64]RangeSet{}, words: map[uint64]Release{}}
	allDown := contiguous
	for _, m := range prev.members() {
		theirs := prev.ledBy(m.ID).Intersect(gained)
		if len(theirs) == 0 {
			continue
		}
		now := n.rec.Ring.Member(m.ID)
		// Who leaves goes in the same change that gives its ranges away, and owes the
		// rest as one who stays.
		left := now == nil && m.State == ring.Leaving
		if contiguous && (left || now != nil && now.State.Serves()) {
			t.from[m.ID] = theirs
		}
		// A member goes down only on evidence or by its own will: either way nobody
		// grants it anything any more.
		allDown = allDown && now != nil && now.State == ring.Down
	}
	if allDown {
		t.closedAt = n.patient
	}
	n.takeovers = append(n.takeovers, t)
}

func (r *Record) members() []ring.Member {
	if r.Ring == nil {
		return nil
	}
	return r.Ring.Members()
}

// trimTakeovers: what this node does not lead any more it does not take over. The
// epochs before the last but one are closed, or there would be no new epoch.
func (n *Node) trimTakeovers() {
	led := n.rec.ledBy(n.self)
	kept := n.takeovers[:0]
	for _, t := range n.takeovers {
		t.ranges = t.ranges.Intersect(led)
		t.from = map[uint64]RangeSet{}
		if t.closedAt == 0 {
			t.closedAt = n.patient
		}
		if len(t.ranges) > 0 {
			kept = append(kept, t)
		}
	}
	n.takeovers = kept
}

// endTakeovers frees what was waited for long enough.
func (n *Node) endTakeovers() {
	kept := n.takeovers[:0]
	for _, t := range n.takeovers {
		n.close(t)
		n.heed(t)
		done := t.closedAt != 0 && n.patient-t.closedAt >= n.cfg.FenceNanos+n.cfg.MarginNanos
		if !done && len(t.ranges) > 0 {
			kept = append(kept, t)
			continue
		}
		n.forgetFrom(t)
	}
	clear(n.takeovers[len(kept):])
	n.takeovers = kept
	if held := n.heldRanges(); !held.Equal(n.said.held) {
		n.said.held = held
		n.settleAt = n.ordered
		n.do(SetHeld{held})
	}
}

// close looks whether so many voters of the epoch before have shown this one that the
// others are no majority.
func (n *Node) close(t *takeover) {
	if t.closedAt != 0 {
		return
	}
	know := 0
	for _, id := range t.voters {
		if id == n.self || n.peers[id] != nil && n.peers[id].epoch >= t.epoch {
			know++
		}
	}
	if know >= withholders(len(t.voters)) {
		t.closedAt = n.patient
	}
}

// heed frees the ranges whose old leader has said its last word, once all that came
// before it is here.
func (n *Node) heed(t *takeover) {
	for _, id := range slices.Sorted(mapKeys(t.words)) {
		in, word := n.ins[id], t.words[id]
		if in == nil || !reached(in.applied, word.Positions) {
			continue
		}
		t.ranges = t.ranges.Minus(t.from[id])
		delete(t.words, id)
		delete(t.from, id)
		n.trimInbound(id)
	}
}

// forgetFrom ends what the old leaders of a takeover may still send: what came now would
// be in no log, and reach no follower.
func (n *Node) forgetFrom(t *takeover) {
	ids := slices.Sorted(mapKeys(t.from))
	t.from = nil
	for _, id := range ids {
		n.trimInbound(id)
		if in := n.ins[id]; in != nil && in.started {
			in.started = false
			n.send(id, Stream, Redo{n.rec.Epoch()})
		}
	}
}

// takesFrom tells whether the last writes of a range's old leader are still waited for.
func (n *Node) takesFrom(id uint64) bool {
	return slices.ContainsFunc(n.takeovers, func(t *takeover) bool { return len(t.from[id]) > 0 })
}

func reached(have, want []uint64) bool {
	if len(have) != len(want) {
		return false
	}
	for i := range want {
		if have[i] < want[i] {
			return false
		}
	}
	return true
}

func (n *Node) heldRanges() RangeSet {
	var held RangeSet
	for _, t := range n.takeovers {
		held = held.Union(t.ranges)
	}
	return held
}

// released is the old leader's last word.
func (n *Node) released(from uint64, e Release) {
	for _, t := range n.takeovers {
		if t.epoch == e.Epoch && len(t.from[from]) > 0 {
			t.words[from] = e
		}
	}
	n.endTakeovers()
}

package replication

import (
	"slices"
)

// remember makes durable what the node has promised and what it has. An unchanged
// state is not written again.
func (n *Node) remember() {
	n.rememberAt, n.dirty = n.patient, false
	n.do(Remember{n.appendState(nil)})
}

// The state, little-endian, begins with a layout version.
const stateLayout = 2

func (n *Node) appendState(dst []byte) []byte {
	e := encoder{slices.Grow(dst, n.stateBytes)}
	e.u8(stateLayout)
	e.i64(n.now)
	e.bool(n.blank)
	e.u32(n.promises.epoch)
	e.u32(n.promises.resigned)
	e.accusations(n.promises.accused)
	e.u64(n.logLife)
	free := n.led.Minus(n.heldRanges())
	var kept []tenure
	for _, t := range n.ledSince {
		if set := t.ranges.Intersect(free); len(set) > 0 {
			kept = append(kept, tenure{set, t.since})
		}
	}
	e.u32(uint32(len(kept)))
	for _, t := range kept {
		e.u32(t.since)
		e.ranges(t.ranges)
	}
	e.ranges(n.fallback)
	e.u32(uint32(len(n.ins)))
	for _, id := range n.inIDs() {
		in := n.ins[id]
		e.u64(id)
		e.u64(in.life)
		e.u32(in.since)
		e.u64s(in.applied)
		e.ranges(in.have)
	}
	n.stateBytes = len(e.b)
	return e.b
}

// reposition replaces what is remembered by what is exact.
func (n *Node) reposition(positions map[uint64][]uint64) {
	for id, in := range n.ins {
		if exact := positions[id]; len(exact) == len(in.applied) {
			in.applied, in.received = slices.Clone(exact), slices.Clone(exact)
			in.exact = true
		}
	}
}

// distrust: a data plane that started later than what is remembered has forgotten its
// tombstones, so that a stream must not come again to what it had already.
func (n *Node) distrust(sinceNanos int64) {
	for _, in := range n.ins {
		if sinceNanos > n.savedAt && !in.exact {
			in.have, in.above, in.kept = nil, nil, nil
			n.lackStale = true
		}
		in.exact = true // from now on this process knows
	}
}

// restore takes back what appendState gave.
func (n *Node) restore(b []byte) error {
	d := decoder{b: b}
	if d.u8() != stateLayout {
		return ErrDecode
	}
	n.savedAt, n.blank = d.i64(), d.bool()
	n.promises = promises{epoch: d.u32(), resigned: d.u32(), accused: d.accusations()}
	n.logLife = d.u64()
	for range d.count(8) {
		t := tenure{since: d.u32(), ranges: d.rangeSet()}
		n.ledSince = append(n.ledSince, t)
		n.led = n.led.Union(t.ranges)
	}
	n.fallback = d.rangeSet()
	for range d.count(28) {
		in := &inbound{from: d.u64(), life: d.u64(), since: d.u32(), applied: d.u64s(), have: d.rangeSet()}
		in.received = slices.Clone(in.applied)
		n.ins[in.from] = in
	}
	if err := d.end(); err != nil {
		return err
	}
	n.trusted = n.promises.epoch != 0
	n.known, n.cold = true, true // until the data plane says otherwise
	return nil
}

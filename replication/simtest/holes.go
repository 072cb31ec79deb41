package simtest

import "gannet/replication"

// holes are the keys of which a machine does not have what it should: they were
// dropped, and no repair that covers them has ended since. Who leads has none: what it
// has is the truth.
type holes map[goodKey]bool

// sentPart names a part by who sent it: repairs are numbered by leader.
type sentPart struct {
	machine, leader, id uint64
	number              uint32
}

func (h holes) tear(m *machine, ranges replication.RangeSet) {
	for _, k := range m.w.keys {
		if ranges.Contains(k.hash) {
			h[goodKey{m.id, k}] = true
		}
	}
}

func (h holes) fill(m *machine, k *key) { delete(h, goodKey{m.id, k}) }

// endsRepair notes that the part is the last of its repair.
func (c *checker) endsRepair(m *machine, a replication.ApplyPart, records []record) {
	c.last[sentPart{m.id, a.From, a.Part.ID, a.Part.Number}] = records[0].ranges
}

// repaired: the machine says that it has taken a part.
func (c *checker) repaired(m *machine, leader uint64, a replication.PartAck) {
	for _, k := range c.w.keys {
		if c.last[sentPart{m.id, leader, a.ID, a.Number}].Contains(k.hash) {
			c.holes.fill(m, k)
		}
	}
}

// answered: a follower answers a read, hit or miss, only where it is whole.
func (c *checker) answered(m *machine, k *key) {
	if c.holes[goodKey{m.id, k}] && !m.dp.ring.Owns(m.id, k.hash) {
		c.fail("machine %d answers %v as a follower, and lacks it in epoch %d", m.id, k, m.dp.ring.Epoch())
	}
}

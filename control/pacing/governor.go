package pacing

import "gannet/board"

// Governor carries a [Policy] out on a node's board.
type Governor struct {
	policy  Policy
	board   *board.Board // whose tables these are
	tables  []*board.Losses
	caps    *board.Pacing
	losses  []board.Loss
	samples map[uint64]Sample
	list    []Sample
	refused uint64
}

// Step reads what the shards noted and sets the caps that change. Call it some ten
// times a second; b is the board that is attached now.
func (g *Governor) Step(b *board.Board, nowNanos int64) {
	if g.board != b {
		g.attach(b)
	}
	for _, change := range g.policy.Step(nowNanos, g.gather()) {
		if !g.caps.Cap(change.Session, change.Kbit) {
			g.refused++
		}
	}
}

// Refused is how many caps the board had no room for.
func (g *Governor) Refused() uint64 { return g.refused }

// Capped is how many sessions have a cap now.
func (g *Governor) Capped() (n int) {
	for _, s := range g.policy.sessions {
		if s.wire() != 0 {
			n++
		}
	}
	return n
}

func (g *Governor) attach(b *board.Board) {
	g.board, g.caps, g.tables = b, b.Pacing(), nil
	g.policy = Policy{}
	for shard := range b.Shards() {
		g.tables = append(g.tables, b.Losses(shard))
	}
}

// gather adds up the lines of all shards by session.
func (g *Governor) gather() []Sample {
	if g.samples == nil {
		g.samples = make(map[uint64]Sample)
	}
	clear(g.samples)
	g.losses = g.losses[:0]
	for _, t := range g.tables {
		g.losses = t.Read(g.losses)
	}
	for i := range g.losses {
		l := &g.losses[i]
		s := g.samples[l.Session]
		s.Session = l.Session
		s.SentBytes += l.SentBytes
		s.AgainBytes += l.AgainBytes
		s.GrantedKbit = max(s.GrantedKbit, l.GrantedKbit)
		g.samples[l.Session] = s
	}
	g.list = g.list[:0]
	for _, s := range g.samples {
		g.list = append(g.list, s)
	}
	return g.list
}

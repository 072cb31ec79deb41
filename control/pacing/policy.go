package pacing

const (
	// LeastKbit is the lowest cap.
	LeastKbit = 500
	// LeastBytes is what must have been sent for one decision, unless a second passed.
	LeastBytes = 12 << 10

	leastNanos  = int64(40e6) // between two decisions about a session
	mostNanos   = int64(1e9)
	forgetNanos = int64(60e9) // of silence, after which a session is forgotten

	tolerated   = 0.02    // share asked for again that is no sign of overload: links lose some
	leastFactor = 0.3     // of a decrease
	mostFactor  = 0.9     // of a decrease
	raises      = 1. / 64 // of the cap after the last decrease, each interval without loss
)

// Sample is what is known of a session: sums over all shards of the node.
type Sample struct {
	Session     uint64
	SentBytes   uint64 // of values
	AgainBytes  uint64 // of these, asked for again
	GrantedKbit uint32 // by its last request; 0 = none
}

// Policy decides about all sessions of a node. The zero value is ready.
type Policy struct {
	sessions map[uint64]*session
}

// session is one client's state.
type session struct {
	seen         Sample // at the last decision
	decidedNanos int64
	activeNanos  int64   // when something was sent last
	capKbit      float64 // 0 = none
	raiseKbit    float64 // a step up
}

// Change is a decision: the session's new cap, 0 = none any more.
type Change struct {
	Session uint64
	Kbit    uint32
}

// Step looks at all sessions and returns what changes.
func (p *Policy) Step(nowNanos int64, samples []Sample) (changes []Change) {
	if p.sessions == nil {
		p.sessions = make(map[uint64]*session)
	}
	for i := range samples {
		sample := &samples[i]
		s := p.sessions[sample.Session]
		if s == nil || sample.SentBytes < s.seen.SentBytes || sample.AgainBytes < s.seen.AgainBytes {
			s = p.meet(s, sample, nowNanos)
		}
		before := s.wire()
		s.step(nowNanos, sample)
		if now := s.wire(); now != before {
			changes = append(changes, Change{sample.Session, now})
		}
	}
	return p.forget(nowNanos, changes)
}

// meet begins the account of a session, or begins it anew: the data plane's line was
// another's meanwhile.
func (p *Policy) meet(s *session, sample *Sample, nowNanos int64) *session {
	if s == nil {
		s = &session{decidedNanos: nowNanos, activeNanos: nowNanos}
		p.sessions[sample.Session] = s
	}
	s.seen = Sample{Session: sample.Session}
	return s
}

// forget drops sessions that have been silent, and lifts their caps.
func (p *Policy) forget(nowNanos int64, changes []Change) []Change {
	for id, s := range p.sessions {
		if nowNanos-s.activeNanos < forgetNanos {
			continue
		}
		if s.wire() != 0 {
			changes = append(changes, Change{Session: id})
		}
		delete(p.sessions, id)
	}
	return changes
}

func (s *session) wire() uint32 { return uint32(s.capKbit) }

// step decides about one session when there is enough to go by.
func (s *session) step(nowNanos int64, sample *Sample) {
	sent := sample.SentBytes - s.seen.SentBytes
	again := sample.AgainBytes - s.seen.AgainBytes
	passed := nowNanos - s.decidedNanos
	if sent > 0 {
		s.activeNanos = nowNanos
	}
	if sent == 0 || passed < leastNanos || (sent < LeastBytes && passed < mostNanos) {
		return
	}
	s.seen, s.decidedNanos = *sample, nowNanos
	lost := min(1, float64(again)/float64(sent))
	if lost > tolerated {
		s.lower(lost, sent, passed, sample.GrantedKbit)
		return
	}
	s.raise(sample.GrantedKbit)
}

// lower sets the cap to what arrived of the rate so far: the cap's, or the granted one,
// or without either what was sent.
func (s *session) lower(lost float64, sent uint64, passedNanos int64, grantedKbit uint32) {
	from := s.capKbit
	if from == 0 {
		if from = float64(grantedKbit); from == 0 {
			from = float64(sent) * 8e6 / float64(passedNanos)
		}
	}
	s.capKbit = max(LeastKbit, from*min(max(1-lost, leastFactor), mostFactor))
	s.raiseKbit = max(1, s.capKbit*raises)
}

// raise adds a step, and lifts a cap that has reached what the client asks for.
// Without a grant there is nothing to reach: the cap grows until it binds nobody.
func (s *session) raise(grantedKbit uint32) {
	if s.capKbit == 0 {
		return
	}
	s.capKbit += s.raiseKbit
	if most := float64(grantedKbit); (most != 0 && s.capKbit >= most) || s.capKbit > 1<<31 {
		s.capKbit = 0
	}
}

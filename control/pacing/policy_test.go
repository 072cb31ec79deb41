package pacing

import (
	"testing"

	"pgregory.net/rapid"
)

// crowd is a link that takes linkKbit from nodes that send at caps each, busy all the
// time, seen by one of them.
type crowd struct {
	policy      Policy
	sample      Sample
	now         int64
	nodes       float64
	linkKbit    float64
	capKbit     uint32
	lastLoss    float64
	grantedKbit uint32
}

// step lets 50 ms pass.
func (c *crowd) step() {
	rate := float64(c.grantedKbit)
	if c.capKbit != 0 {
		rate = min(rate, float64(c.capKbit))
	}
	// A grant is the whole link's rate, one node after the other: nodes share it until
	// their caps make them send at the same time.
	offered := min(rate*c.nodes, max(rate, c.linkKbit))
	c.lastLoss = max(0, 1-c.linkKbit/offered)
	sent := offered / c.nodes * 50e-3 / 8 * 1000
	c.now += 50e6
	c.sample.SentBytes += uint64(sent)
	c.sample.AgainBytes += uint64(sent * c.lastLoss)
	c.sample.GrantedKbit = c.grantedKbit
	for _, change := range c.policy.Step(c.now, []Sample{c.sample}) {
		c.capKbit = change.Kbit
	}
}

func newCrowd(grantedKbit uint32) *crowd {
	return &crowd{sample: Sample{Session: 9}, nodes: 16, linkKbit: 100_000, grantedKbit: grantedKbit}
}

func TestALiarIsBroughtDownWithinASecond(t *testing.T) {
	c := newCrowd(1_000_000)
	for range 20 {
		c.step()
	}
	if c.lastLoss > 0.05 {
		t.Errorf("after a second %.0f %% are lost, at a cap of %d kbit/s", 100*c.lastLoss, c.capKbit)
	}
}

func TestAnHonestClientIsLeftAlone(t *testing.T) {
	c := newCrowd(98_000)
	for range 200 {
		c.step()
		c.sample.AgainBytes = c.sample.SentBytes / 100 // one in a hundred, as links go
	}
	if c.capKbit != 0 {
		t.Errorf("a cap of %d kbit/s on a client that loses 1 %%", c.capKbit)
	}
}

func TestACapRisesByEqualStepsAndIsLifted(t *testing.T) {
	var p Policy
	s := Sample{Session: 5, GrantedKbit: 100_000, SentBytes: 1}
	now := int64(1e12)
	p.Step(now, []Sample{s})
	s.SentBytes, s.AgainBytes, now = 1_000_000, 500_000, now+100e6
	changes := p.Step(now, []Sample{s})
	if len(changes) != 1 || changes[0].Kbit != 50_000 {
		t.Fatalf("half was lost: %v, want a cap of 50,000", changes)
	}
	last, rise := changes[0].Kbit, uint32(0)
	for range 1000 {
		s.SentBytes, now = s.SentBytes+100_000, now+100e6
		changes = p.Step(now, []Sample{s})
		if len(changes) != 1 {
			t.Fatalf("changes %v, want one", changes)
		}
		if changes[0].Kbit == 0 {
			if last < 99_000 {
				t.Errorf("lifted at %d", last)
			}
			return
		}
		if rise != 0 && changes[0].Kbit-last+1-rise > 2 {
			t.Fatalf("a step of %d after one of %d", changes[0].Kbit-last, rise)
		}
		rise, last = changes[0].Kbit-last, changes[0].Kbit
	}
	t.Error("never lifted")
}

func TestSilentSessionsAreForgotten(t *testing.T) {
	var p Policy
	s := Sample{Session: 5, GrantedKbit: 100_000, SentBytes: 1}
	p.Step(1e12, []Sample{s})
	s.SentBytes, s.AgainBytes = 1_000_000, 500_000
	if len(p.Step(1e12+1e9, []Sample{s})) != 1 {
		t.Fatal("no cap")
	}
	changes := p.Step(1e12+1e9+forgetNanos, nil)
	if len(changes) != 1 || changes[0] != (Change{Session: 5}) || len(p.sessions) != 0 {
		t.Errorf("changes %v, %d sessions: want the cap lifted and none", changes, len(p.sessions))
	}
}

// TestCapsStayInBounds: whatever is reported, a cap is none, or at least LeastKbit.
func TestCapsStayInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Policy
		s, now := Sample{Session: 1}, int64(1e12)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			sent := rapid.Uint64Range(0, 1<<24).Draw(t, "sent")
			lost := rapid.Float64Range(0, 1).Draw(t, "lost")
			s.SentBytes += sent
			s.AgainBytes += uint64(float64(sent) * lost)
			s.GrantedKbit = rapid.Uint32().Draw(t, "granted")
			if rapid.IntRange(0, 20).Draw(t, "anew") == 0 {
				s.SentBytes, s.AgainBytes = sent, 0 // the line was another's
			}
			now += rapid.Int64Range(1e6, 2e9).Draw(t, "passes")
			for _, c := range p.Step(now, []Sample{s}) {
				if c.Kbit != 0 && c.Kbit < LeastKbit {
					t.Fatalf("a cap of %d", c.Kbit)
				}
			}
		}
	})
}

package control

import (
	"testing"

	"pgregory.net/rapid"
)

const (
	ms       = int64(1e6)
	testTick = 10 * ms
)

// story plays ticks against a watchdog: each step is a gap before the tick and the
// heartbeats that stand on the board at it.
type story struct {
	dog   *Watchdog
	now   int64
	plane Target
	// starved is what the data plane's threads look like.
	starved bool
}

func newStory() *story {
	return &story{dog: NewWatchdog(200*ms, testTick), now: 1e12, plane: Target{PID: 7, StartTicks: 70}}
}

func (s *story) tick(gap int64, beats ...int64) Verdict {
	s.now += gap
	return s.dog.Tick(s.now, s.plane, true, beats, s.isStarved)
}

func (s *story) isStarved() bool { return s.starved }

func TestWatchdogSparesTheStarvedForAWhile(t *testing.T) {
	s := newStory()
	s.starved = true
	s.tick(0, 1)
	killedAt := int64(0)
	for silent := testTick; killedAt == 0 && silent < 5000*ms; silent += testTick {
		if s.tick(testTick, 1).Kill {
			killedAt = silent
		}
	}
	if killedAt != 2000*ms {
		t.Fatalf("killed a starved data plane after %d ms of silence, want 2000", killedAt/ms)
	}
}

func TestWatchdogKillsWhoWasStarvedAndThenFroze(t *testing.T) {
	s := newStory()
	s.starved = true
	s.tick(0, 1)
	for range 40 {
		if s.tick(testTick, 1).Kill {
			t.Fatal("killed while starved")
		}
	}
	s.starved = false
	if !s.tick(testTick, 1).Kill {
		t.Fatal("spared after 410 ms of silence without an excuse")
	}
}

func TestWatchdogKillsAfterSilence(t *testing.T) {
	s := newStory()
	s.tick(0, 1)
	killedAt := int64(0)
	for silent := testTick; killedAt == 0 && silent < 1000*ms; silent += testTick {
		if s.tick(testTick, 1).Kill {
			killedAt = silent
		}
	}
	if killedAt != 200*ms {
		t.Fatalf("killed after %d ms of silence, want 200", killedAt/ms)
	}
	if s.tick(testTick, 1).Kill {
		t.Fatal("killed the same data plane twice")
	}
}

func TestWatchdogKillsForOneSilentShardOfMany(t *testing.T) {
	s := newStory()
	for i := range int64(30) {
		if v := s.tick(testTick, 100+i, 5, 200+i); v.Kill {
			if v.Shard != 1 {
				t.Fatalf("blamed shard %d", v.Shard)
			}
			return
		}
	}
	t.Fatal("one silent shard did not count")
}

func TestWatchdogForgivesItsOwnAbsence(t *testing.T) {
	s := newStory()
	s.tick(0, 1)
	if v := s.tick(3600_000*ms, 1); v.Kill {
		t.Fatal("an hour in which the watchdog itself did not run was held against the data plane")
	}
	// From then on silence counts as ever.
	for range 18 {
		if s.tick(testTick, 1).Kill {
			return
		}
	}
	t.Fatal("silence after the absence did not count")
}

func TestWatchdogWaitsWhileNotServing(t *testing.T) {
	s := newStory()
	for range 100 {
		s.now += testTick
		if s.dog.Tick(s.now, s.plane, false, []int64{1}, s.isStarved).Kill {
			t.Fatal("killed a data plane that is starting up")
		}
	}
	if s.tick(testTick, 1).Kill {
		t.Fatal("silence before serving was counted")
	}
}

func TestWatchdogStartsAnewWithAnotherProcess(t *testing.T) {
	s := newStory()
	s.tick(0, 1)
	for range 15 {
		s.tick(testTick, 1)
	}
	s.plane = Target{PID: 7, StartTicks: 71} // the id was reused
	for range 15 {
		if s.tick(testTick, 1).Kill {
			t.Fatal("the new process was charged with its predecessor's silence")
		}
	}
}

func TestWatchdogNeverKillsWhoBeats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStory()
		beat, silent := int64(1), int64(0)
		for range 300 {
			gap := rapid.Int64Range(0, 40*ms).Draw(t, "gap")
			silent += gap
			if silent >= 190*ms || rapid.Bool().Draw(t, "beats") {
				beat, silent = beat+1, 0
			}
			if s.tick(gap, beat).Kill {
				t.Fatal("killed a data plane that was never silent for 200 ms")
			}
		}
	})
}

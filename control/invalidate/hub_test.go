package invalidate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is two hubs: what the first spreads is kept for the test to deliver.
type pair struct {
	a, b   *Hub
	spread [][]byte
}

func newPair(change func(*Config)) *pair {
	p := &pair{}
	cfg := Config{
		Origin: 1, Incarnation: 5, Timing: DefaultTiming(), Peers: func() int { return 1 },
		Spread: func(b []byte) { p.spread = append(p.spread, b) },
	}
	if change != nil {
		change(&cfg)
	}
	p.a = NewHub(cfg)
	cfg.Origin, cfg.Spread = 2, func([]byte) {}
	p.b = NewHub(cfg)
	return p
}

func subscribe(t *testing.T, h *Hub) *Subscription {
	t.Helper()
	return subscribeTo(t, h, InterestGranted)
}

func subscribeTo(t *testing.T, h *Hub, in Interest) *Subscription {
	t.Helper()
	s, err := h.Subscribe(in)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// told are the notices that wait, in short.
func told(s *Subscription) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, n := range s.queue {
		switch n.Action {
		case ActionInvalidate:
			all = append(all, fmt.Sprintf("%s=%d from %d#%d", n.Key, n.Version, n.Origin, n.Sequence))
		case ActionFlush:
			all = append(all, fmt.Sprintf("flush %d %s", n.Origin, n.Reason))
			if n.Covered != (n.Origin != 0 && n.Reason != FlushSilent) {
				all = append(all, "with the wrong cover")
			}
		default:
			all = append(all, fmt.Sprintf("%s %d#%d", n.Action, n.Origin, n.Sequence))
		}
	}
	s.queue, s.extra = nil, 0
	return strings.Join(all, ", ")
}

func expect(t *testing.T, s *Subscription, want string) {
	t.Helper()
	if got := told(s); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

// write is of an item that an L1 may hold.
func write(key string, version uint64) Write {
	return Write{Key: []byte(key), Version: version, Cached: true}
}

const millis = int64(1e6)

func TestEventsReachBothSides(t *testing.T) {
	p := newPair(nil)
	here, there := subscribe(t, p.a), subscribe(t, p.b)
	expect(t, here, "flush 0 subscribed, flush 1 covered")
	expect(t, there, "flush 0 subscribed, flush 2 covered")
	p.a.Announce(1, []Write{write("x", 10), {Key: []byte("cold"), Version: 11}, write("y", 12)})
	expect(t, here, "x=10 from 1#1, y=12 from 1#2")
	if len(p.spread) != 1 {
		t.Fatalf("%d batches, want 1", len(p.spread))
	}
	if !p.b.Receive(2, p.spread[0]) {
		t.Error("news were no news")
	}
	expect(t, there, "flush 1 new_origin, x=10 from 1#1, y=12 from 1#2")
	if p.b.Receive(3, p.spread[0]) {
		t.Error("the same again was news")
	}
	expect(t, there, "")
	if p.a.Receive(3, p.spread[0]) {
		t.Error("its own was news to the origin")
	}
	if st := p.a.Stats(); st.Announced != 2 || st.Unwanted != 1 || st.Subscribers != 1 {
		t.Errorf("%+v", st)
	}
	if st := p.b.Stats(); st.Heard != 2 || st.Duplicates != 2 || st.Origins != 1 {
		t.Errorf("%+v", st)
	}
}

func TestGapIsFlushed(t *testing.T) {
	p := newPair(nil)
	there := subscribe(t, p.b)
	for i := range uint64(3) {
		p.a.Announce(1, []Write{write("k", i)})
	}
	p.b.Receive(0, p.spread[0])
	told(there)
	p.b.Receive(0, p.spread[2]) // the second is lost
	expect(t, there, "k=2 from 1#3")
	p.b.Tick(99 * millis)
	expect(t, there, "")
	p.b.Tick(100 * millis)
	expect(t, there, "flush 1 gap")
	p.b.Receive(101*millis, p.spread[1]) // too late: the flush has covered it
	expect(t, there, "")
}

// TestLostRecordsAreAGap: what a node cannot tell of, since its log lost it, its own
// subscribers are told to flush, and others' find out.
func TestLostRecordsAreAGap(t *testing.T) {
	for name, writes := range map[string][]Write{
		"alone":   {{Lost: true}},
		"between": {write("a", 1), {Lost: true}, write("b", 2)},
		"last":    {write("a", 1), {Lost: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(nil)
			p.a.Announce(1, []Write{write("k", 1)})
			p.b.Receive(1, p.spread[0])
			p.spread = nil
			here, there := subscribe(t, p.a), subscribe(t, p.b)
			told(here)
			told(there)
			p.a.Announce(1, writes)
			if got := told(here); !strings.Contains(got, "flush 1 gap") {
				t.Errorf("here: %s", got)
			}
			for _, payload := range p.spread {
				p.b.Receive(1, payload)
			}
			told(there)
			p.b.Tick(1 + 100*millis)
			expect(t, there, "flush 1 gap")
		})
	}
}

func TestLostTailIsFoundByHeartbeat(t *testing.T) {
	p := newPair(nil)
	there := subscribe(t, p.b)
	p.a.Announce(0, []Write{write("a", 1)})
	p.b.Receive(0, p.spread[0])
	told(there)
	p.a.Announce(0, []Write{write("b", 2)}) // is lost
	p.a.Tick(199 * millis)
	if len(p.spread) != 2 {
		t.Fatal("a heartbeat came early")
	}
	p.a.Tick(200 * millis)
	p.b.Receive(200*millis, p.spread[2])
	p.b.Tick(300 * millis)
	expect(t, there, "flush 1 gap, heartbeat 2#0")
	p.a.Tick(400 * millis)
	p.b.Receive(400*millis, p.spread[3])
	p.b.Tick(490 * millis)
	expect(t, there, "")
}

func TestSilenceAndRestart(t *testing.T) {
	p := newPair(nil)
	there := subscribe(t, p.b)
	p.a.Tick(200 * millis)
	p.b.Receive(200*millis, p.spread[0])
	told(there)
	p.b.Tick(1199 * millis)
	expect(t, there, "heartbeat 2#0")
	p.b.Tick(1200 * millis)
	expect(t, there, "flush 1 silent")
	p.b.Tick(1300 * millis)
	expect(t, there, "") // once is enough
	late := subscribe(t, p.b)
	expect(t, late, "flush 0 subscribed, flush 2 covered")
	p.a.Tick(1300 * millis)
	p.b.Receive(1300*millis, p.spread[1])
	expect(t, there, "flush 1 heard_again")
	p.b.Receive(1300*millis, p.spread[1])
	expect(t, there, "")
	expect(t, subscribe(t, p.b), "flush 0 subscribed, flush 1 covered, flush 2 covered")
	again := newPair(func(c *Config) { c.Incarnation = 6 })
	again.a.Announce(1300*millis, []Write{write("k", 1)})
	p.b.Receive(1300*millis, again.spread[0])
	expect(t, there, "flush 1 restart, k=1 from 1#1")
	if p.b.Receive(1300*millis, p.spread[0]) {
		t.Error("a word from before the restart was news")
	}
	p.b.Tick(3000 * millis)
	told(there)
	p.b.Tick(62000 * millis)
	if st := p.b.Stats(); st.Origins != 0 || st.FromThePast != 1 {
		t.Errorf("%+v", st)
	}
}

// TestSlowSubscriber: who is behind loses all, and is told so.
func TestSlowSubscriber(t *testing.T) {
	p := newPair(func(c *Config) { c.Queue = 3 })
	s := subscribe(t, p.a)
	told(s)
	p.a.Announce(0, []Write{write("a", 1), write("b", 2), write("c", 3), write("d", 4), write("e", 5)})
	expect(t, s, "flush 0 overflow, flush 1 covered, e=5 from 1#5")
	if n := p.a.Stats().Flushes[FlushOverflow]; n != 1 {
		t.Errorf("%d overflows counted", n)
	}
}

func TestBatchesStaySmall(t *testing.T) {
	p := newPair(nil)
	there := subscribe(t, p.b)
	var writes []Write
	for i := range uint64(600) {
		writes = append(writes, write(strings.Repeat("k", int(i%250)+1), i))
	}
	writes = append(writes, Write{}, write(strings.Repeat("k", 251), 1))
	p.a.Announce(0, writes)
	for _, payload := range p.spread {
		if len(payload) > MaxBatchBytes {
			t.Errorf("a batch of %d bytes", len(payload))
		}
		p.b.Receive(0, payload)
	}
	told(there)
	if st := p.b.Stats(); st.Heard != 600 {
		t.Errorf("%+v", st)
	}
}

// TestLargeClusterBeatsSlower: the sum of all heartbeats stays, and nobody takes a slow
// origin for a silent one.
func TestLargeClusterBeatsSlower(t *testing.T) {
	p := newPair(func(c *Config) { c.Peers = func() int { return 300 } })
	there := subscribe(t, p.b)
	for now := int64(0); now < 30_000*millis; now += 50 * millis {
		p.a.Tick(now)
	}
	if n := len(p.spread); n != 7 { // every 19 × 200 ms
		t.Errorf("%d heartbeats in 30 s", n)
	}
	p.b.Receive(0, p.spread[0])
	told(there)
	p.b.Tick(18_999 * millis)
	if got := told(there); strings.Contains(got, "silent") {
		t.Errorf("told %q", got)
	}
	p.b.Tick(19_000 * millis)
	if got := told(there); !strings.Contains(got, "flush 1 silent") {
		t.Errorf("told %q", got)
	}
}

func TestLines(t *testing.T) {
	p := newPair(nil)
	s := subscribe(t, p.a)
	p.a.Announce(0, []Write{write("user_123", 1<<40|7), {Key: []byte{0xff, 0}, Version: 1, Cached: true}})
	p.a.Tick(200 * millis)
	want := []string{
		`{"action":"flush","reason":"subscribed"}`,
		`{"action":"flush","origin":"0000000000000001","reason":"covered","covered":true}`,
		`{"action":"invalidate","key":"user_123","version":1099511627783,"origin":"0000000000000001","sequence":1}`,
		`{"action":"invalidate","key_base64":"/wA=","version":1,"origin":"0000000000000001","sequence":2}`,
		`{"action":"heartbeat","origin":"0000000000000001","sequence":2}`,
	}
	notices, err := s.Next(t.Context())
	if err != nil || len(notices) != len(want) {
		t.Fatalf("%d notices, %v", len(notices), err)
	}
	for i, n := range notices {
		if string(n.Line()) != want[i]+"\n" || !json.Valid(n.Line()) {
			t.Errorf("line %s, want %s", n.Line(), want[i])
		}
	}
}

func TestRunAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var mu sync.Mutex
		beats := 0
		h := NewHub(Config{
			Origin: 1, Incarnation: 1, Timing: DefaultTiming(), MaxSubscribers: 1, Peers: func() int { return 1 },
			Spread: func([]byte) { mu.Lock(); beats++; mu.Unlock() },
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- h.Run(ctx, func() int64 { return time.Since(begin).Nanoseconds() }) }()
		s := subscribe(t, h)
		if _, err := h.Subscribe(InterestAll); !errors.Is(err, ErrTooManySubscribers) {
			t.Errorf("a second one: %v", err)
		}
		lines := 0
		for lines < 7 { // two flushes and five heartbeats
			notices, err := s.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			lines += len(notices)
		}
		if passed := time.Since(begin); passed != time.Second {
			t.Errorf("five heartbeats took %s", passed)
		}
		s.Close()
		if _, err := s.Next(ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("%v", err)
		}
		other := subscribe(t, h)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for {
			if _, err := other.Next(t.Context()); errors.Is(err, ErrClosed) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := h.Subscribe(InterestAll); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestGapAgesFromItsStart: what is heard beyond a gap does not make it younger.
func TestGapAgesFromItsStart(t *testing.T) {
	p := newPair(nil)
	there := subscribe(t, p.b)
	for i := range uint64(4) {
		p.a.Announce(1, []Write{write("k", i)})
	}
	p.b.Receive(0, p.spread[0])
	p.b.Receive(millis, p.spread[2]) // the second is lost
	p.b.Receive(90*millis, p.spread[3])
	told(there)
	p.b.Tick(101 * millis)
	expect(t, there, "flush 1 gap")
}

// TestWhoWantsAll: as long as one subscriber somewhere wants to hear of all writes, all
// nodes tell of them; copies from before are dropped when a node begins to.
func TestWhoWantsAll(t *testing.T) {
	p := newPair(nil)
	cold := func(version uint64) Write { return Write{Key: []byte("cold"), Version: version} }
	tick := func(now int64) { // heartbeats go both ways
		p.a.Tick(now)
		p.b.Tick(now)
		for _, payload := range p.spread {
			p.a.Receive(now, payload)
			p.b.Receive(now, payload)
		}
		p.spread = nil
	}
	p.b.cfg.Spread = p.a.cfg.Spread
	granted := subscribe(t, p.a)
	tick(200 * millis)
	told(granted)
	p.a.Announce(201*millis, []Write{cold(1)})
	if len(p.spread) != 0 || told(granted) != "" {
		t.Error("told of a write of which there is no copy")
	}
	all := subscribeTo(t, p.b, InterestAll)
	told(all)
	tick(210 * millis) // the wish
	tick(220 * millis) // and the word that it is heard
	expect(t, all, "flush 1 complete")
	p.a.Announce(230*millis, []Write{cold(2)})
	p.b.Receive(230*millis, p.spread[0])
	expect(t, all, "cold=2 from 1#1")
	p.spread = nil
	all.Close()
	tick(240 * millis)
	tick(250 * millis)
	told(granted)
	p.a.Announce(260*millis, []Write{cold(3)})
	if len(p.spread) != 0 || told(granted) != "" {
		t.Error("told of it although nobody wants all any more")
	}
	p.b.Announce(270*millis, []Write{cold(4)})
	if len(p.spread) != 0 {
		t.Error("so does the other")
	}
}

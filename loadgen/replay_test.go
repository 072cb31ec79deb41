package loadgen_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gannet/client/clienttest"
	"gannet/loadgen"
	"gannet/loadgen/trace"
	"gannet/wire"
)

var ctx = context.Background()

// stream is a trace in memory.
type stream struct {
	requests []trace.Request
	fail     error // at the end, instead of io.EOF
}

func (s *stream) Next(req *trace.Request) error {
	if len(s.requests) == 0 {
		if s.fail != nil {
			return s.fail
		}
		return io.EOF
	}
	*req, s.requests = s.requests[0], s.requests[1:]
	return nil
}

func gets(keys ...string) *stream {
	s := &stream{}
	for _, key := range keys {
		s.requests = append(s.requests, trace.Request{Key: []byte(key), ValueBytes: 10 * len(key)})
	}
	return s
}

// skewed is a trace of n GETs over some keys, popular ones more often.
func skewed(n, keys int) *stream {
	r := rand.New(rand.NewPCG(1, 2))
	s := &stream{}
	for range n {
		key := min(r.IntN(keys), r.IntN(keys))
		s.requests = append(s.requests, trace.Request{Key: fmt.Appendf(nil, "key-%d", key), ValueBytes: key % 3000})
	}
	return s
}

func TestReplayCounts(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{Shards: 2})
	for _, connections := range []int{1, 4} {
		source := gets("a", "bb", "a", "ccc", "bb", "a")
		source.requests = append(source.requests,
			trace.Request{Op: trace.Delete, Key: []byte("a")},
			trace.Request{Key: []byte("a"), ValueBytes: 7},
			trace.Request{Op: trace.Put, Key: []byte("dddd"), ValueBytes: 3},
			trace.Request{Key: []byte("dddd"), ValueBytes: 9},
			trace.Request{Op: trace.Delete, Key: []byte("dddd")},
			trace.Request{Op: trace.Delete, Key: []byte("a")},
			trace.Request{Op: trace.Delete, Key: []byte("bb")},
			trace.Request{Op: trace.Delete, Key: []byte("ccc")},
		)
		r, err := loadgen.Replay(ctx, loadgen.ReplayOptions{Source: source, Server: node.Addr(), Connections: connections})
		if err != nil {
			t.Fatal(err)
		}
		if r.Requests != 8 || r.Hits != 4 || r.Misses != 4 || r.Puts != 5 || r.Deletes != 5 || r.Errors+r.Corrupt+r.PutErrors != 0 {
			t.Errorf("%d connections: %+v", connections, r)
		}
		if r.Policy != "none" || r.Datapath != "test" || r.LatencyUS.Max <= 0 || r.MissRatio != 0.5 {
			t.Errorf("%d connections: %+v", connections, r)
		}
	}
}

// TestReplayKeepsOrder: with any number of workers the requests for one key stay
// in order, so that every count is that of a replay with one.
func TestReplayKeepsOrder(t *testing.T) {
	var want *loadgen.ReplayReport
	for _, connections := range []int{1, 7} {
		node := clienttest.New(t, clienttest.Config{Shards: 2})
		r, err := loadgen.Replay(ctx, loadgen.ReplayOptions{Source: skewed(5000, 400), Server: node.Addr(), Connections: connections})
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = r
		}
		if r.Hits != want.Hits || r.Misses != want.Misses || r.Corrupt != 0 || r.Errors != 0 {
			t.Errorf("%d connections: %d hits, %d misses; 1 connection: %d, %d", connections, r.Hits, r.Misses, want.Hits, want.Misses)
		}
	}
}

func TestReplayUnderLoss(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{Shards: 2})
	node.SetFaults(clienttest.Faults{Seed: 1, LoseRequests: 0.02, LoseReplies: 0.02, Repeat: 0.1, Swap: 0.1, Damage: 0.01})
	r, err := loadgen.Replay(ctx, loadgen.ReplayOptions{Source: skewed(3000, 300), Server: node.Addr(), OpTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != 3000 || r.Errors+r.Corrupt+r.PutErrors != 0 || r.Resent == 0 {
		t.Errorf("%+v", r)
	}
}

// TestReplayInsists: what the node refuses for the moment is no error.
func TestReplayInsists(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	node.Answer(wire.Put, wire.StatusFenced, 2)
	node.Answer(wire.Get, wire.StatusOverloaded, 5) // of which the client swallows some
	r, err := loadgen.Replay(ctx, loadgen.ReplayOptions{Source: gets("a", "a"), Server: node.Addr(), OpTimeout: time.Minute})
	if err != nil || r.Hits != 1 || r.Misses != 1 || r.Errors+r.PutErrors != 0 || r.Retried < 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestReplaySeesCorruption: a node that serves another value than was put is
// found out, even when its checksum is right.
func TestReplaySeesCorruption(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	node.Set("a", []byte("0123456789"))
	node.Set("bb", loadgen.AppendValue(nil, wire.KeyHash([]byte("bb")), 21)[:20])
	r, err := loadgen.Replay(ctx, loadgen.ReplayOptions{Source: gets("a", "bb", "ccc"), Server: node.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	if r.Corrupt != 2 || r.Hits != 2 || r.Misses != 1 {
		t.Errorf("%+v", r)
	}
}

func TestReplayOptionsAndLimits(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{MaxValueBytes: 50})
	last := loadgen.Progress{}
	r, err := loadgen.Replay(ctx, loadgen.ReplayOptions{
		Source: skewed(100, 40), Server: node.Addr(), Limit: 60, ValueBytes: 33,
		Progress: func(p loadgen.Progress) { last = p },
	})
	if err != nil || r.Requests != 60 || last.Requests != 60 {
		t.Errorf("limit of 60: %+v, %v, progress %+v", r, err, last)
	}
	r, err = loadgen.Replay(ctx, loadgen.ReplayOptions{Source: gets("aaaaaa", "aaaaaa"), Server: node.Addr()})
	if err != nil || r.TooLarge != 2 || r.Misses != 2 || r.Errors != 0 {
		t.Errorf("values over the node's limit: %+v, %v", r, err)
	}
	broken := errors.New("broken line")
	r, err = loadgen.Replay(ctx, loadgen.ReplayOptions{Source: &stream{fail: broken}, Server: node.Addr()})
	if !errors.Is(err, broken) || r == nil {
		t.Errorf("broken trace: %v", err)
	}
	for _, o := range []loadgen.ReplayOptions{
		{Server: node.Addr()},
		{Source: gets(), Server: node.Addr(), Connections: -1},
		{Source: gets(), Server: node.Addr(), Limit: -1},
		{Source: gets(), Server: node.Addr(), ValueBytes: -1},
	} {
		if _, err := loadgen.Replay(ctx, o); !errors.Is(err, loadgen.ErrOptions) {
			t.Errorf("%+v: %v, want ErrOptions", o, err)
		}
	}
}

func TestReplayEnds(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	ending, end := context.WithCancel(ctx)
	r, err := loadgen.Replay(ending, loadgen.ReplayOptions{
		Source: skewed(1_000_000, 40), Server: node.Addr(),
		Progress: func(p loadgen.Progress) {
			if p.Requests > 0 {
				end()
			}
		},
	})
	if !errors.Is(err, context.Canceled) || r.Requests == 0 || r.Errors != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReplayInProcess(t *testing.T) {
	for _, policy := range []string{"lru", "default"} {
		r, err := loadgen.ReplayInProcess(ctx, loadgen.InProcessOptions{Source: skewed(20000, 2000), Policy: policy, CapacityItems: 500})
		if err != nil {
			t.Fatal(err)
		}
		if r.Requests != 20000 || r.Errors+r.Corrupt+r.PutErrors != 0 || r.Evictions == 0 || r.Items > 500 {
			t.Errorf("%s: %+v", policy, r)
		}
	}
	for _, o := range []loadgen.InProcessOptions{{Source: gets()}, {Source: gets(), CapacityItems: 1, MemoryBytes: 1}, {CapacityItems: 1}} {
		if _, err := loadgen.ReplayInProcess(ctx, o); !errors.Is(err, loadgen.ErrOptions) {
			t.Errorf("%+v: %v, want ErrOptions", o, err)
		}
	}
}

// TestLRUIsExact compares a replay in process with the plainest model of LRU.
func TestLRUIsExact(t *testing.T) {
	const capacity = 300
	source, want := skewed(20000, 1000), int64(0)
	var recent []string
	for _, req := range source.requests {
		key, found := string(req.Key), false
		for i := range recent {
			if recent[i] == key {
				recent, found = append(recent[:i], recent[i+1:]...), true
				break
			}
		}
		if found {
			want++
		} else if len(recent) == capacity {
			recent = recent[1:]
		}
		recent = append(recent, key)
	}
	r, err := loadgen.ReplayInProcess(ctx, loadgen.InProcessOptions{Source: source, Policy: "lru", CapacityItems: capacity})
	if err != nil || r.Hits != want {
		t.Errorf("%d hits, %v; the model has %d", r.Hits, err, want)
	}
}

func TestValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hash := rapid.Uint64().Draw(t, "hash")
		size := rapid.IntRange(0, 3000).Draw(t, "size")
		value := loadgen.AppendValue(nil, hash, size)
		if len(value) != size || !loadgen.CheckValue(value, hash) {
			t.Fatalf("a value of %d bytes does not pass its own check", len(value))
		}
		if size == 0 {
			return
		}
		at := rapid.IntRange(0, size-1).Draw(t, "at")
		value[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if loadgen.CheckValue(value, hash) {
			t.Fatal("a flipped bit passes")
		}
		value[at] ^= 0xFF // and cut short:
		if size > 16 && loadgen.CheckValue(loadgen.AppendValue(nil, hash, size)[:size-1], hash) {
			t.Fatal("a value cut short passes")
		}
	})
}

package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gannet/client"
)

// Config describes a load. What is zero takes the value in brackets.
type Config struct {
	Rate        int     // operations a second, begun when they are due [10000]
	Keys        int     // in use, all alike [20000]
	ValueBytes  int     // of each value [1000]
	WriteShare  float64 // of the operations; 0: reads only
	DeleteShare float64 // of the writes
	Seed        uint64
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Rate, 10_000}, {&c.Keys, 20_000}, {&c.ValueBytes, 1000}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// numbers numbers the writes of this process: a later write of a key has a greater
// number, in whichever load.
var numbers atomic.Uint32

// mostUnderWay bounds the operations that wait for an answer. What is due beyond is
// not sent, and missing in the rate.
const mostUnderWay = 20_000

// Load is a load under way.
type Load struct {
	cfg     Config
	client  *client.Client
	start   time.Time
	cancel  context.CancelFunc
	done    chan struct{} // the pacer has ended
	ops     sync.WaitGroup
	due     chan *Record // of capacity mostUnderWay; to the workers
	waiting atomic.Int64 // operations that are due or under way
	workers int64        // begun; writer: the pacer
	keys    []keyState
	buffers sync.Pool

	all     records // writer: the pacer, and Start and Stop while it does not run
	skipped int     // writer: the pacer
	stopped int64   // when the pacer ended

	mu     sync.Mutex
	errors map[string]int // guarded by mu; texts of errors
}

// keyState is what the load knows of a key: its writer holds busy.
type keyState struct {
	busy atomic.Bool
	ack  client.Ack
	_    [8]byte
}

const sweepers = 64

// Fill puts every key once, and fails if one cannot be put.
func Fill(ctx context.Context, c *client.Client, cfg Config) error {
	cfg = cfg.withDefaults()
	return sweep(cfg.Keys, func(key int) error {
		value := make([]byte, cfg.ValueBytes)
		fillValue(value, uint32(key), numbers.Add(1))
		if _, err := c.Put(ctx, Key(key), value); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		return nil
	})
}

// sweep does something for every key, some at a time.
func sweep(keys int, do func(key int) error) error {
	var next atomic.Int64
	errs := make([]error, sweepers)
	var all sync.WaitGroup
	for i := range sweepers {
		all.Go(func() {
			for key := int(next.Add(1)) - 1; key < keys && errs[i] == nil; key = int(next.Add(1)) - 1 {
				errs[i] = do(key)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Start reads every key, which should have been filled, and begins. The client's
// OnWrite is the load's until Stop.
func Start(ctx context.Context, c *client.Client, cfg Config) *Load {
	l := &Load{cfg: cfg.withDefaults(), client: c, done: make(chan struct{}), errors: map[string]int{}, due: make(chan *Record, mostUnderWay)}
	l.keys = make([]keyState, l.cfg.Keys)
	l.buffers.New = func() any { b := make([]byte, l.cfg.ValueBytes); return &b }
	c.OnWrite(func(a client.Ack) {
		if key, ok := keyIndex(a.Key); ok && key < len(l.keys) {
			l.keys[key].ack = a // its writer is the caller
		}
	})
	l.start = time.Now()
	l.readAll(ctx)
	ctx, l.cancel = context.WithCancel(ctx)
	go l.pace(ctx, newTicks(shortestPause))
	return l
}

// Now is the time in the history's terms: nanoseconds since Start.
func (l *Load) Now() int64 { return int64(time.Since(l.start)) }

// readAll reads every key, and asks again where it fails: the first and last word on
// each.
func (l *Load) readAll(ctx context.Context) {
	sweepRecords := make([]*Record, l.cfg.Keys)
	for i := range sweepRecords {
		sweepRecords[i] = l.all.next()
	}
	_ = sweep(l.cfg.Keys, func(key int) error {
		r := sweepRecords[key]
		for range 5 {
			*r = Record{Due: l.Now(), Key: uint32(key)}
			if l.read(ctx, r); r.Outcome != Failed || ctx.Err() != nil {
				break
			}
		}
		return nil
	})
}

const shortestPause = 100 * time.Microsecond

// pace begins operations when they are due. Its clock is a timer of the kernel's that
// the runtime's poller waits for: sleeps of the runtime are late by up to a millisecond,
// which would count as every operation's latency, and a thread that sleeps by itself
// must wake another one for each operation.
func (l *Load) pace(ctx context.Context, clock *ticks) {
	defer close(l.done)
	defer close(l.due)
	defer clock.close()
	begin, issued := l.Now(), 0
	rng := rand.New(rand.NewPCG(l.cfg.Seed, 1))
	// The load's end is no end of what is under way: it has its own time.
	work := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		for now := l.Now(); ; issued++ {
			due := begin + int64(issued)*int64(time.Second)/int64(l.cfg.Rate)
			if due > now {
				break
			}
			l.begin(work, rng, due)
		}
		clock.next()
	}
	l.stopped = l.Now()
}

// begin hands one operation to a worker that has nothing to do, or a new one.
func (l *Load) begin(ctx context.Context, rng *rand.Rand, due int64) {
	if l.waiting.Load() >= mostUnderWay {
		l.skipped++
		return
	}
	kind, key := l.choose(rng)
	r := l.all.next()
	*r = Record{Due: due, Key: uint32(key), Kind: kind}
	if l.waiting.Add(1) > l.workers {
		l.workers++
		l.ops.Go(func() {
			for r := range l.due {
				l.do(ctx, r)
				l.waiting.Add(-1)
			}
		})
	}
	l.due <- r
}

func (l *Load) do(ctx context.Context, r *Record) {
	r.Begun = l.Now()
	if r.Kind == Read {
		l.read(ctx, r)
		return
	}
	l.write(ctx, r)
}

// choose picks what to do. A write whose key has one under way takes another key.
func (l *Load) choose(rng *rand.Rand) (Kind, int) {
	key := rng.IntN(l.cfg.Keys)
	if rng.Float64() >= l.cfg.WriteShare {
		return Read, key
	}
	kind := Write
	if rng.Float64() < l.cfg.DeleteShare {
		kind = Delete
	}
	for range 16 {
		if l.keys[key].busy.CompareAndSwap(false, true) {
			return kind, key
		}
		key = rng.IntN(l.cfg.Keys)
	}
	return Read, key
}

func (l *Load) read(ctx context.Context, r *Record) {
	buffer := l.buffers.Get().(*[]byte)
	defer l.buffers.Put(buffer)
	item, err := l.client.GetInto(ctx, Key(int(r.Key)), *buffer)
	r.Done = l.Now()
	r.Outcome, r.Version = outcomeOfRead(err), item.Version
	switch r.Outcome {
	case Hit:
		if r.Number, err = readValue(item.Value, r.Key, l.cfg.ValueBytes); err != nil {
			r.Outcome = Wrong
			l.note(err)
		}
	case Failed:
		l.note(err)
	}
}

func (l *Load) write(ctx context.Context, r *Record) {
	k := &l.keys[r.Key]
	defer k.busy.Store(false)
	r.Number = numbers.Add(1)
	k.ack = client.Ack{}
	var err error
	if r.Kind == Delete {
		err = l.client.Delete(ctx, Key(int(r.Key)))
	} else {
		buffer := l.buffers.Get().(*[]byte)
		fillValue(*buffer, r.Key, r.Number)
		_, err = l.client.Put(ctx, Key(int(r.Key)), *buffer)
		l.buffers.Put(buffer)
	}
	r.Done = l.Now()
	r.Outcome = outcomeOfWrite(err)
	if r.Outcome == Acked {
		r.Version, r.Degraded = k.ack.Version, k.ack.Degraded
		return
	}
	l.note(err)
}

// note counts errors by their last text: what is before it names key and node.
func (l *Load) note(err error) {
	var op *client.OpError
	text := err.Error()
	if errors.As(err, &op) {
		text = op.Op + ": " + op.Err.Error()
	}
	l.mu.Lock()
	l.errors[text]++
	l.mu.Unlock()
}

// Stop ends the load, waits for what is under way, and reads every key a last time.
func (l *Load) Stop() *History {
	l.cancel()
	<-l.done
	l.ops.Wait()
	l.readAll(context.Background())
	l.client.OnWrite(nil)
	h := NewHistory(l.all.chunks, l.cfg.Keys)
	h.Errors, h.Skipped = l.errors, l.skipped
	return h
}

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gannet/client"
	"gannet/test/lab"
	"gannet/test/weather"
)

// badSky is what long values are read and rewritten under, beside the loss.
var badSky = weather.Sky{Repeat: 0.02, Reorder: 0.05}

// longValue is a size of value and what a node needs for it.
type longValue struct {
	name    string
	bytes   int
	flags   []string
	workers int
}

var longValues = []longValue{
	{"100 KB", 100_000, nil, 8},
	{"1 MiB", 1 << 20, []string{"--max-value=1MiB"}, 4},
}

const (
	goodputLasts = 400 * time.Millisecond
	mixedLasts   = time.Second
	mixedKeys    = 4
	lossShare    = 0.01
	leastReads   = 20 // that succeeded, under each weather
	lossSeed     = 7
)

// checkLoss reads and writes long values through a path that loses 1 % of packets in
// turn with one that loses none, and then rewrites them while they are read.
func checkLoss(ctx context.Context, e *env) error {
	rounds, lasts := 5, mixedLasts
	if e.full {
		rounds, lasts = 15, 10*time.Second
	}
	var mixed, reads, refused int64
	for _, v := range longValues {
		err := e.underWeather(ctx, v, func(path *weather.Path, h *helper) error {
			if err := e.goodput(ctx, v, rounds, path, h); err != nil {
				return err
			}
			w, err := rewrite(ctx, v, lasts, path, h)
			mixed, reads, refused = mixed+w.N, reads+w.Of, refused+int64(w.X)
			return err
		})
		if err != nil {
			return fmt.Errorf("values of %s: %w", v.name, err)
		}
	}
	jumbo, err := e.overJumbo(ctx)
	if err != nil {
		return fmt.Errorf("jumbo frames: %w", err)
	}
	mixed, reads = mixed+jumbo.N, reads+jumbo.Of
	e.table.AtMost("mixed_versions", float64(mixed), 0, reads, "values",
		fmt.Sprintf("of values to 100 KB and to 1 MiB that were rewritten while they were read, at 0, 0.1, 1 and 5 %% loss, 5 %% out of order, 2 %% twice; %d reads ended with an error. %s", refused, jumbo.Note))
	return nil
}

// underWeather starts a node, a client's job in the other namespace, and a path
// between them.
func (e *env) underWeather(ctx context.Context, v longValue, measure func(*weather.Path, *helper) error) (err error) {
	network, err := lab.New(lab.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	path, err := weather.Open(weather.End{Space: network.Client, Address: lab.ClientAddr},
		weather.End{Space: network.Server, Address: lab.ServerAddr}, 1500, lossSeed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, path.Close()) }()
	node, err := network.StartNode(ctx, lab.NodeConfig{Bin: e.bin, Datapath: "udp", Shards: 1, Memory: 256 << 20, Flags: v.flags})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	h, err := hire(network.Client.Start, job{Kind: "lossy", Servers: servers, Readers: v.workers})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.dismiss()) }()
	return measure(path, h)
}

// goodput measures both ways in turn, with loss and without, and compares the two of
// each round.
func (e *env) goodput(ctx context.Context, v longValue, rounds int, path *weather.Path, h *helper) error {
	rates := map[string]map[float64][]float64{"put": {}, "get": {}}
	lost := path.Lost.Load()
	for range rounds + 1 {
		for _, loss := range []float64{0, lossShare} {
			path.Set(weather.Sky{Lose: loss})
			for _, what := range []string{"put", "get"} {
				w, err := h.order(ctx, word{Says: what, N: int64(v.bytes), Took: goodputLasts})
				if err != nil {
					return err
				}
				rates[what][loss] = append(rates[what][loss], w.X)
			}
		}
	}
	if path.Lost.Load() == lost {
		return errors.New("nothing was lost: the fault never fired")
	}
	for _, what := range []string{"get", "put"} {
		var ratios []float64
		for i, fine := range rates[what][0] {
			if i > 0 && fine > 0 { // the first round warms up
				ratios = append(ratios, rates[what][lossShare][i]/fine)
			}
		}
		if len(ratios) == 0 {
			return fmt.Errorf("no %s succeeded", what)
		}
		e.table.AtLeast("loss_goodput", middle(ratios), 0.8, int64(len(ratios)), "× without loss",
			fmt.Sprintf("%s of %s, %d at a time, 1 %% of packets lost each way; without loss %.0f MB/s", what, v.name, v.workers, middle(rates[what][0][1:])/1e6))
	}
	return nil
}

func middle(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// order has the job do something, and returns what it says about it.
func (h *helper) order(ctx context.Context, w word) (word, error) {
	if err := h.tell(w); err != nil {
		return word{}, err
	}
	did, err := h.await(ctx, "did")
	if err == nil && did.Note != "" {
		err = fmt.Errorf("%s: %s", w.Says, did.Note)
	}
	return did, err
}

// rewrite adds up what the job sees under each share of loss: mixed values in N,
// reads in Of, errors in X.
func rewrite(ctx context.Context, v longValue, lasts time.Duration, path *weather.Path, h *helper) (sum word, err error) {
	for _, loss := range []float64{0, 0.001, 0.01, 0.05} {
		sky := badSky
		sky.Lose = loss
		path.Set(sky)
		lost, swapped, twice := path.Lost.Load(), path.Reordered.Load(), path.Repeated.Load()
		w, err := h.order(ctx, word{Says: "rewrite", N: int64(v.bytes), Took: lasts})
		switch {
		case err != nil:
			return sum, err
		case loss > 0 && path.Lost.Load() == lost, path.Reordered.Load() == swapped, path.Repeated.Load() == twice:
			return sum, fmt.Errorf("at %.1f %% loss the weather was fine: the fault never fired", 100*loss)
		case w.Of-int64(w.X) < leastReads:
			return sum, fmt.Errorf("at %.1f %% loss only %d of %d reads succeeded", 100*loss, w.Of-int64(w.X), w.Of)
		}
		sum.N, sum.Of, sum.X = sum.N+w.N, sum.Of+w.Of, sum.X+w.X
	}
	return sum, nil
}

// useLongValues is the job: a client that does what it is told.
func useLongValues(ctx context.Context, j job, b *boss) error {
	c, err := client.Open(j.Servers, client.WithTimeout(5*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		w, err := b.listen()
		if err != nil {
			return ignoreEOF(err)
		}
		u := &longUse{client: c, workers: j.Readers, bytes: int(w.N), lasts: w.Took}
		switch w.Says {
		case "put":
			u.put(ctx)
		case "get":
			u.get(ctx)
		case "rewrite":
			u.leastReads = 2 * leastReads
			u.rewrite(ctx)
		}
		b.say(u.word())
	}
}

// longUse is one order carried out.
type longUse struct {
	client  *client.Client
	workers int
	bytes   int
	lasts   time.Duration
	// leastReads makes it last longer, on a busy machine.
	leastReads int64

	begun                        time.Time
	took                         time.Duration
	moved, reads, refused, mixed atomic.Int64
	datagrams                    uint64 // received
	once                         sync.Once
	problem                      error
}

func (u *longUse) word() word {
	w := word{Says: "did", N: u.mixed.Load(), Of: u.reads.Load(), X: float64(u.refused.Load()), At: int64(u.datagrams)}
	if u.moved.Load() > 0 {
		w.X = float64(u.moved.Load()) / u.took.Seconds()
	}
	if u.problem != nil {
		w.Note = u.problem.Error()
	}
	return w
}

// all has each worker do something again and again until the time is over.
func (u *longUse) all(workers int, do func(worker int, random *rand.Rand) error) {
	u.begun = time.Now()
	received := u.client.Counters().Received
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(lossSeed, uint64(i)))
			for time.Since(u.begun) < u.lasts || u.reads.Load() < u.leastReads && time.Since(u.begun) < 10*u.lasts {
				if err := do(i, random); err != nil {
					u.once.Do(func() { u.problem = err })
					return
				}
			}
		})
	}
	wg.Wait()
	u.took = time.Since(u.begun)
	u.datagrams = u.client.Counters().Received - received
}

func longKey(i int) string { return fmt.Sprintf("long:%d", i) }

func (u *longUse) put(ctx context.Context) {
	u.all(u.workers, func(i int, random *rand.Rand) error {
		_, err := u.client.Put(ctx, longKey(i), signed(random.Uint64(), u.bytes))
		u.moved.Add(int64(u.bytes))
		return err
	})
}

func (u *longUse) get(ctx context.Context) {
	u.all(u.workers, func(i int, _ *rand.Rand) error {
		item, err := u.client.Get(ctx, longKey(i))
		if err == nil && !isSigned(item.Value) {
			err = errors.New("a value that nobody wrote")
		}
		u.reads.Add(1)
		u.moved.Add(int64(len(item.Value)))
		return err
	})
}

// rewrite has one worker in three write keys that the others read.
func (u *longUse) rewrite(ctx context.Context) {
	u.all(u.workers+u.workers/2, func(i int, random *rand.Rand) error {
		key := longKey(random.IntN(mixedKeys))
		if i%3 == 2 {
			_, err := u.client.Put(ctx, key, signed(random.Uint64(), 1024+random.IntN(u.bytes-1023)))
			return unlessClear(err)
		}
		item, err := u.client.Get(ctx, key)
		u.reads.Add(1)
		switch {
		case err != nil:
			u.refused.Add(1)
			return unlessClear(err)
		case !isSigned(item.Value):
			u.mixed.Add(1)
		}
		return nil
	})
}

// unlessClear passes on the errors that do not tell a caller what to do.
func unlessClear(err error) error {
	for _, clear := range []error{client.ErrTimeout, client.ErrOverloaded, client.ErrUnavailable, client.ErrNoMemory} {
		if errors.Is(err, clear) {
			return nil
		}
	}
	return err
}

// signed is a value of which every word tells which writing it is of and where it
// stands, and the first two its length as well.
func signed(version uint64, bytes int) []byte {
	v := make([]byte, 0, bytes+8)
	v = binary.LittleEndian.AppendUint64(v, version)
	v = binary.LittleEndian.AppendUint64(v, uint64(bytes))
	for at := len(v); at < bytes; at += 8 {
		v = binary.LittleEndian.AppendUint64(v, signature(version, at))
	}
	return v[:bytes]
}

func signature(version uint64, at int) uint64 {
	x := version ^ uint64(at)*0x9E3779B97F4A7C15
	x ^= x >> 31
	return x * 0xBF58476D1CE4E5B9
}

func isSigned(v []byte) bool {
	if len(v) < 16 || binary.LittleEndian.Uint64(v[8:]) != uint64(len(v)) {
		return false
	}
	version := binary.LittleEndian.Uint64(v)
	for at := 16; at+8 <= len(v); at += 8 {
		if binary.LittleEndian.Uint64(v[at:]) != signature(version, at) {
			return false
		}
	}
	return true
}

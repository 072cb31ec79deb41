package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"gannet/alloc"
	"gannet/board"
	"gannet/dataplane"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/security"
	"gannet/shard"
	"gannet/test/rows"
	"gannet/wire"
)

// What header room is worth: two shards, far larger than any cache, serve the same
// random GETs on ports in memory. One has no header room and copies values into
// frames, as on every other rung; the other leaves them where they are. Their rounds
// take turns, and the best of each counts: noise only ever adds.
const (
	gainMemory   = 512 << 20 // each
	gainRounds   = 40
	gainBatches  = 300  // of 64 GETs, a round: short, so that some are undisturbed
	gainPayload  = 1600 // so that 1,400 B fit one datagram
	gainRequests = 1 << 15
	gainFrames   = 2048 // as many as a card has of the default 4,096
	batch        = 64
)

// gain is one point of the curve.
type gain struct {
	valueBytes     int
	copied, placed float64 // ns of CPU a GET
}

func (g gain) ratio() float64 { return g.placed / g.copied }

// bench is two shards, each with a loop.
type bench struct {
	stores []*shard.Shard
	board  *board.Board
	asks   [][]byte
	from   port.Addr
	now    int64
	copies *lane
	places *lane
}

// lane is a way of answering.
type lane struct {
	loop *dataplane.Loop
	port *porttest.Bare
	best float64
}

func headerRoomGain(t *rows.Table) {
	var notes string
	var atKilobyte gain
	for _, n := range []int{512, 1024, 1400} {
		g, err := measureGain(n)
		if err != nil {
			t.Void("header_room_gain", err)
			return
		}
		notes += fmt.Sprintf("%d B: %.0f ÷ %.0f ns = %.2f; ", n, g.placed, g.copied, g.ratio())
		if n == 1024 {
			atKilobyte = g
		}
	}
	t.AtMost("header_room_gain", atKilobyte.ratio(), 0.75, gainRounds*gainBatches*batch, "ratio", "CPU a GET, in place ÷ copied, at 1 KB; "+notes)
}

func measureGain(valueBytes int) (g gain, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	dir, err := os.MkdirTemp("", "gannet-gain-")
	if err != nil {
		return g, fmt.Errorf("gain: %w", err)
	}
	defer os.RemoveAll(dir)
	b := &bench{now: port.BootNanos(), from: port.Addr{Port: 40000}}
	copy(b.from.IP[10:], []byte{0xff, 0xff, 10, 0, 0, 1})
	if err := b.open(dir, valueBytes); err != nil {
		return g, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for range gainRounds {
		b.copies.round(b)
		b.places.round(b)
	}
	b.now += 1e9
	b.places.loop.Turn(b.now) // which puts its counters on the board
	g = gain{valueBytes: valueBytes, copied: b.copies.best, placed: b.places.best}
	if n := b.board.Counters(0); n.Get(board.CountInPlaceSent) == 0 || n.Get(board.CountMisses) > n.Get(board.CountHits)/50 {
		return g, fmt.Errorf("gain: %d replies in place, %d misses among %d hits: not what was to be measured",
			n.Get(board.CountInPlaceSent), n.Get(board.CountMisses), n.Get(board.CountHits))
	}
	return g, nil
}

func (b *bench) open(dir string, valueBytes int) (err error) {
	if b.board, err = board.Create(filepath.Join(dir, "board"), board.Spec{Shards: 1}); err != nil {
		return fmt.Errorf("gain: %w", err)
	}
	b.board.Fence().Set(1 << 62)
	items := gainMemory * 3 / 4 / (valueBytes + 300)
	cookies := security.NewCookies([16]byte{7}, int64(3600e9))
	b.ask(cookies, items)
	if b.copies, err = b.lane(cookies, 0, items, valueBytes); err != nil {
		return err
	}
	if b.places, err = b.lane(cookies, port.HeaderRoomBytes, items, valueBytes); err != nil {
		return err
	}
	return nil
}

func (b *bench) close() error {
	errs := []error{b.board.Close()}
	for _, s := range b.stores {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func gainKey(i int) []byte { return binary.LittleEndian.AppendUint64([]byte("gain-key"), uint64(i)) }

func (b *bench) fill(store *shard.Shard, items, valueBytes int) error {
	value := make([]byte, valueBytes)
	for i := range items {
		binary.LittleEndian.PutUint64(value, uint64(i))
		key := gainKey(i)
		w := shard.Write{Op: shard.Put, Hash: wire.KeyHash(key), Key: key, Value: value}
		if store.Write(&w, b.now); w.Status != shard.OK {
			return fmt.Errorf("gain: item %d of %d: status %d", i, items, w.Status)
		}
	}
	return nil
}

// lane opens and fills a shard with so much header room, and makes its loop.
func (b *bench) lane(cookies *security.Cookies, room, items, valueBytes int) (*lane, error) {
	store, _, err := shard.Open(shard.Config{
		MemoryBytes: gainMemory, NUMANode: alloc.NoNUMA, Huge: alloc.Auto, HeaderRoomBytes: room, HeaderRoomFromBytes: 64,
	}, b.now)
	if err != nil {
		return nil, fmt.Errorf("gain: %w", err)
	}
	b.stores = append(b.stores, store)
	if err := b.fill(store, items, valueBytes); err != nil {
		return nil, err
	}
	l := &lane{port: porttest.NewBare(gainFrames, 4096, gainPayload, true, b.asks, b.from)}
	l.loop, err = dataplane.New(dataplane.Config{
		Shards: 1, Port: l.port, Store: store, Board: b.board, Cookies: cookies, MemoryBytes: gainMemory,
	})
	if err != nil {
		return nil, fmt.Errorf("gain: %w", err)
	}
	return l, nil
}

// ask prepares the requests, of random keys.
func (b *bench) ask(cookies *security.Cookies, items int) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range gainRequests {
		key := gainKey(random.IntN(items))
		h := wire.RequestHeader{
			KeyHash: wire.KeyHash(key), RequestID: uint64(i), SessionID: 1, Cookie: cookies.Make(b.from.IP, b.from.Port, b.now),
			MaxReplyBytes: gainPayload,
		}
		b.asks = append(b.asks, wire.AppendOp(wire.AppendRequest(nil, &h), 0, &wire.Op{Code: wire.Get, Key: key}))
	}
}

// round takes the best CPU time a GET of a stretch of batches.
func (l *lane) round(b *bench) {
	began := cpuNanos()
	for range gainBatches {
		b.now += 20_000
		l.port.Feed(batch, 7919, b.now)
		l.loop.Turn(b.now)
	}
	l.best = slices.Min([]float64{float64(cpuNanos()-began) / (gainBatches * batch), orHuge(l.best)})
}

func orHuge(v float64) float64 {
	if v == 0 {
		return 1e18
	}
	return v
}

// cpuNanos is the CPU time of this thread: what others do on the machine is not in it,
// but for what they do to its caches. (Getrusage counts in ticks on some kernels.)
func cpuNanos() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return t.Nano()
}

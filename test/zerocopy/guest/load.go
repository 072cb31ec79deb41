package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	gannet "gannet/client"
	"gannet/test/zerocopy/report"
)

// Keys of each size, and the sizes: one below the threshold of header room, two
// above it.
const (
	keysEach = 600
	writers  = 6 // requests in flight; each worker has keys of its own, so that a key has one writer
)

var sizes = [...]int{100, 1024, 1400}

// loader is one client. Each worker owns a part of the keys, so it knows what it last
// stored under them.
type loader struct {
	cache *gannet.Client
	mu    sync.Mutex // guards seen
	seen  report.Load
}

func load(args []string) error {
	set := flag.NewFlagSet("load", flag.ContinueOnError)
	phase := set.String("phase", "mixed", "fill, mixed, timed or hot")
	gets := set.Int("gets", 20000, "GETs of a mixed load")
	duration := set.Duration("for", 10*time.Second, "length of a timed load")
	if err := set.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	// Where nothing is broken a late reply is not asked for again: the second one would
	// meet the slot of the first in flight, and be copied.
	patience := 3 * time.Second
	if *phase == "timed" {
		patience = 250 * time.Millisecond
	}
	cache, err := gannet.Open([]string{serverAddr}, gannet.WithTimeout(25*time.Second), gannet.WithRetransmit(patience, max(patience, time.Second)),
		gannet.WithMaxPayload(linkMTU-28), gannet.WithSourcePorts(1))
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	defer cache.Close()
	l := &loader{cache: cache}
	began := time.Now()
	switch *phase {
	case "fill":
		l.each(func(w *worker) { w.fill() })
	case "mixed":
		l.each(func(w *worker) { w.mixed(*gets/writers, time.Time{}) })
	case "timed":
		l.each(func(w *worker) { w.mixed(1<<30, began.Add(*duration)) })
	case "hot":
		l.hot()
	}
	l.seen.Seconds = time.Since(began).Seconds()
	k := cache.Counters()
	l.seen.Resent, l.seen.Corrupt = k.Resent, k.Dropped["corrupt"]
	return json.NewEncoder(os.Stdout).Encode(l.seen)
}

// worker asks for keys of its own.
type worker struct {
	l       *loader
	number  int
	random  *rand.Rand
	version map[int]uint64
	seen    report.Load
}

func (l *loader) each(do func(*worker)) {
	var all sync.WaitGroup
	for i := range writers {
		w := &worker{l: l, number: i, random: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(i))), version: map[int]uint64{}}
		all.Go(func() {
			do(w)
			l.add(&w.seen)
		})
	}
	all.Wait()
}

func (l *loader) add(s *report.Load) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen.Gets += s.Gets
	l.seen.Puts += s.Puts
	l.seen.Bytes += s.Bytes
	l.seen.Wrong += s.Wrong
	l.seen.Failed += s.Failed
	l.seen.Missing += s.Missing
	l.seen.Fenced += s.Fenced
	if l.seen.FirstError == "" {
		l.seen.FirstError = s.FirstError
	}
}

func keyName(key int) string { return fmt.Sprintf("zerocopy-%05d", key) }

// value is what stands under a key: its size follows from the key, its bytes from
// key and nonce, which comes first.
func value(dst []byte, key int, nonce uint64) []byte {
	dst = dst[:sizes[key%len(sizes)]]
	r := rand.NewPCG(uint64(key), nonce)
	for i := 0; i+8 <= len(dst); i += 8 {
		binary.LittleEndian.PutUint64(dst[i:], r.Uint64())
	}
	for i := len(dst) &^ 7; i < len(dst); i++ {
		dst[i] = byte(r.Uint64())
	}
	binary.LittleEndian.PutUint64(dst, nonce)
	return dst
}

func (w *worker) fill() {
	for key := w.number; key < keysEach*len(sizes); key += writers {
		w.put(key)
	}
}

// fenceWait is how long a PUT is tried again that the fence refuses: an emulated
// machine's control process does not always come to renew it in time.
const fenceWait = 20 * time.Second

func (w *worker) put(key int) {
	nonce := w.random.Uint64()
	w.seen.Puts++
	stored := value(make([]byte, 2048), key, nonce)
	_, err := w.l.cache.Put(context.Background(), keyName(key), stored)
	for end := time.Now().Add(fenceWait); refused(err) && time.Now().Before(end); {
		w.seen.Fenced++
		time.Sleep(20 * time.Millisecond)
		_, err = w.l.cache.Put(context.Background(), keyName(key), stored)
	}
	if err != nil {
		w.failed(err)
		delete(w.version, key)
		return
	}
	w.version[key] = nonce
}

func (w *worker) failed(err error) {
	w.seen.Failed++
	if w.seen.FirstError == "" {
		w.seen.FirstError = err.Error()
	}
}

// mixed asks for the worker's keys over and over, in an order shuffled once: a key
// whose slot is still in flight is not asked for again. Every ten GETs it makes a PUT.
func (w *worker) mixed(gets int, until time.Time) {
	buffer, want := make([]byte, 0, 2048), make([]byte, 2048)
	order := w.random.Perm(keysEach * len(sizes) / writers)
	for i := 0; i < gets && (until.IsZero() || time.Now().Before(until)); i++ {
		key := order[i%len(order)]*writers + w.number
		if i%10 == 9 {
			w.put(key)
		}
		w.get(key, buffer, want)
	}
}

func (w *worker) get(key int, buffer, want []byte) {
	w.seen.Gets++
	item, err := w.l.cache.GetInto(context.Background(), keyName(key), buffer)
	switch {
	case errors.Is(err, gannet.ErrMiss):
		w.seen.Missing++
		return
	case err != nil:
		w.failed(err)
		return
	}
	w.seen.Bytes += int64(len(item.Value))
	if !right(item.Value, want, key) {
		w.seen.Wrong++
		return
	}
	if nonce, known := w.version[key]; known && nonce != binary.LittleEndian.Uint64(item.Value) {
		w.seen.Wrong++ // an old value
	}
}

// right compares every byte with what the value's own nonce says it must be.
func right(got, scratch []byte, key int) bool {
	return len(got) == sizes[key%len(sizes)] && bytes.Equal(got, value(scratch, key, binary.LittleEndian.Uint64(got)))
}

// hot asks for one item 64 times at once, some rounds.
func (l *loader) hot() {
	const rounds, atOnce, key = 20, 64, 1
	for range rounds {
		var all sync.WaitGroup
		start := make(chan struct{})
		for range atOnce {
			w := &worker{l: l, version: map[int]uint64{}}
			all.Go(func() {
				<-start
				w.get(key, make([]byte, 0, 2048), make([]byte, 2048))
				l.add(&w.seen)
			})
		}
		close(start)
		all.Wait()
	}
}

// refused says that the fence fell before a write, or while it was under way. These
// are PUTs of whole values: to do one twice is to do it once.
func refused(err error) bool {
	return errors.Is(err, gannet.ErrFenced) || errors.Is(err, gannet.ErrOutcomeUnknown) && !errors.Is(err, gannet.ErrTimeout)
}

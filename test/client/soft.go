package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"gannet/client"
	"gannet/test/lab"
)

// checkSoftTTL reads one hot key from several processes while it goes stale every
// second. Nobody may wait for the source, and each version that was seen stale is
// loaded anew exactly once.
func checkSoftTTL(ctx context.Context, e *env) error {
	lasts := 15 * time.Second
	if e.full {
		lasts = time.Minute
	}
	const readers, processes = 16, 2
	return e.withNode(ctx, leaseFlags(), func(start starter, _ *lab.Node) (err error) {
		t, err := hireTeam(start, processes, job{
			Kind: "soften", Servers: servers, Readers: readers, Lasts: lasts, Soft: time.Second, Slow: 50 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, t.dismiss()) }()
		if err := t[0].tell(word{Says: "fill", Key: "soft"}); err != nil {
			return err
		}
		if _, err := t[0].await(ctx, "filled"); err != nil {
			return err
		}
		if err := t.tell(word{Says: "read", Key: "soft"}); err != nil {
			return err
		}
		words, err := t.await(ctx, "read")
		if err != nil {
			return err
		}
		return e.judgeSoft(words, lasts)
	})
}

// judgeSoft puts together what the processes saw.
func (e *env) judgeSoft(words []word, lasts time.Duration) error {
	stale := map[string]bool{}
	var waits, fills, reads int64
	for i, w := range words {
		if w.Note != "" {
			return fmt.Errorf("process %d: %s", i, w.Note)
		}
		waits, fills, reads = waits+w.N, fills+w.Of, reads+int64(w.X)
		for _, version := range w.List {
			stale[version] = true
		}
	}
	if seconds := lasts.Seconds(); float64(len(stale)) < seconds/2 || float64(reads) < 1000*seconds {
		return fmt.Errorf("%d expiries and %d reads in %v: too few to show anything", len(stale), reads, lasts)
	}
	note := fmt.Sprintf("%d reads by %d processes in %v; %d versions went stale", reads, len(words), lasts, len(stale))
	e.table.AtMost("soft_waits", float64(waits), 0, reads, "readers that waited for a fill", note)
	ratio := float64(fills) / float64(len(stale))
	e.table.AtMost("soft_waits", math.Abs(ratio-1), 0, int64(len(stale)), "|fills ÷ expiries − 1|", fmt.Sprintf("%d fills of %d expiries", fills, len(stale)))
	return nil
}

// softly is one process's readers of the hot key.
type softly struct {
	job
	client *client.Client
	fills  atomic.Int64
	reads  atomic.Int64
	mu     sync.Mutex
	stale  map[client.Version]bool // guarded by mu
	wrong  error                   // guarded by mu
}

// readSoftly is the job of checkSoftTTL.
func readSoftly(ctx context.Context, j job, b *boss) error {
	c, err := client.Open(j.Servers)
	if err != nil {
		return err
	}
	defer c.Close()
	s := &softly{job: j, client: c, stale: map[client.Version]bool{}}
	for {
		w, err := b.listen()
		switch {
		case err != nil:
			return ignoreEOF(err)
		case w.Says == "fill":
			if _, err := s.get(ctx, w.Key); err != nil {
				return err
			}
			s.fills.Store(0) // the first is no refresh
			b.say(word{Says: "filled"})
		default:
			b.say(s.run(ctx, w.Key))
		}
	}
}

func (s *softly) get(ctx context.Context, key string) (client.Item, error) {
	return s.client.GetOrLoad(ctx, key, s.load, client.WithSoftTTL(s.Soft), client.WithTTL(time.Hour))
}

// load is the source: slow enough that whoever waited for it would be seen.
func (s *softly) load(ctx context.Context) ([]byte, error) {
	n := s.fills.Add(1)
	select {
	case <-time.After(s.Slow):
	case <-ctx.Done():
	}
	return fmt.Appendf(nil, "fill %d", n), nil
}

// run reads for as long as it should. When it returns, the last version that it saw
// going stale has its successor.
func (s *softly) run(ctx context.Context, key string) word {
	before := s.client.Counters()
	var readers sync.WaitGroup
	end := time.Now().Add(s.Lasts)
	for range s.Readers {
		readers.Go(func() {
			for time.Now().Before(end) {
				s.read(ctx, key)
			}
		})
	}
	readers.Wait()
	err := until(ctx, func() (bool, error) {
		item, err := s.client.Get(ctx, key, client.MetadataOnly())
		return !item.Stale, err
	})
	after := s.client.Counters()
	// In the background nobody waits. All other loads, and all who joined one, did.
	inFront := after.Loads - before.Loads - (after.Refreshes - before.Refreshes)
	w := word{Says: "read", N: int64(inFront + after.LoadsShared - before.LoadsShared + after.LoadWaits - before.LoadWaits), Of: s.fills.Load()}
	w.X = float64(s.reads.Load())
	for version := range s.stale {
		w.List = append(w.List, version.String())
	}
	if err = errors.Join(s.wrong, err); err != nil {
		w.Note = err.Error()
	}
	return w
}

// read is one call of a reader.
func (s *softly) read(ctx context.Context, key string) {
	item, err := s.get(ctx, key)
	s.reads.Add(1)
	if err == nil && !item.Stale {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.wrong = err
	} else {
		s.stale[item.Version] = true
	}
}

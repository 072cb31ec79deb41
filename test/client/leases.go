package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gannet/client"
	"gannet/test/lab"
)

const (
	crowd     = 10_000
	processes = 4
	// lease is how long one lasts: the node is told so, and so are its clients.
	lease = 2 * time.Second
)

func leaseFlags() []string { return []string{"--lease=" + lease.String()} }

// checkFills has a crowd of readers in several processes miss one key. The source
// answers when each of them is known to wait: so all of them are there at once, by
// construction. Every other round each process has many clients, so that the node has
// hundreds of them to choose among, instead of one a process.
func checkFills(ctx context.Context, e *env) error {
	rounds := 4
	if e.full {
		rounds = 40
	}
	return e.withNode(ctx, leaseFlags(), func(start starter, _ *lab.Node) (err error) {
		worst, total := 0, 0
		note := "fills of a missing key, worst round;"
		for _, clients := range []int{1, 50} {
			t, err := hireTeam(start, processes, job{Kind: "stampede", Servers: servers, Clients: clients, Readers: crowd / processes})
			if err != nil {
				return err
			}
			for round := range rounds / 2 {
				fills, err := t.stampede(ctx, fmt.Sprintf("stampede:%d:%d", clients, round))
				if err != nil {
					return errors.Join(err, t.dismiss())
				}
				worst, total = max(worst, fills), total+fills
			}
			note += fmt.Sprintf(" %d processes × %d clients × %d readers,", processes, clients, crowd/processes/clients)
			if err := t.dismiss(); err != nil {
				return err
			}
		}
		e.table.AtMost("lease_fills", float64(worst), 1, int64(rounds*crowd), "fills", fmt.Sprintf("%s %d rounds, %d fills", note, rounds, total))
		return nil
	})
}

// stampede sends a team at one key, and counts the fills.
func (t team) stampede(ctx context.Context, key string) (fills int, err error) {
	if err := t.tell(word{Says: "read", Key: key}); err != nil {
		return 0, err
	}
	if _, err := t.await(ctx, "waiting"); err != nil { // all of each one's readers are in a load
		return 0, err
	}
	if err := t.tell(word{Says: "fill"}); err != nil { // the source answers
		return 0, err
	}
	words, err := t.await(ctx, "read")
	if err != nil {
		return 0, err
	}
	for i, w := range words {
		if w.Note != "" {
			return 0, fmt.Errorf("process %d: %s", i, w.Note)
		}
		fills += int(w.N)
	}
	if fills == 0 {
		return 0, fmt.Errorf("%s: nobody filled it, yet it was missing", key)
	}
	return fills, nil
}

// mob is one process's part of a crowd.
type mob struct {
	job
	clients []*client.Client
	fills   atomic.Int64
	answer  chan struct{} // closed when the source may answer
	wrong   atomic.Pointer[string]
}

// joinStampede is the job of checkFills.
func joinStampede(ctx context.Context, j job, b *boss) error {
	m := &mob{job: j}
	for range j.Clients {
		c, err := client.Open(j.Servers)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Ping(ctx); err != nil {
			return err
		}
		m.clients = append(m.clients, c)
	}
	for {
		w, err := b.listen()
		if err != nil {
			return ignoreEOF(err)
		}
		if err := m.round(ctx, w.Key, b); err != nil {
			return err
		}
	}
}

// round has all readers ask for a key, says when all wait, and lets the source answer
// when it is told to.
func (m *mob) round(ctx context.Context, key string, b *boss) error {
	m.fills.Store(0)
	m.answer = make(chan struct{})
	before := m.inLoads()
	var readers sync.WaitGroup
	gate := make(chan struct{})
	for i := range m.Readers {
		readers.Go(func() {
			<-gate
			m.read(ctx, m.clients[i%len(m.clients)], key)
		})
	}
	begun := time.Now()
	close(gate)
	if err := m.awaitAll(ctx, before); err != nil {
		return err
	}
	took := time.Since(begun)
	b.say(word{Says: "waiting", Took: took})
	if _, err := b.await("fill"); err != nil {
		return err
	}
	waited := time.Since(begun)
	close(m.answer)
	readers.Wait()
	w := word{Says: "read", N: m.fills.Load(), Took: took}
	switch wrong := m.wrong.Swap(nil); {
	case wrong != nil:
		w.Note = *wrong
	case waited > lease*9/10:
		w.Note = fmt.Sprintf("the readers took %v to come together, nearly as long as a lease lasts", waited)
	}
	b.say(w)
	return nil
}

// inLoads counts the readers who have come into a load, by joining another's.
func (m *mob) inLoads() (shared uint64) {
	for _, c := range m.clients {
		shared += c.Counters().LoadsShared
	}
	return shared
}

// awaitAll waits until all readers are in a load: one of each client began it, the
// others joined.
func (m *mob) awaitAll(ctx context.Context, before uint64) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for m.inLoads()-before < uint64(m.Readers-len(m.clients)) && m.wrong.Load() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// read is one reader's call.
func (m *mob) read(ctx context.Context, c *client.Client, key string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	item, err := c.GetOrLoad(ctx, key, func(ctx context.Context) ([]byte, error) {
		m.fills.Add(1)
		select {
		case <-m.answer:
		case <-ctx.Done():
		}
		return []byte("value of " + key), nil
	})
	switch {
	case err != nil:
		m.complain(err.Error())
	case string(item.Value) != "value of "+key:
		m.complain(fmt.Sprintf("a reader of %s got %q", key, item.Value))
	case item.NotStored != nil:
		m.complain(fmt.Sprintf("the fill was not stored: %v", item.NotStored))
	}
}

func (m *mob) complain(what string) { m.wrong.CompareAndSwap(nil, &what) }

// checkTakeover kills the process that fills keys, and takes the time until another
// one's load begins.
func checkTakeover(ctx context.Context, e *env) error {
	rounds, keys := 3, 8
	if e.full {
		rounds = 30
	}
	return e.withNode(ctx, leaseFlags(), func(start starter, _ *lab.Node) error {
		var worst, least time.Duration
		for round := range rounds {
			took, err := takeOver(ctx, start, keys, round)
			if err != nil {
				return err
			}
			for _, t := range took {
				worst = max(worst, t)
				if least == 0 || t < least {
					least = t
				}
			}
		}
		e.table.AtMost("lease_takeover", worst.Seconds()*1000, lease.Seconds()*1000, int64(rounds*keys), "ms",
			fmt.Sprintf("SIGKILL of the filling process to the next one's load, worst; best %.0f ms; the lease lasts %v", least.Seconds()*1000, lease))
		return nil
	})
}

// takeOver has one process begin to fill keys, kills it when others wait for each of
// them, and returns how long these went on waiting.
func takeOver(ctx context.Context, start starter, keys, round int) (took []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	first, err := hire(start, job{Kind: "hold", Servers: servers, Rounds: keys})
	if err != nil {
		return nil, err
	}
	defer first.kill()
	next, err := hire(start, job{Kind: "succeed", Servers: servers, Rounds: keys})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, next.dismiss()) }()
	for _, step := range []struct {
		who  *helper
		then string
	}{{next, "ready"}, {first, "loading"}, {next, "waiting"}} {
		if err := step.who.tell(word{Says: "go", Key: fmt.Sprintf("takeover:%d", round)}); err != nil {
			return nil, err
		}
		if _, err := step.who.await(ctx, step.then); err != nil {
			return nil, err
		}
	}
	killed := bootNanos()
	first.kill()
	for range keys {
		w, err := next.await(ctx, "loads")
		if err != nil {
			return nil, err
		}
		if w.At < killed {
			return nil, fmt.Errorf("%s was loaded by the second process before the first was killed", w.Key)
		}
		took = append(took, time.Duration(w.At-killed))
	}
	return took, nil
}

// holdLeases is the job that is killed: it loads keys, and never ends.
func holdLeases(ctx context.Context, j job, b *boss) error {
	c, err := client.Open(j.Servers)
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := b.await("go")
	if err != nil {
		return ignoreEOF(err)
	}
	loading := make(chan struct{})
	for i := range j.Rounds {
		go c.GetOrLoad(ctx, fmt.Sprintf("%s:%d", w.Key, i), func(ctx context.Context) ([]byte, error) {
			loading <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		})
	}
	for range j.Rounds {
		<-loading
	}
	b.say(word{Says: "loading"})
	_, err = b.listen()
	return ignoreEOF(err)
}

// awaitLeases is the job of those who wait for the first one's values.
func awaitLeases(ctx context.Context, j job, b *boss) error {
	c, err := client.Open(j.Servers)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := b.await("go"); err != nil {
		return ignoreEOF(err)
	}
	if _, err := c.Ping(ctx); err != nil {
		return err
	}
	b.say(word{Says: "ready"})
	w, err := b.await("go")
	if err != nil {
		return ignoreEOF(err)
	}
	var readers sync.WaitGroup
	for i := range j.Rounds {
		key := fmt.Sprintf("%s:%d", w.Key, i)
		readers.Go(func() {
			_, err := c.GetOrLoad(ctx, key, func(context.Context) ([]byte, error) {
				b.say(word{Says: "loads", Key: key, At: bootNanos()})
				return []byte("second"), nil
			})
			if err != nil {
				b.say(word{Says: "failed", Key: key, Note: err.Error()})
			}
		})
	}
	for c.Counters().LoadWaits < uint64(3*j.Rounds) { // each has been told so some times, while the first one loads
		time.Sleep(time.Millisecond)
	}
	b.say(word{Says: "waiting"})
	readers.Wait()
	return nil
}

// bootNanos is the clock that all processes of this machine share.
func bootNanos() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // cannot fail for a clock that exists
	return now.Nano()
}

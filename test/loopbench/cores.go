package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"gannet/dataplane/port"
	"gannet/test/rows"
)

func bootNanos() int64 { return port.BootNanos() }

const (
	coresGoal       = 1.9
	coresRoundNanos = int64(200e6)
)

// benchCores: GETs a second of two shards, each with its queue on its own core, ÷
// those of one shard alone. Each core is its shard's client, too.
func benchCores(t *rows.Table, s sizes) error {
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("there are not two cores")
	}
	var lanes [2]*lane
	for i := range lanes {
		n, err := newNode(nodeOptions{items: s.items / 2, valueBytes: loopValueBytes, seed: uint64(10 + i)})
		if err != nil {
			return err
		}
		defer n.close()
		lanes[i] = newLane(n, i)
		defer lanes[i].stop()
	}
	var ratios, one, two []float64
	var busy [2][]float64
	for i := range s.rounds + 1 {
		quiet(func() {
			first, second := measure(lanes[0])[0], measure(lanes[1])[0]
			both := measure(lanes[:]...)
			alone, together := (first+second)/2, both[0]+both[1]
			if i == 0 {
				return // warm now
			}
			for i, l := range lanes {
				busy[i] = append(busy[i], l.busy)
			}
			ratios, one, two = append(ratios, together/alone), append(one, alone), append(two, together)
		})
	}
	gets := int64(0)
	for _, l := range lanes {
		if l.err != nil {
			return l.err
		}
		if err := l.d.verdict(); err != nil {
			return err
		}
		gets += int64(l.d.check.seen)
	}
	note := fmt.Sprintf("two shards %.2f M GET/s, one (mean of both) %.2f M GET/s, client on the same core; a second is one of CPU time, and the lanes had their cores to %.0f and %.0f %%",
		medianOf(two)/1e6, medianOf(one)/1e6, 100*medianOf(busy[0]), 100*medianOf(busy[1]))
	t.Add(row("cores", summarize(ratios), gets, "× one shard", note).AtLeast(coresGoal))
	return nil
}

// lane is one shard with its client, on a thread of its own.
type lane struct {
	d    *saturated
	work chan *sync.WaitGroup
	rate float64
	busy float64 // share of the core that was the lane's
	err  error
}

func newLane(n *node, cpu int) *lane {
	l := &lane{d: newSaturated(n, loopValueBytes), work: make(chan *sync.WaitGroup)}
	ready := make(chan struct{})
	go func() {
		l.err = pin(cpu)
		close(ready)
		for group := range l.work {
			l.rate = l.turnFor(coresRoundNanos)
			group.Done()
		}
	}()
	<-ready
	return l
}

func (l *lane) stop() { close(l.work) }

// turnFor turns for a time and returns the GETs a second of CPU time: a core that
// another process takes for a while is no shard's, but caches and memory that two
// shards share show in full.
func (l *lane) turnFor(nanos int64) float64 {
	begun, cpu, gets := monotonic(), cpuNanos(), 0
	for monotonic()-begun < nanos {
		l.d.round(16)
		gets += 16 * batch
	}
	used := cpuNanos() - cpu
	l.busy = float64(used) / float64(monotonic()-begun)
	return float64(gets) / (float64(used) / float64(time.Second))
}

// measure lets lanes run at the same time.
func measure(lanes ...*lane) (rates []float64) {
	var group sync.WaitGroup
	group.Add(len(lanes))
	for _, l := range lanes {
		l.work <- &group
	}
	group.Wait()
	for _, l := range lanes {
		rates = append(rates, l.rate)
	}
	return rates
}

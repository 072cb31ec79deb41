package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// stealWatch looks every second how much of the CPUs the hypervisor took.
type stealWatch struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	fault  time.Time
	seen   []stealSample
}

type stealSample struct {
	at         time.Time
	steal, all float64 // ticks since boot
}

func watchSteal(ctx context.Context) *stealWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &stealWatch{cancel: cancel, seen: []stealSample{readSteal()}}
	w.done.Go(func() {
		for sleep(ctx, time.Second) == nil {
			w.seen = append(w.seen, readSteal())
		}
	})
	return w
}

// since takes the moment of the fault, and tells it on.
func (w *stealWatch) since(now func()) {
	w.fault = time.Now()
	now()
}

// end stops looking. What it returns says whether much was taken in a span around the
// fault, in nanoseconds from it.
func (w *stealWatch) end() (much func(fromNanos, toNanos int64) bool) {
	w.cancel()
	w.done.Wait()
	w.seen = append(w.seen, readSteal())
	return func(fromNanos, toNanos int64) bool {
		from, to := w.fault.Add(time.Duration(fromNanos)), w.fault.Add(time.Duration(toNanos))
		for i := 1; i < len(w.seen); i++ {
			a, b := w.seen[i-1], w.seen[i]
			if a.at.Before(to) && b.at.After(from) && b.all > a.all && (b.steal-a.steal)/(b.all-a.all) > stealMost {
				return true
			}
		}
		return false
	}
}

// readSteal reads the first line of /proc/stat: user, nice, system, idle, iowait, irq,
// softirq, steal. Without it nothing was stolen.
func readSteal() stealSample {
	const stealField = 7
	s := stealSample{at: time.Now()}
	data, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(data), "\n")
	for i, field := range strings.Fields(strings.TrimPrefix(line, "cpu")) {
		if ticks, err := strconv.ParseFloat(field, 64); err == nil && i <= stealField {
			s.all += ticks
			if i == stealField {
				s.steal = ticks
			}
		}
	}
	return s
}

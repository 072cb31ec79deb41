package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// keepAwake and invalidations are requests a second.
const (
	keepAwake     = 1000
	invalidations = 1000
	scrapeEvery   = 100 * time.Millisecond
)

// rounds measures until count rounds are good, at most twice as many.
func (p *pair) rounds(ctx context.Context, count int, half time.Duration) (good []round, err error) {
	for i := 0; len(good) < count && i < 2*count; i++ {
		r, why, err := p.round(ctx, i%2 == 0, half)
		switch {
		case err != nil:
			return nil, err
		case why != "":
			fmt.Fprintf(os.Stderr, "calm: round %d again: %s\n", i, why)
		default:
			good = append(good, r)
		}
	}
	if len(good) < count {
		return nil, fmt.Errorf("only %d of %d rounds were good", len(good), count)
	}
	return good, nil
}

func (p *pair) round(ctx context.Context, idleFirst bool, half time.Duration) (r round, why string, err error) {
	steal, since := stolenNanos(), time.Now()
	if idleFirst {
		r.idle, _, err = p.half(ctx, half, false)
	}
	var rate float64
	if err == nil {
		r.busy, rate, err = p.half(ctx, half, true)
	}
	if err == nil && !idleFirst {
		r.idle, _, err = p.half(ctx, half, false)
	}
	if err != nil {
		return r, "", err
	}
	if rate < leastRate {
		why = fmt.Sprintf("%.0f invalidations a second", rate)
	}
	if share := float64(stolenNanos()-steal) / float64(time.Since(since)) / float64(runtime.NumCPU()); share > mostSteal {
		why = fmt.Sprintf("%.0f %% of the time was stolen", 100*share)
	}
	return r, why, nil
}

// half counts late turns for a while; rate is of the events that the subscriber saw.
func (p *pair) half(ctx context.Context, d time.Duration, busy bool) (late, rate float64, err error) {
	loadCtx, stop := context.WithCancel(ctx)
	ended := make(chan error, 3)
	go func() { ended <- p.every(loadCtx, time.Second/keepAwake, p.read) }()
	loads := 1
	if busy {
		loads = 3
		go func() { ended <- p.every(loadCtx, time.Second/invalidations, p.write) }()
		go func() { ended <- p.every(loadCtx, scrapeEvery, p.scrape) }()
	}
	defer func() {
		stop()
		for range loads {
			if e := <-ended; err == nil {
				err = e
			}
		}
	}()
	time.Sleep(d / 8) // until polling has become a habit again
	before, err := p.lateTurns(ctx)
	if err != nil {
		return 0, 0, err
	}
	events, began := p.events.Load(), time.Now()
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(d):
	}
	rate = float64(p.events.Load()-events) / time.Since(began).Seconds()
	after, err := p.lateTurns(ctx)
	return after - before, rate, err
}

// every calls do with a growing number, on schedule, until the context ends.
func (p *pair) every(ctx context.Context, period time.Duration, do func(context.Context, int) error) error {
	next := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		if err := do(ctx, i); err != nil && ctx.Err() == nil {
			return err
		}
		next = next.Add(period)
		time.Sleep(time.Until(next))
	}
	return nil
}

func (p *pair) read(ctx context.Context, i int) error {
	_, err := p.client.Get(ctx, p.mine[i%len(p.mine)])
	return err
}

func (p *pair) write(ctx context.Context, i int) error {
	_, err := p.client.Put(ctx, p.others[i%len(p.others)], []byte(strconv.Itoa(i)))
	return err
}

// scrape reads the metrics, and a heap profile, which collects garbage first.
func (p *pair) scrape(ctx context.Context, _ int) error {
	if _, err := fetch(ctx, p.admin+"/metrics"); err != nil {
		return err
	}
	_, err := fetch(ctx, p.admin+"/debug/pprof/heap?gc=1")
	return err
}

func lastCPU() string { return strconv.Itoa(runtime.NumCPU() - 1) }

// stolenNanos is the time the hypervisor gave to others, of all CPUs (proc(5), stat:
// in ticks of 10 ms).
func stolenNanos() int64 {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if !lines.Scan() {
		return 0
	}
	fields := strings.Fields(lines.Text())
	if len(fields) < 9 {
		return 0
	}
	ticks, _ := strconv.ParseInt(fields[8], 10, 64)
	return ticks * 10_000_000
}

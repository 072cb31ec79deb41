package main

import (
	"fmt"
	"time"

	"gannet/test/rows"
)

const (
	liarBits     = 1e9 // ten times what its link takes
	liarLasts    = 6 * time.Second
	liarTick     = 50 * time.Millisecond
	liarWindow   = 5    // ticks over which loss is judged
	liarHeldBack = 0.05 // share lost below which it counts as brought down
)

// measureLiar runs a client that takes its link for ten times faster than it is,
// against servers that cap clients, and finds out how long it floods the bottleneck.
func (b *bench) measureLiar(t *rows.Table) error {
	if err := b.order("cap"); err != nil {
		return err
	}
	finish, err := b.begin(b.net.client, job{Role: "multi", LinkBits: liarBits, Lasts: liarLasts})
	if err != nil {
		return err
	}
	series, err := b.watch(liarLasts)
	if err != nil {
		return err
	}
	d, err := finish(nil)
	if err != nil {
		return err
	}
	at, worst, ok := broughtDown(series)
	if !ok {
		t.Void("liar_s", fmt.Errorf("the liar lost nothing: it flooded nobody"))
		return b.order("free")
	}
	total := series[len(series)-1].counted
	t.AtMost("liar_s", at.Seconds(), 1, int64(len(d.Nanos)), "s",
		fmt.Sprintf("from its first loss until less than %.0f %% is lost for good; worst quarter second %.0f %%, %d of %d datagrams lost in %v",
			100*liarHeldBack, 100*worst, total.dropped, total.dropped+total.packets, liarLasts))
	return b.order("free")
}

// moment is the bottleneck's count at a time since the watch began.
type moment struct {
	at time.Duration
	counted
}

// watch samples the bottleneck.
func (b *bench) watch(lasts time.Duration) (series []moment, err error) {
	zero, err := b.net.count()
	if err != nil {
		return nil, err
	}
	ticker := time.NewTicker(liarTick)
	defer ticker.Stop()
	for begin := time.Now(); time.Since(begin) < lasts; <-ticker.C {
		c, err := b.net.count()
		if err != nil {
			return nil, err
		}
		series = append(series, moment{time.Since(begin), c.minus(zero)})
	}
	return series, nil
}

// broughtDown is how long after the first loss the share lost, over any liarWindow
// ticks, exceeded liarHeldBack last. ok is false when nothing was ever lost.
func broughtDown(series []moment) (after time.Duration, worst float64, ok bool) {
	first, last := time.Duration(-1), time.Duration(0)
	for i := range series {
		if first < 0 && series[i].dropped > 0 {
			first = series[i].at
		}
		if i < liarWindow {
			continue
		}
		lost := series[i].minus(series[i-liarWindow].counted).lost()
		worst = max(worst, lost)
		if lost > liarHeldBack {
			last = series[i].at
		}
	}
	if first < 0 {
		return 0, 0, false
	}
	// A window still sees a loss of liarWindow ticks back: the last one ends that much late.
	return max(0, last-(liarWindow-1)*liarTick-first), worst, true
}

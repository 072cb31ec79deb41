package main

import (
	"fmt"

	"gannet/test/rows"
)

const tailValueBytes = 1024

// benchTails: the time of a GET of 1 KB when the value leaves as a tail, out of its
// slab, ÷ when it is copied. Nobody reads the tails: so it is for a card that
// fetches them by itself.
func benchTails(t *rows.Table, s sizes) error {
	items := s.items / 8
	copying, err := newNode(nodeOptions{items: items, valueBytes: tailValueBytes, tailBytes: -1, seed: 2})
	if err != nil {
		return err
	}
	defer copying.close()
	tails, err := newNode(nodeOptions{items: items, valueBytes: tailValueBytes, tailBytes: 1, segments: 2, seed: 3})
	if err != nil {
		return err
	}
	defer tails.close()
	a, b := newSaturated(copying, tailValueBytes), newSaturated(tails, tailValueBytes)
	turns := roundTurns / 2
	a.round(turns)
	b.round(turns)
	var ratios, copied, outside []float64
	for range s.rounds {
		quiet(func() {
			x, y := a.round(turns), b.round(turns)
			copied, outside, ratios = append(copied, x), append(outside, y), append(ratios, y/x)
		})
	}
	for _, d := range []*saturated{a, b} {
		if err := d.verdict(); err != nil {
			return err
		}
	}
	note := fmt.Sprintf("1 KB values, two descriptors %.0f ns a GET, memcpy %.0f ns", medianOf(outside), medianOf(copied))
	t.Add(row("sg", summarize(ratios), int64(len(ratios)*2*turns*batch), "× memcpy", note).Reported())
	return nil
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"

	"gannet/client"
	"gannet/test/lab"
)

const allocRounds = 5

// checkAllocs counts what a Get into the caller's buffer allocates, in the whole
// process: the caller, the readers of sockets, everything.
func checkAllocs(ctx context.Context, e *env) error {
	runs := 20_000
	if e.full {
		runs = 1_000_000
	}
	return e.withNode(ctx, nil, func(start starter, _ *lab.Node) error {
		h, err := hire(start, job{Kind: "allocs", Servers: servers, Rounds: runs})
		if err != nil {
			return err
		}
		w, err := h.await(ctx, "counted")
		if err != nil {
			return errors.Join(err, h.dismiss())
		}
		e.table.AtMost("get_allocs", w.X, 0, w.N, "allocations a Get", w.Note)
		return h.dismiss()
	})
}

// countAllocs is the job of it: one, then the other of two lengths of values, the
// longer one in several datagrams.
func countAllocs(ctx context.Context, j job, b *boss) error {
	c, err := client.Open(j.Servers)
	if err != nil {
		return err
	}
	defer c.Close()
	var worst float64
	var note string
	var counted int64
	for _, kind := range []struct {
		name        string
		valueBytes  int
		reads       int
		description string
	}{
		{"allocs:short", 1000, j.Rounds, "1000 B"},
		{"allocs:long", 20_000, j.Rounds / 10, "20 kB in datagrams of 1472"},
	} {
		if _, err := c.Put(ctx, kind.name, bytes.Repeat([]byte{'v'}, kind.valueBytes)); err != nil {
			return err
		}
		mallocs, err := mallocsOf(ctx, c, kind.name, kind.valueBytes, kind.reads)
		if err != nil {
			return err
		}
		perGet := float64(mallocs) / float64(kind.reads/allocRounds)
		worst, counted = max(worst, perGet), counted+int64(kind.reads)
		note += fmt.Sprintf("%s: %d in %d; ", kind.description, mallocs, kind.reads/allocRounds)
	}
	b.say(word{Says: "counted", X: worst, N: counted, Note: note + "the least of 5 rounds, garbage collection off, all threads of the process"})
	return nil
}

// mallocsOf reads a key many times over. Pools are filled first, and no collection
// empties them; where a core still had none, the least of some rounds tells what each
// Get costs.
func mallocsOf(ctx context.Context, c *client.Client, key string, valueBytes, reads int) (uint64, error) {
	buffer := make([]byte, valueBytes)
	read := func(n int) error {
		for range n {
			item, err := c.GetInto(ctx, key, buffer)
			if err != nil {
				return err
			}
			if len(item.Value) != valueBytes || &item.Value[0] != &buffer[0] {
				return fmt.Errorf("get into a buffer of %d bytes: %d, or elsewhere", valueBytes, len(item.Value))
			}
		}
		return nil
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	if err := read(2000); err != nil {
		return 0, err
	}
	least := uint64(math.MaxUint64)
	var before, after runtime.MemStats
	for range allocRounds {
		runtime.ReadMemStats(&before)
		if err := read(reads / allocRounds); err != nil {
			return 0, err
		}
		runtime.ReadMemStats(&after)
		least = min(least, after.Mallocs-before.Mallocs)
	}
	return least, nil
}

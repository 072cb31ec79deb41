package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gannet/bpf"
	"gannet/checksum"
	"gannet/dataplane/port"
	"gannet/security"
	"gannet/wire"
)

const cookiePeriod = time.Hour

var (
	secret  = [16]byte{11, 22, 33}
	churned = []byte("a key that never rests")
)

// churn rewrites one published item all the time, on one thread, while the program
// is asked for it on another.
type churn struct {
	steer *bpf.Steer
	table *bpf.HotTable
	acked atomic.Uint64 // number of the last writing acknowledged; writer: rewrite
	stop  atomic.Bool
	pause int // turns of an empty loop for which an item stands, at most
}

// outcome is what readers saw.
type outcome struct {
	asked, reads, hits, torn, stale int64
	writes                          uint64
	first                           error // that was torn or stale
}

func (o *outcome) add(other outcome) {
	o.reads, o.hits, o.torn, o.stale = o.reads+other.reads, o.hits+other.hits, o.torn+other.torn, o.stale+other.stale
	o.asked += other.asked
	o.writes += other.writes
	if o.first == nil {
		o.first = other.first
	}
}

func newChurn() (*churn, error) {
	steer, err := bpf.LoadSteer(bpf.SteerConfig{
		PortBase: 9800, Shards: 1, StaleAfter: 24 * time.Hour,
		Hot: &bpf.HotConfig{CookieSecret: secret, CookiePeriod: cookiePeriod},
	})
	if err != nil {
		return nil, err
	}
	steer.SetTrusted(true)
	c := &churn{steer: steer, table: steer.Hot(0), pause: 4_000}
	c.table.Stamp(port.BootNanos())
	c.table.SetReply(1, 0)
	return c, nil
}

func (c *churn) close() error { return c.steer.Close() }

// run reads until that many were answered, in turn on each path, under constant
// rewriting; on the last path until enough was written, too, and a read has met a
// writing half done.
func (c *churn) run(ctx context.Context, reads int64) (outcome, error) {
	done := make(chan uint64)
	go func() { done <- c.rewrite() }()
	total, err := c.readAll(ctx, reads)
	c.stop.Store(true)
	total.writes = <-done
	return total, err
}

// rewrite does what a shard does: withdraw, write, acknowledge, and publish later.
func (c *churn) rewrite() (writes uint64) {
	var value []byte
	item := bpf.HotItem{Hash: wire.KeyHash(churned), Key: churned, OriginNanos: port.BootNanos(), ExpiresTick: bpf.HotNever, SoftTick: bpf.HotNever}
	slot, published := 0, false
	for number := uint64(1); !c.stop.Load(); number++ {
		if published {
			c.table.Withdraw(slot)
		}
		value = appendValue(value[:0], number)
		item.Version, item.Value = number, value
		item.CRC, item.Sum = checksum.CRC(value), checksum.Sum(value)
		c.acked.Store(number) // the write is acknowledged
		slot, published = c.table.Publish(&item)
		c.linger(number)
		writes = number
	}
	return writes
}

// linger lets an item stand for a while, shorter and longer ones in turn.
func (c *churn) linger(number uint64) {
	for i := uint64(0); i < number*7919%uint64(c.pause); i++ {
		if c.stop.Load() {
			return
		}
	}
}

func (c *churn) readAll(ctx context.Context, reads int64) (total outcome, err error) {
	cookies := security.NewCookies(secret, int64(cookiePeriod))
	for i := range paths {
		p := &paths[i]
		header := wire.RequestHeader{
			RequestID: uint64(i), SessionID: 1, Epoch: 1,
			Cookie: cookies.Make(p.client.As16(), p.clientPort, port.BootNanos()),
		}
		frame, err := p.frame(paddedGet(nil, &header, churned, maxValueWords*wordBytes))
		if err != nil {
			return total, err
		}
		last := i == len(paths)-1
		o, err := c.read(ctx, p, frame, func(hits int64) bool {
			return hits >= reads/int64(len(paths)) && (!last || c.lived())
		})
		if err != nil {
			return total, err
		}
		total.add(o)
	}
	return total, nil
}

// lived says whether the readers lived through enough.
func (c *churn) lived() bool {
	return c.acked.Load() >= leastWrites && c.steer.Counters()[bpf.HotBusy] > 0
}

// read runs a frame through the program until enough were answered. What is not
// answered goes to the socket of a shard, of which there is none: it passes.
func (c *churn) read(ctx context.Context, p *path, frame []byte, enough func(hits int64) bool) (o outcome, err error) {
	room := make([]byte, 2048)
	var op wire.ReplyOp
	for !enough(o.hits) && ctx.Err() == nil {
		before := c.acked.Load() // the read is sent
		verdict, after, err := c.steer.TestRun(frame, room)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return o, fmt.Errorf("read %d of %v: %w", o.reads, p, err)
		}
		o.reads++
		if verdict != bpf.VerdictTX {
			if err := sameButPadding(frame, after, p); err != nil {
				return o, err
			}
			continue
		}
		o.hits++
		o.judge(after[p.headerBytes():], before, &op)
	}
	return o, ctx.Err()
}

// sameButPadding says whether a request that goes on to the shard is the one that
// came: all of it but the padding, which the program may have written on.
func sameButPadding(frame, after []byte, p *path) error {
	end := p.headerBytes() + wire.MinRequestBytes + len(churned)
	if len(after) != len(frame) || !bytes.Equal(after[:end], frame[:end]) {
		return fmt.Errorf("%v: a request that was not answered has changed:\n%x\n%x", p, frame, after)
	}
	return nil
}

// judge looks at an answer to a read that was sent when that writing had been
// acknowledged.
func (o *outcome) judge(payload []byte, acked uint64, op *wire.ReplyOp) {
	number, err := readValue(payload, op)
	switch {
	case err != nil:
		o.torn++
	case number != uint64(op.Version):
		o.torn++
		err = fmt.Errorf("%w: number %d in an item of version %d", errTorn, number, op.Version)
	case number < acked:
		o.stale++
		err = fmt.Errorf("stale value: number %d, after %d was acknowledged", number, acked)
	}
	if o.first == nil {
		o.first = err
	}
}

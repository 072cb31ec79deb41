package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"gannet/wire"
)

// wireChurn rewrites one key over the wire all the time, while others read it.
type wireChurn struct {
	node  *node
	acked atomic.Uint64 // number of the last writing acknowledged; writer: rewrite
	stop  atomic.Bool
}

// standing is how long a value stands at least: some passes, so that it is
// published, and answered a number of times.
const standing = 3 * time.Millisecond

// leastWrites is how many writes readers must have lived through at least: on a fast
// machine the reads alone are over before many were made.
const leastWrites = 100

// run reads at least that often, half over IPv4, half over IPv6, while a third
// socket writes; and until enough was written and a quarter of as many reads was
// answered by the kernel.
func (c *wireChurn) run(ctx context.Context, reads int64) (total outcome, err error) {
	writer, err := c.node.dial(serverIPv4)
	if err != nil {
		return total, err
	}
	defer writer.close()
	if err := c.write(writer, 1); err != nil {
		return total, err
	}
	type result struct {
		outcome
		err error
	}
	results := make(chan result, 3)
	go func() {
		writes, err := c.rewrite(ctx, writer)
		results <- result{outcome{writes: writes}, err}
	}()
	for _, to := range []netip.AddrPort{serverIPv4, serverIPv6} {
		go func() {
			o, err := c.read(ctx, to, reads/2)
			results <- result{o, err}
		}()
	}
	for i := range 3 {
		if i == 2 {
			c.stop.Store(true) // both readers are done
		}
		r := <-results
		if r.err != nil {
			c.stop.Store(true)
		}
		total.add(r.outcome)
		err = errors.Join(err, r.err)
	}
	return total, err
}

func (c *wireChurn) write(w *client, number uint64) error {
	op, err := w.ask(&wire.Op{Code: wire.Put, Key: churned, Value: appendValue(nil, number)})
	if err == nil && op.Status != wire.StatusOK {
		err = fmt.Errorf("PUT %d: %v", number, op.Status)
	}
	if err == nil {
		c.acked.Store(number)
	}
	return err
}

// rewrite writes one value after the other. It ends with the readers.
func (c *wireChurn) rewrite(ctx context.Context, w *client) (number uint64, err error) {
	tick := time.NewTicker(standing)
	defer tick.Stop()
	for number = 1; !c.stop.Load() && err == nil; {
		select {
		case <-tick.C:
			number++
			err = c.write(w, number)
		case <-ctx.Done():
			return number, ctx.Err()
		}
	}
	return number, err
}

func (c *wireChurn) read(ctx context.Context, to netip.AddrPort, reads int64) (o outcome, err error) {
	reader, err := c.node.dial(to)
	if err != nil {
		return o, err
	}
	defer reader.close()
	w := window{client: reader, ask: get(churned, maxValueWords*wordBytes)}
	enough := func() bool {
		return o.reads >= reads && c.acked.Load() >= leastWrites && c.node.answered() >= uint64(reads)/2 // of two readers
	}
	for !enough() && !c.stop.Load() && ctx.Err() == nil {
		if err := w.send(&c.acked); err != nil {
			return o, err
		}
		o.asked += windowReads
		if err := w.receive(&o); err != nil {
			return o, err
		}
	}
	return o, ctx.Err()
}

// window is some reads under way at once.
type window struct {
	client *client
	ask    *wire.Op
	first  uint64              // request id
	acked  [windowReads]uint64 // when each read was sent
	op     wire.ReplyOp
}

const windowReads = 16

func (w *window) send(acked *atomic.Uint64) error {
	c := w.client
	w.first = c.header.RequestID + 1
	for i := range w.acked {
		c.header.RequestID++
		c.build(w.ask, 1)
		w.acked[i] = acked.Load() // and now it is sent
		if _, err := c.conn.Write(c.request); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}

// receive judges what comes. What does not come in time is lost, and no read.
func (w *window) receive(o *outcome) error {
	c := w.client
	for got := 0; got < windowReads; {
		if err := c.conn.SetReadDeadline(time.Now().Add(lossAfter)); err != nil {
			return err
		}
		n, err := c.conn.Read(c.reply)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		if n < wire.ReplyHeaderBytes {
			continue
		}
		if at := binary.LittleEndian.Uint64(c.reply[wire.OffsetRequestID:]) - w.first; at < windowReads {
			got++
			o.reads++
			o.judgeWire(c.reply[:n], w.acked[at], &w.op)
		}
	}
	return nil
}

// judgeWire is judge for a node that gives versions of its own.
func (o *outcome) judgeWire(payload []byte, acked uint64, op *wire.ReplyOp) {
	number, err := readValue(payload, op)
	switch {
	case err != nil:
		o.torn++
	case op.Status != wire.StatusOK:
		o.stale++
		err = fmt.Errorf("%v for a key that stands all the time", op.Status)
	case number < acked:
		o.stale++
		err = fmt.Errorf("stale value: number %d, after %d was acknowledged", number, acked)
	}
	if o.first == nil {
		o.first = err
	}
}

package main

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

	"gannet/shard"
	"gannet/test/rows"
	"gannet/wire"
)

// The load of the benchmark suite's row put16.
const (
	putsEach      = 16     // in a datagram
	putDatagrams  = 16     // in a batch
	fewItems      = 10_000 // fit into the last-level cache
	putDrawn      = 4096   // datagrams made beforehand
	putFrameShift = 12     // frames for 2.4 KB
	putTurns      = 400
)

// benchPut: the whole loop, datagrams of 16 PUTs of 100 B over existing items, in CPU
// time of the loop's thread. It is measured with as many items as put16 has, and with
// many more.
func benchPut(t *rows.Table, s sizes) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	few, err := newPutter(fewItems)
	if err != nil {
		return err
	}
	defer few.n.close()
	many, err := newPutter(s.items)
	if err != nil {
		return err
	}
	defer many.n.close()
	putters := []*putter{few, many}
	nanos := make([][]float64, len(putters))
	for i := range s.rounds + 1 {
		for j, p := range putters {
			took := p.round(putTurns)
			if i > 0 { // warm now
				nanos[j] = append(nanos[j], took)
			}
		}
	}
	for j, p := range putters {
		if err := p.verdict(); err != nil {
			return err
		}
		note := fmt.Sprintf("%d PUTs of %d B a datagram, %d datagrams a batch, CPU time, %d items in %d MB, fastest round %.0f; all replies checked",
			putsEach, loopValueBytes, putDatagrams, p.n.items, p.n.setBytes()>>20, slices.Min(nanos[j]))
		t.Add(row("put", summarize(nanos[j]), int64(p.puts), "ns/PUT", note).Reported())
	}
	return nil
}

// putter drives a node with datagrams of PUTs.
type putter struct {
	n         *node
	datagrams [][]byte
	asked     uint64 // datagrams sent, and the last request id
	answered  uint64
	puts      int
	version   wire.Version // the greatest acknowledged
	wrong     error
}

func newPutter(items int) (*putter, error) {
	n, err := newNode(nodeOptions{items: items, valueBytes: loopValueBytes, frameShift: putFrameShift, log: true, seed: 4})
	if err != nil {
		return nil, err
	}
	p := &putter{n: n, datagrams: make([][]byte, putDrawn)}
	for i := range p.datagrams {
		p.datagrams[i] = p.request()
	}
	return p, nil
}

// request is a datagram of PUTs of random items.
func (p *putter) request() []byte {
	numbers := make([]uint64, putsEach)
	for i := range numbers {
		numbers[i] = p.n.random(p.n.items)
	}
	b := wire.AppendRequest(nil, &wire.RequestHeader{
		SessionID: 78, Cookie: p.n.cookie, KeyHash: wire.KeyHash(keyOf(nil, numbers[0])), MaxReplyBytes: 1472,
	})
	for _, number := range numbers {
		b = wire.AppendOp(b, 0, &wire.Op{Code: wire.Put, Key: keyOf(nil, number), Value: appendValue(nil, number, loopValueBytes)})
	}
	return b
}

// round runs so many turns and returns the nanoseconds of CPU time that a PUT took.
func (p *putter) round(turns int) float64 {
	inTurns := int64(0)
	for range turns {
		for range putDatagrams {
			b := p.datagrams[p.asked%putDrawn]
			p.asked++
			binary.LittleEndian.PutUint64(b[wire.OffsetRequestID:], p.asked)
			p.n.port.offer(b)
		}
		now := bootNanos()
		p.n.port.now = now
		begun := cpuNanos()
		p.n.loop.Turn(now)
		inTurns += cpuNanos() - begun
		p.n.port.collect(p.see)
	}
	return float64(inTurns) / float64(turns*putDatagrams*putsEach)
}

// see checks a reply: every PUT was done, each after the one before.
func (p *putter) see(head, _ []byte) {
	p.answered++
	var r wire.Reply
	if reason := wire.ParseReply(head, &r); reason != wire.ReasonNone {
		p.wrong = fmt.Errorf("reply does not parse: %v", reason)
		return
	}
	ops, seen := r.Ops(), 0
	var op wire.ReplyOp
	for ops.Next(&op) {
		if op.Status != wire.StatusOK || op.Version <= p.version {
			p.wrong = fmt.Errorf("PUT %d of request %d: status %d, version %d after %d", seen, r.RequestID, op.Status, op.Version, p.version)
		}
		p.version = op.Version
		seen++
	}
	if p.puts += seen; seen != putsEach {
		p.wrong = fmt.Errorf("reply %d answers %d PUTs", r.RequestID, seen)
	}
}

// verdict says whether all was answered, and whether the items are as written.
func (p *putter) verdict() error {
	switch {
	case p.wrong != nil:
		return p.wrong
	case p.answered != p.asked:
		return fmt.Errorf("%d requests, %d replies", p.asked, p.answered)
	}
	for i := range uint64(p.n.items) {
		g := shard.Get{Key: keyOf(nil, i)}
		g.Hash = wire.KeyHash(g.Key)
		p.n.store.Get(&g, p.n.port.now)
		if g.Outcome != shard.Hit || !slices.Equal(g.Item.Value, appendValue(nil, i, loopValueBytes)) {
			return fmt.Errorf("item %d is not as written", i)
		}
	}
	return p.n.store.Integrity(true)
}

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"gannet/wire"
)

// request is what a client asks again and again, with its place for the key.
type requests struct {
	datagrams [][]byte
	numbers   []uint64 // of the keys asked for
	at        int
}

// drawn is how many requests are made beforehand: more than a cache holds lines for
// their items.
const drawn = 1 << 16

// prepare makes requests for random items; one in longEvery asks for a long one.
func (n *node) prepare(longEvery, longItems int) *requests {
	q := &requests{datagrams: make([][]byte, drawn), numbers: make([]uint64, drawn)}
	for i := range q.datagrams {
		number := n.random(n.items)
		if longEvery > 0 && n.random(longEvery) == 0 {
			number = longFrom + n.random(longItems)
		}
		q.datagrams[i], q.numbers[i] = n.request(number, uint64(i)), number
	}
	return q
}

func (n *node) request(number, id uint64) []byte {
	key := keyOf(nil, number)
	b := wire.AppendRequest(nil, &wire.RequestHeader{
		RequestID: id, SessionID: 77, Cookie: n.cookie, KeyHash: wire.KeyHash(key),
	})
	return wire.AppendOp(b, 0, &wire.Op{Code: wire.Get, Key: key})
}

// random draws below limit.
func (n *node) random(limit int) uint64 {
	n.rng ^= n.rng << 13
	n.rng ^= n.rng >> 7
	n.rng ^= n.rng << 17
	high, _ := bits.Mul64(n.rng, uint64(limit))
	return high
}

func (q *requests) next() []byte {
	b := q.datagrams[q.at%drawn]
	q.at++
	return b
}

// checker looks at replies. It is the client's memory of what it may expect.
type checker struct {
	q          *requests
	valueBytes int // of short items
	seen       int
	wrong      error
	want       []byte
	whole      []byte
}

// see checks one reply of a short item: status and length always, everything in one
// of 64.
func (c *checker) see(head, tail []byte) {
	c.seen++
	op := head[wire.ReplyHeaderBytes:]
	if len(op) < wire.ReplyOpHeaderBytes || wire.Status(op[wire.ReplyOpOffsetStatus]) != wire.StatusOK ||
		int(binary.LittleEndian.Uint32(op[wire.ReplyOpOffsetValueBytes:])) != c.valueBytes {
		c.fail(fmt.Errorf("reply %d: status %d, %d bytes", c.seen, op[wire.ReplyOpOffsetStatus], len(op)))
		return
	}
	if c.seen%64 == 0 {
		c.look(head, tail)
	}
}

func (c *checker) look(head, tail []byte) {
	c.whole = append(append(c.whole[:0], head...), tail...)
	var r wire.Reply
	if reason := wire.ParseReply(c.whole, &r); reason != wire.ReasonNone {
		c.fail(fmt.Errorf("reply does not parse: %v", reason))
		return
	}
	number := c.q.numbers[r.RequestID]
	c.want = appendValue(c.want[:0], number, c.valueBytes)
	ops := r.Ops()
	var op wire.ReplyOp
	if !ops.Next(&op) || !op.Intact() || !bytes.Equal(op.Value, c.want) {
		c.fail(fmt.Errorf("request %d for item %d got another value", r.RequestID, number))
	}
}

func (c *checker) fail(err error) {
	if c.wrong == nil {
		c.wrong = err
	}
}

package client

import (
	"sync/atomic"

	"gannet/wire"
)

const (
	// padFromUses is how often a key must have been asked for lately to be padded.
	padFromUses = 100
	// padMaxValueBytes is the longest value that nodes answer in the kernel.
	padMaxValueBytes = 1024
	padKeys          = 1 << 10
	// padPatience is how many padded reads in a row may be answered only after they were
	// sent again without padding, before a node gets no more of them.
	padPatience = 2
)

// padZeros is what requests are padded with.
var padZeros [wire.ReplyHeaderBytes + wire.ReplyOpHeaderBytes + padMaxValueBytes]byte

// padded remembers how long the values of hot keys are, so that their GETs can be made
// as long as their replies: nodes answer such ones in the kernel, which cannot make a
// packet longer. A word holds 48 bits of a key's hash and 16 of its value's length; an
// older key gives way.
type padded struct{ words [padKeys]atomic.Uint64 }

func (p *padded) word(hash uint64) *atomic.Uint64 { return &p.words[hash%padKeys] }

// pastKernelBytes is a padding that the kernel does not take: not a multiple of 8.
const pastKernelBytes = 4

// prepare decides whether the first datagram of a read is padded. One whose answer is
// for L1 is padded so that the kernel leaves it to the shard, also where the value is
// so short that it would answer a plain GET: the kernel grants nothing.
func (p *padded) prepare(c *Client, op *operation, hash uint64, uses uint32, forL1 bool) {
	if forL1 {
		op.padBytes, op.pastKernel = pastKernelBytes, true
		return
	}
	if uses < max(padFromUses, 2*c.hot.noise()) || c.settings.noPadding {
		return
	}
	word := p.word(hash).Load()
	if word&^0xFFFF != hash&^0xFFFF || word == 0 {
		return
	}
	op.padBytes = padBytes(len(op.ask.Key), int(word&0xFFFF)-1)
}

// padBytes makes a GET as long as a reply with such a value; see docs/hotkeys.md.
func padBytes(keyBytes, valueBytes int) int {
	reply := roundUp8(wire.ReplyHeaderBytes + wire.ReplyOpHeaderBytes + valueBytes)
	return max(0, reply-wire.RequestHeaderBytes-wire.OpHeaderBytes-roundUp8(keyBytes))
}

func roundUp8(n int) int { return (n + wire.AlignBytes - 1) &^ (wire.AlignBytes - 1) }

// padFirst says whether an operation is padded in the datagram being built. Only the
// first one to a node is: where replies out of the kernel get lost, the second comes
// from a shard.
func (c *call) padFirst(t *target, op *operation) bool {
	if op.pastKernel {
		return true
	}
	if op.padBytes == 0 || t.sends > 0 || t.node.padLost.Load() >= padPatience {
		return false
	}
	c.client.counters.padded.Add(1)
	return true
}

// learn takes note of a hot key's length, and of whether padding worked.
func (p *padded) learn(c *call, op *operation, hash uint64, uses uint32) {
	if uses < padFromUses {
		return
	}
	if word := p.word(hash); op.answer.Status == wire.StatusOK && op.answer.TotalBytes <= padMaxValueBytes && op.ask.Flags&wire.OpNoValue == 0 {
		if next := hash&^0xFFFF | uint64(op.answer.TotalBytes+1); word.Load() != next {
			word.Store(next)
		}
	}
	t := &c.targets[0]
	switch {
	case op.padBytes == 0 || op.pastKernel || c.winner != t.node || c.prompts > 0:
	case t.sends == 1:
		t.node.padLost.CompareAndSwap(1, 0)
	case t.node.padLost.Load() < padPatience:
		t.node.padLost.Add(1)
	}
}

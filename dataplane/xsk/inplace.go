package xsk

import (
	"encoding/binary"

	"gannet/alloc"
	"gannet/dataplane/port"
)

// A reply in place, in its slot:
//
//	... | ticket | headers | frame part | tail (the value) | ...
//	             ^ the descriptor's address
//
// The ticket is the number of the frame that stands for the slot while it is with
// the kernel: the completion brings back the descriptor's address, and the ticket
// in front of it the frame. It uses the place of transmit metadata, which is not
// asked for. Where the kernel copies (skb mode, seen in Linux 6.18), completions have
// lost the lowest bit of odd addresses: tickets stand at even ones, and the bit is not
// compared.
const (
	metadataBytes = 24 // struct xsk_tx_metadata
	ticketBytes   = 8
	// inPlaceBytes is what a reply needs in front of its frame part.
	inPlaceBytes = maxHeaderBytes + metadataBytes
)

// fitsInPlace says whether t can leave as one descriptor that ends with its tail,
// which lies at addr.
func (p *Port) fitsInPlace(t *port.Tx, addr uint64) bool {
	if !p.opt.Slabs.inPlace() || t.Bytes < 0 || t.RoomBytes < inPlaceBytes+t.Bytes {
		return false
	}
	u := p.sock.umem
	if addr < u.framesBytes+uint64(t.RoomBytes) {
		return false
	}
	packetBytes := uint64(int(p.frames[t.Frame].headers.payload) + t.Bytes + len(t.Tail))
	first, last := addr-uint64(t.RoomBytes), addr+uint64(len(t.Tail))-1
	return packetBytes <= u.frameBytes && first/alloc.HugePageBytes == last/alloc.HugePageBytes
}

// sendInPlace moves headers and frame part in front of the tail at addr, and gives
// the slot to the kernel. False when there is no room in the queues now.
func (p *Port) sendInPlace(t *port.Tx, addr uint64) bool {
	if !p.hasRoom(t, addr, false) {
		return false
	}
	if p.isLongerThanPath(t) {
		p.drops[port.DropTooLong]++
		p.drop(t)
		return true
	}
	fr := &p.frames[t.Frame]
	packet := p.packet(t.Frame)
	at := int(fr.headers.payload)
	turnRound(packet, &fr.headers, t.Bytes+len(t.Tail), payloadSum(packet[at:at+t.Bytes], t))
	head := at + t.Bytes
	start := addr - uint64(head)
	memory := p.sock.umem.memory
	copy(memory[start:addr], packet[:head])
	slot := start &^ 1
	binary.LittleEndian.PutUint64(memory[slot-ticketBytes:], uint64(t.Frame))
	fr.place, fr.token, fr.tails, fr.slot = placeTx, t.Token, 0, slot
	p.held--
	p.inTx++
	p.slots++
	p.put(Desc{Addr: start, Len: uint32(head + len(t.Tail))}) // the slot is the kernel's from the next Flush on
	return true
}

// slotCompleted handles the return of a slot. The ticket is believed only if its
// frame stands for this very address.
func (p *Port) slotCompleted(addr uint64) {
	u := p.sock.umem
	addr &^= 1
	if addr < u.framesBytes+ticketBytes || addr >= uint64(len(u.memory)) {
		p.drops[port.DropKernelInvalid]++
		return
	}
	f := binary.LittleEndian.Uint64(u.memory[addr-ticketBytes:])
	if f >= uint64(len(p.frames)) || p.frames[f].place != placeTx || p.frames[f].slot != addr {
		p.drops[port.DropKernelInvalid]++
		return
	}
	p.txDescs--
	p.finish(port.Frame(f))
}

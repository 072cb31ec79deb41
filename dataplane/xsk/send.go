package xsk

import (
	"gannet/checksum"
	"gannet/dataplane/port"
)

// maxTailDescs is how many descriptors one tail may need: a descriptor does not
// cross a border between chunks. Together with the frame's they stay below the 18
// that the kernel takes.
const maxTailDescs = 16

// Send implements [port.Port].
func (p *Port) Send(tx []port.Tx) int {
	p.refused = false
	for i := range tx {
		if p.isClosed() || !p.isHeld(tx[i].Frame) {
			return i
		}
		if !p.sendOne(&tx[i]) {
			p.refused = true
			return i
		}
	}
	return len(tx)
}

// sendOne takes one frame over. False when there is no room for it now.
func (p *Port) sendOne(t *port.Tx) bool {
	addr, inSlab := uint64(0), false
	if len(t.Tail) > 0 && p.opt.Slabs != nil {
		addr, inSlab = p.sock.umem.slabAddr(t.Tail)
	}
	if inSlab && p.fitsInPlace(t, addr) {
		return p.sendInPlace(t, addr)
	}
	inSlab = inSlab && p.opt.Slabs.tails()
	if !p.hasRoom(t, addr, inSlab) {
		return false
	}
	if p.isTooLong(t, inSlab) {
		p.drops[port.DropTooLong]++
		p.drop(t)
		return true
	}
	fr := &p.frames[t.Frame]
	if fr.bounce != 0 {
		p.unbounce(t)
	}
	packet := p.packet(t.Frame)
	at := int(fr.headers.payload)
	sum := payloadSum(packet[at:at+t.Bytes], t)
	end := at + t.Bytes
	if !inSlab {
		end += copy(packet[end:], t.Tail)
	}
	turnRound(packet, &fr.headers, t.Bytes+len(t.Tail), sum)
	p.submit(t, end, addr, inSlab)
	return true
}

// hasRoom says whether the queues take t: the tx queue its descriptors, the
// completion queue all in flight, the token queue its token.
func (p *Port) hasRoom(t *port.Tx, addr uint64, inSlab bool) bool {
	descs := uint32(1)
	if inSlab {
		descs += p.tailDescs(addr, len(t.Tail))
	}
	return p.sock.tx.room(descs) == descs && p.txDescs+descs <= p.sock.completion.entries() &&
		(t.Token == 0 || p.tokens.reserve())
}

func (p *Port) tailDescs(addr uint64, bytes int) uint32 {
	size := p.sock.umem.frameBytes
	return uint32((addr+uint64(bytes)-1)/size - addr/size + 1)
}

// isTooLong compares with the path, and with the room in the frame: a tail that is
// copied must fit behind the frame's part.
func (p *Port) isTooLong(t *port.Tx, inSlab bool) bool {
	fr := &p.frames[t.Frame]
	start := int(fr.start)
	if fr.bounce != 0 {
		start = dataOffsetBytes // where unbounce will put it
	}
	room := p.opt.FrameBytes - start - int(fr.headers.payload)
	inFrame := t.Bytes
	if !inSlab {
		inFrame += len(t.Tail)
	}
	return t.Bytes < 0 || p.isLongerThanPath(t) || inFrame > room || len(t.Tail) > (maxTailDescs-1)*p.opt.FrameBytes
}

func (p *Port) isLongerThanPath(t *port.Tx) bool {
	limit := p.caps.MaxPayload
	if p.frames[t.Frame].headers.v6 {
		limit = p.caps.MaxPayload6
	}
	return t.Bytes+len(t.Tail) > limit
}

// drop ends a datagram that is not sent.
func (p *Port) drop(t *port.Tx) {
	if t.Token != 0 {
		p.tokens.push(t.Token)
	}
	p.held--
	p.pushFree(t.Frame)
}

// unbounce moves headers and reply from the bounce buffer into the frame.
func (p *Port) unbounce(t *port.Tx) {
	fr := &p.frames[t.Frame]
	packet := p.packet(t.Frame)[:int(fr.headers.payload)+t.Bytes]
	bounce := fr.bounce
	fr.bounce, fr.start = 0, dataOffsetBytes
	copy(p.packet(t.Frame), packet)
	p.bounces.release(bounce)
}

// payloadSum is the one's-complement sum of both pieces.
func payloadSum(inFrame []byte, t *port.Tx) uint16 {
	if t.HasSum {
		return t.PayloadSum
	}
	sum := checksum.Sum(inFrame)
	if len(t.Tail) > 0 {
		sum = checksum.Combine(sum, checksum.Sum(t.Tail), t.Bytes%2 == 1)
	}
	return sum
}

// submit writes the descriptors. The frame goes to the kernel with the next Flush.
// A tail that was copied is not read any more: its token is due at once.
func (p *Port) submit(t *port.Tx, packetBytes int, addr uint64, inSlab bool) {
	fr := &p.frames[t.Frame]
	fr.place, fr.token, fr.tails, fr.slot = placeTx, 0, 0, 0
	p.held--
	p.inTx++
	d := Desc{Addr: uint64(t.Frame)*p.sock.umem.frameBytes + uint64(fr.start), Len: uint32(packetBytes)}
	switch {
	case inSlab:
		d.Options = Continued
		fr.token = t.Token
	case t.Token != 0:
		p.tokens.push(t.Token)
	}
	p.put(d)
	if inSlab {
		fr.tails = p.submitTail(addr, uint64(len(t.Tail)))
	}
}

// submitTail cuts a tail at the borders of chunks.
func (p *Port) submitTail(addr, bytes uint64) (descs uint8) {
	size := p.sock.umem.frameBytes
	for bytes > 0 {
		n := min(bytes, size-addr%size)
		bytes -= n
		d := Desc{Addr: addr, Len: uint32(n)}
		if bytes > 0 {
			d.Options = Continued
		}
		p.put(d)
		addr += n
		descs++
	}
	return descs
}

func (p *Port) put(d Desc) {
	p.sock.tx.put(d)
	p.txDescs++
}

// reclaim takes back what has been sent.
func (p *Port) reclaim() {
	q := &p.sock.completion
	for q.available(1) > 0 {
		p.completed(q.get())
	}
	q.release()
}

// completed handles one descriptor's return.
func (p *Port) completed(addr uint64) {
	u := p.sock.umem
	f := port.Frame(addr / u.frameBytes)
	isFrame := addr < u.framesBytes
	switch {
	case !isFrame && p.partial.left == 0:
		p.slotCompleted(addr)
	case !isFrame:
		p.txDescs--
		p.partial.left--
		if p.partial.left == 0 {
			p.finish(p.partial.frame)
		}
	case isFrame && p.partial.left == 0 && int(f) < len(p.frames) && p.frames[f].place == placeTx:
		p.txDescs--
		p.partial = partial{frame: f, left: p.frames[f].tails}
		if p.partial.left == 0 {
			p.finish(f)
		}
	default:
		p.drops[port.DropKernelInvalid]++
	}
}

// finish frees a frame all of whose packet has been sent.
func (p *Port) finish(f port.Frame) {
	if t := p.frames[f].token; t != 0 {
		p.tokens.push(t)
	}
	if p.frames[f].slot != 0 {
		p.slots--
	}
	p.inTx--
	p.pushFree(f)
}

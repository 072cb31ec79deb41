package xsk

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"gannet/dataplane/port"
)

// fakeKernel is the other side of the four queues, in the test's own memory. It
// stands in for drivers that are not here: zero-copy ones, which send from slabs in
// place and take and complete descriptors in order, and copying ones, which complete
// packets in any order.
type fakeKernel struct {
	p        *Port
	slab     []byte
	fillHead uint32     // next fill entry to take
	txHead   uint32     // next tx entry to take
	sent     [][]byte   // packets as they left, oldest first
	pending  [][]uint64 // addresses of packets not completed, a packet each
}

func newShared(entries int) shared {
	words := new([3]uint32)
	return shared{producer: &words[0], consumer: &words[1], flags: &words[2], mask: uint32(entries - 1)}
}

func newFakeKernel(o PortOptions, slabBytes int, pattern Slabs) *fakeKernel {
	o.Options = o.Options.withDefaults()
	framesBytes := o.Frames * o.FrameBytes
	// Words make the memory aligned.
	words := make([]uint64, (framesBytes+slabBytes)/8)
	memory := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8)
	slab := memory[framesBytes:]
	if slabBytes > 0 {
		pattern.Path, pattern.Bytes = "fake", slab
		o.Slabs = &pattern
	}
	p := newPort(o, 1500)
	p.sock = &Socket{opt: o.Options, zeroCopy: o.Bind == BindZeroCopy, umem: &umem{
		memory: memory, framesBytes: uint64(framesBytes), frameBytes: uint64(o.FrameBytes),
	}}
	if slabBytes > 0 {
		p.sock.umem.slabBase, p.sock.umem.slabBytes = addressOf(slab), uint64(slabBytes)
		p.sock.umem.unaligned = pattern.Huge
	}
	s := p.sock
	s.fill = fillQueue{shared: newShared(o.Slots), addrs: make([]uint64, o.Slots)}
	s.completion = completionQueue{shared: newShared(o.Slots), addrs: make([]uint64, o.Slots)}
	s.rx = rxQueue{shared: newShared(o.Slots), descs: make([]Desc, o.Slots)}
	s.tx = txQueue{shared: newShared(o.Slots), descs: make([]Desc, o.Slots)}
	p.refill()
	return &fakeKernel{p: p, slab: slab}
}

// deliver receives a packet, in pieces of at most pieceBytes. False when there are
// too few frames: then it is lost.
func (k *fakeKernel) deliver(packet []byte, pieceBytes int) bool {
	s := k.p.sock
	pieces := (len(packet) + pieceBytes - 1) / pieceBytes
	if int(*s.fill.producer-k.fillHead) < pieces || int(s.rx.entries()-(*s.rx.producer-*s.rx.consumer)) < pieces {
		return false
	}
	for len(packet) > 0 {
		n := min(len(packet), pieceBytes)
		addr := s.fill.addrs[k.fillHead&s.fill.mask] + dataOffsetBytes
		k.fillHead++
		copy(s.umem.memory[addr:], packet[:n])
		packet = packet[n:]
		d := Desc{Addr: addr, Len: uint32(n)}
		if s.umem.unaligned {
			d.Addr = addr - dataOffsetBytes | dataOffsetBytes<<48
		}
		if len(packet) > 0 {
			d.Options = Continued
		}
		s.rx.descs[*s.rx.producer&s.rx.mask] = d
		*s.rx.producer++
	}
	*s.fill.consumer = k.fillHead
	return true
}

// transmit takes one whole packet from the tx queue. A zero-copy card reads it now.
func (k *fakeKernel) transmit() bool {
	s := k.p.sock
	if *s.tx.producer == k.txHead {
		return false
	}
	var packet []byte
	var addrs []uint64
	for {
		d := s.tx.descs[k.txHead&s.tx.mask]
		k.txHead++
		if !s.umem.unaligned && d.Addr/s.umem.frameBytes != (d.Addr+uint64(d.Len)-1)/s.umem.frameBytes {
			panic("a descriptor crosses a chunk")
		}
		if uint64(d.Len) > s.umem.frameBytes {
			panic("a descriptor is longer than a chunk")
		}
		if k.p.opt.Slabs != nil && k.p.opt.Slabs.OneDescriptor && d.Options&Continued != 0 && d.Addr >= s.umem.framesBytes {
			panic("a tail for a card that takes one descriptor")
		}
		packet = append(packet, s.Bytes(d)...)
		addrs = append(addrs, d.Addr)
		if d.Options&Continued == 0 {
			break
		}
	}
	*s.tx.consumer = k.txHead
	k.sent = append(k.sent, packet)
	k.pending = append(k.pending, addrs)
	return true
}

// complete returns the i-th pending packet's descriptors.
func (k *fakeKernel) complete(i int) {
	s := k.p.sock
	for _, a := range k.pending[i] {
		if *s.completion.producer-*s.completion.consumer == s.completion.entries() {
			panic("the completion queue overflows")
		}
		s.completion.addrs[*s.completion.producer&s.completion.mask] = a
		*s.completion.producer++
	}
	k.pending = append(k.pending[:i], k.pending[i+1:]...)
}

// machine is what a random shard does against a random kernel.
type machine struct {
	*fakeKernel
	packet   []byte // a request
	held     []port.Rx
	expect   [][]byte // payloads sent, in order
	tokens   map[uint64]bool
	rooms    map[int]uint64 // token by slot whose header room is in flight
	inPlace  int            // sent so
	next     uint64
	random   *rand.Rand
	zeroCopy bool
}

func newMachine(t *rapid.T) *machine {
	zeroCopy := rapid.Bool().Draw(t, "zero-copy")
	o := PortOptions{Options: Options{
		Frames: rapid.IntRange(8, 24).Draw(t, "frames"), Slots: 1 << rapid.IntRange(2, 5).Draw(t, "slots"),
		FrameBytes: 2048, MaxBatch: 4, MultiBuffer: true,
	}}
	slabBytes, slabs := 0, Slabs{}
	if rapid.Bool().Draw(t, "slabs") {
		slabBytes = 64 << 10
		slabs.Huge = rapid.Bool().Draw(t, "huge")
		slabs.OneDescriptor = rapid.Bool().Draw(t, "one descriptor")
	}
	if zeroCopy {
		o.Bind = BindZeroCopy
	}
	k := newFakeKernel(o, slabBytes, slabs)
	m := &machine{fakeKernel: k, tokens: map[uint64]bool{}, rooms: map[int]uint64{}, zeroCopy: zeroCopy, random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
	m.packet = fakeRequest
	for i := range k.slab {
		k.slab[i] = byte(m.random.Uint32())
	}
	return m
}

var fakeRequest []byte

func (m *machine) pick(t *rapid.T) port.Rx {
	i := rapid.IntRange(0, len(m.held)-1).Draw(t, "which")
	r := m.held[i]
	m.held = append(m.held[:i], m.held[i+1:]...)
	return r
}

func (m *machine) send(t *rapid.T) {
	if len(m.held) == 0 {
		return
	}
	r := m.pick(t)
	// Not drawn by rapid, which prefers small numbers: tails shall cross chunks.
	n := m.random.IntN(200)
	head := r.Payload[:n]
	for i := range head {
		head[i] = byte(m.random.Uint32())
	}
	tail, slot, room := m.tail()
	want := append(append([]byte(nil), head...), tail...)
	m.next++
	if room > 0 {
		n = min(n, room-inPlaceBytes)
		want = append(append([]byte(nil), head[:n]...), tail...)
	}
	if m.p.Send([]port.Tx{{Frame: r.Frame, Bytes: n, Tail: tail, Token: m.next, RoomBytes: room}}) == 0 {
		m.held = append(m.held, r)
		return
	}
	if room > 0 {
		m.rooms[slot] = m.next
		m.inPlace++
	}
	m.tokens[m.next] = true
	m.expect = append(m.expect, want)
}

func (m *machine) check(t *rapid.T) {
	d := m.p.drops
	if d[port.DropKernelInvalid] != 0 || d[port.DropHeaders] != 0 {
		t.Fatalf("drops %v", d)
	}
	if c := m.p.Census(); !c.Balanced() || c.Held != len(m.held) || c.Tx < 0 || c.Fill < 0 || c.Slots < len(m.rooms)-m.p.tokens.size {
		t.Fatalf("census %+v with %d held", c, len(m.held))
	}
	for _, packet := range m.sent {
		payload, _, ok := slowParse(packet)
		if !ok || !bytes.Equal(payload, m.expect[0]) {
			t.Fatalf("sent %x, want %x", payload, m.expect[0])
		}
		m.expect = m.expect[1:]
	}
	m.sent = nil
}

func (m *machine) collect(t *rapid.T, into []uint64) {
	for _, token := range into[:m.p.Completed(into)] {
		if !m.tokens[token] {
			t.Fatalf("token %d came twice, or was never sent", token)
		}
		delete(m.tokens, token)
		for slot, t := range m.rooms {
			if t == token {
				delete(m.rooms, slot)
			}
		}
	}
}

// Slots of the machine: room, then a value.
const (
	fakeSlotBytes = 2048
	fakeRoomBytes = port.HeaderRoomBytes
)

// tail chooses what a reply ends in: with replies in place a slot's value, and its
// room unless that is in flight; else any piece of the slabs, across chunks.
func (m *machine) tail() (tail []byte, slot, room int) {
	if len(m.slab) == 0 {
		return make([]byte, 300), 0, 0
	}
	if !m.p.opt.Slabs.inPlace() {
		at := m.random.IntN(len(m.slab) - 1200)
		return m.slab[at : at+1+m.random.IntN(1200)], 0, 0
	}
	slot = m.random.IntN(len(m.slab) / fakeSlotBytes)
	at := slot*fakeSlotBytes + fakeRoomBytes
	tail = m.slab[at : at+1+m.random.IntN(1200)]
	if _, taken := m.rooms[slot]; taken {
		return tail, slot, 0
	}
	return tail, slot, fakeRoomBytes
}

// TestAgainstFakeKernel: whatever the order of events, frames and tokens come back
// exactly once, and what leaves is what was sent.
func TestAgainstFakeKernel(t *testing.T) {
	fakeRequest = samplePacket(t, "10.0.0.2", "10.0.0.1", 0, make([]byte, 1600))
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		rx := make([]port.Rx, 3)
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) {
				m.deliver(m.packet, rapid.SampledFrom([]int{2000, 900, 500}).Draw(t, "piece"))
			},
			"recv": func(*rapid.T) { m.held = append(m.held, rx[:m.p.Recv(rx)]...) },
			"send": m.send,
			"answer all": func(t *rapid.T) {
				for range 4 {
					m.deliver(m.packet, 900)
					m.held = append(m.held, rx[:m.p.Recv(rx)]...)
					_ = m.p.Flush()
				}
				for range len(m.held) {
					m.send(t)
				}
			},
			"flush":    func(*rapid.T) { _ = m.p.Flush() },
			"transmit": func(*rapid.T) { m.transmit() },
			"release": func(t *rapid.T) {
				if len(m.held) > 0 {
					m.p.Release(m.pick(t).Frame)
				}
			},
			"lease": func(*rapid.T) {
				if len(m.held) > 0 {
					if l, ok := m.p.Lease(m.held[0].Frame); ok {
						m.held = append(m.held, l)
					}
				}
			},
			"import": func(*rapid.T) {
				if len(m.held) > 0 {
					if r, ok := m.p.Import(m.p.Raw(m.held[0].Frame), 1, 1); ok {
						m.held = append(m.held, r)
					}
				}
			},
			"complete": func(t *rapid.T) {
				if len(m.pending) == 0 {
					return
				}
				i := 0
				if !m.zeroCopy {
					i = rapid.IntRange(0, len(m.pending)-1).Draw(t, "packet")
				}
				m.complete(i)
			},
			"tokens": func(t *rapid.T) { m.collect(t, make([]uint64, 2)) },
			"":       m.check,
		})
		m.drain(t)
	})
}

// drain lets everything come home.
func (m *machine) drain(t *rapid.T) {
	for _, r := range m.held {
		m.p.Release(r.Frame)
	}
	m.held = nil
	for range 3 {
		_ = m.p.Flush()
		for m.transmit() {
		}
		for len(m.pending) > 0 {
			m.complete(0)
		}
		m.collect(t, make([]uint64, 64))
	}
	m.check(t)
	if c := m.p.Census(); c.Tx+c.Completion+c.Held+c.Slots != 0 || len(m.rooms) != 0 || len(m.tokens) != 0 || m.p.txDescs != 0 {
		t.Fatalf("census %+v, %d tokens and %d descriptors did not come back", c, len(m.tokens), m.p.txDescs)
	}
}

func TestCapsOfZeroCopy(t *testing.T) {
	o := PortOptions{Options: Options{Bind: BindZeroCopy, FrameBytes: 4096}}
	if c := capsOf(&o, 1500); c.Rung != port.RungXDPZeroCopy || c.MaxSegments != 1 || c.ZeroCopyTail || c.MaxPayload != 1472 || c.MaxPayload6 != 1452 {
		t.Errorf("%+v", c)
	}
	o.Slabs = &Slabs{}
	if c := capsOf(&o, 9000); c.MaxSegments != 2 || !c.ZeroCopyTail || c.MaxPayload != 8972 {
		t.Errorf("with slabs %+v", c)
	}
	o.Slabs = &Slabs{Huge: true, OneDescriptor: true}
	if c := capsOf(&o, 1500); c.MaxSegments != 1 || c.ZeroCopyTail || c.InPlaceBytes != inPlaceBytes {
		t.Errorf("one descriptor: %+v", c)
	}
}

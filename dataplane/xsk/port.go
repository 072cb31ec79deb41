package xsk

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"gannet/bpf"
	"gannet/dataplane/port"
)

var _ port.Port = (*Port)(nil)

// PortOptions says how to open a shard's port.
type PortOptions struct {
	Options
	// Rung is what Caps reports. Zero: by the way of binding.
	Rung port.Rung
	// PortBase and Shards are the local ports that the program lets through; others
	// are dropped. Shards 0: any port.
	PortBase uint16
	Shards   int
	// Metadata says that the program puts bpf.Meta in front of packets.
	Metadata bool
	// MTU of the path; 0 = the interface's.
	MTU int
}

// dataOffsetBytes is where packets begin in a frame, whether the kernel fills it or we.
// The headroom makes the payload of an untagged IPv4 packet begin with a cache line,
// and puts metadata and headers into the one before it.
const (
	headroomBytes   = 22
	dataOffsetBytes = unix.XDP_PACKET_HEADROOM + headroomBytes
)

// Port is the port of one hardware queue.
type Port struct {
	sock  *Socket
	opt   PortOptions
	caps  port.Caps
	waker *port.Waker

	frames  []frame
	free    []port.Frame // stack
	inFill  int          // given to the fill queue, not received
	held    int
	inTx    int    // frames sent, not reclaimed
	slots   int    // of inTx, those that stand for a slot
	txDescs uint32 // descriptors sent, not reclaimed; never more than the completion queue has entries

	supply  supply
	refused bool // the last Send took less than all
	partial partial
	chain   chain
	bounces bounces
	tokens  tokens
	drops   port.Drops // our own; the kernel's are added in Drops
}

type place uint8

const (
	placeFree place = iota
	placeFill
	placeHeld
	placeTx
)

// frame is what the port knows about a frame beside its bytes.
type frame struct {
	arrivedNanos int64
	token        uint64 // of the tail that is sent with it
	headers      headers
	packetBytes  uint32 // from the Ethernet header to the end of the payload
	start        uint16 // of the packet in the frame
	queue        uint16
	bounce       int16 // 1 + index of the bounce buffer that holds the packet; 0 = it is in the frame
	place        place
	tails        uint8  // slab descriptors that are sent with it
	slot         uint64 // even address of the packet that is sent in its stead, out of a slab; 0 = none
}

// partial is a packet some of whose descriptors have completed. A packet's come one
// after another, its frame's first.
type partial struct {
	frame port.Frame
	left  uint8
}

// Open opens the port of one queue. The caller attaches the program and registers
// FD with it.
func Open(o PortOptions) (*Port, error) {
	if o.MultiBuffer {
		if err := multiBufferSupported(runningKernel()); err != nil {
			return nil, err
		}
	}
	mtu, linkMTU, err := mtus(&o)
	if err != nil {
		return nil, err
	}
	o.HeadroomBytes = headroomBytes
	o.FrameBytes = orElse(o.FrameBytes, o.frameBytes(linkMTU))
	sock, err := OpenSocket(o.Options)
	if err != nil {
		return nil, err
	}
	waker, err := port.NewWaker()
	if err != nil {
		return nil, errors.Join(err, sock.Close())
	}
	o.Options = sock.opt
	p := newPort(o, mtu)
	p.sock, p.waker = sock, waker
	p.refill()
	return p, nil
}

// mtus returns the MTU of the path, and that of the interface: packets received may be
// that long.
func mtus(o *PortOptions) (path, link int, err error) {
	found, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return 0, 0, fmt.Errorf("xsk: interface %s: %w", o.Interface, err)
	}
	path, link = found.MTU, found.MTU
	if o.MTU > 0 {
		path = min(path, o.MTU)
	}
	return path, link, nil
}

func newPort(o PortOptions, mtu int) *Port {
	p := &Port{
		opt: o, caps: capsOf(&o, mtu),
		frames: make([]frame, o.Frames),
		free:   make([]port.Frame, 0, o.Frames),
		supply: newSupply(&o),
		tokens: newTokens(o.Frames),
	}
	if o.MultiBuffer {
		p.bounces = newBounces(bounceCount, max(mtu, o.FrameBytes)+ethernetBytes+vlanBytes)
	}
	for f := o.Frames - 1; f >= 0; f-- {
		p.free = append(p.free, port.Frame(f))
	}
	return p
}

func capsOf(o *PortOptions, mtu int) port.Caps {
	c := port.Caps{
		Rung: o.Rung, Queue: uint16(o.Queue), MaxBatch: o.MaxBatch,
		MaxPayload: mtu - ipv4Bytes - udpBytes, MaxPayload6: mtu - ipv6Bytes - udpBytes,
		Headroom: dataOffsetBytes + ethernetBytes + ipv4Bytes + udpBytes, MaxSegments: 1,
		RxTimestamps: o.Metadata, MultiBufferRx: o.MultiBuffer,
	}
	if c.Rung == 0 {
		c.Rung = map[Bind]port.Rung{BindCopy: port.RungXDPCopy, BindZeroCopy: port.RungXDPZeroCopy}[o.Bind]
	}
	if o.Slabs.inPlace() {
		c.InPlaceBytes = inPlaceBytes
	}
	if o.Slabs.tails() {
		c.MaxSegments, c.ZeroCopyTail = 2, o.Bind == BindZeroCopy
	} else {
		room := o.FrameBytes - dataOffsetBytes - maxHeaderBytes
		c.MaxPayload, c.MaxPayload6 = min(c.MaxPayload, room), min(c.MaxPayload6, room)
	}
	return c
}

// Caps implements [port.Port].
func (p *Port) Caps() port.Caps { return p.caps }

// InvalidSent counts the descriptors to send that the kernel found invalid: packets
// it swallowed. Unlike the port's other methods it may be called from any goroutine,
// while nobody closes the port.
func (p *Port) InvalidSent() uint64 {
	st, err := p.sock.Statistics()
	if err != nil {
		return 0
	}
	return st.Tx_invalid_descs
}

// FD is the socket's descriptor, for the program's XSKMAP.
func (p *Port) FD() int { return p.sock.fd }

func (p *Port) isClosed() bool { return p.sock.fd < 0 }

// packet is the packet in a frame or its bounce buffer, with all the room behind it.
func (p *Port) packet(f port.Frame) []byte {
	fr := &p.frames[f]
	if fr.bounce != 0 {
		return p.bounces.buffer(fr.bounce)
	}
	return p.sock.umem.frame(uint32(f))[fr.start:]
}

// lend hands a frame to the loop.
func (p *Port) lend(f port.Frame) (rx port.Rx) {
	p.lendInto(&rx, f)
	return rx
}

// lendInto writes each field in its place: a copy of what was just written stalls.
func (p *Port) lendInto(rx *port.Rx, f port.Frame) {
	fr := &p.frames[f]
	fr.place = placeHeld
	p.held++
	packet := p.packet(f)
	at := int(fr.headers.payload)
	rx.Frame, rx.Payload, rx.More = f, packet[at:at+int(fr.headers.bytes)], nil
	fr.headers.readFrom(packet, &rx.From)
	rx.LocalPort, rx.Queue, rx.ArrivedNanos = fr.headers.localPort(packet), fr.queue, fr.arrivedNanos
}

// isHeld guards against frames that the caller does not hold: taking such a frame
// would put it in two places.
func (p *Port) isHeld(f port.Frame) bool {
	return int(f) < len(p.frames) && p.frames[f].place == placeHeld
}

func (p *Port) popFree() (port.Frame, bool) {
	if len(p.free) == 0 {
		return 0, false
	}
	f := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return f, true
}

func (p *Port) pushFree(f port.Frame) {
	fr := &p.frames[f]
	if fr.bounce != 0 {
		p.bounces.release(fr.bounce)
		fr.bounce = 0
	}
	fr.place = placeFree
	p.free = append(p.free, f)
}

// Release implements [port.Port].
func (p *Port) Release(f port.Frame) {
	if p.isHeld(f) {
		p.held--
		p.pushFree(f)
	}
}

// Lease implements [port.Port].
func (p *Port) Lease(like port.Frame) (port.Rx, bool) {
	if !p.isHeld(like) {
		return port.Rx{}, false
	}
	f, ok := p.popFree()
	if !ok {
		return port.Rx{}, false
	}
	from := &p.frames[like]
	p.frames[f] = frame{start: dataOffsetBytes, headers: from.headers, queue: from.queue, arrivedNanos: from.arrivedNanos}
	p.frames[f].headers.bytes = 0
	n := copy(p.packet(f), p.packet(like)[:from.headers.payload])
	p.frames[f].packetBytes = uint32(n)
	return p.lend(f), true
}

// Flush implements [port.Port].
func (p *Port) Flush() error {
	if p.isClosed() {
		return fmt.Errorf("xsk: flush: %w", port.ErrClosed)
	}
	p.reclaim()
	p.refill()
	p.sock.tx.publish()
	return p.sock.Push()
}

// refill gives free frames to the kernel, up to the target.
func (p *Port) refill() {
	n := int(p.sock.fill.room(uint32(max(0, min(p.supply.frames-p.inFill, len(p.free))))))
	for range n {
		f, _ := p.popFree()
		p.frames[f].place = placeFill
		if p.opt.Metadata {
			bpf.ClearMeta(p.sock.umem.frame(uint32(f))[dataOffsetBytes-bpf.MetaBytes : dataOffsetBytes])
		}
		p.sock.fill.put(uint64(f) * p.sock.umem.frameBytes)
	}
	p.inFill += n
	p.sock.fill.publish()
}

// Completed implements [port.Port].
func (p *Port) Completed(into []uint64) int { return p.tokens.take(into) }

// retryAfter bounds the sleep while something is awaited that does not end a poll.
const retryAfter = time.Millisecond

// Wait implements [port.Port]. Completions do not end a poll: while they are needed
// (few frames are left to receive into, or the tx queue has not been taken), it
// sleeps no longer than a millisecond.
func (p *Port) Wait(timeout time.Duration) error {
	if p.isClosed() {
		return fmt.Errorf("xsk: wait: %w", port.ErrClosed)
	}
	if p.sock.rx.waiting() > 0 {
		timeout = 0
	}
	events := int16(unix.POLLIN)
	if p.refused {
		events |= unix.POLLOUT
	}
	starved := p.inTx > 0 && p.inFill < p.opt.MaxBatch
	if (starved || p.sock.tx.unsent() > 0) && (timeout < 0 || timeout > retryAfter) {
		timeout = retryAfter
	}
	return p.waker.Poll(p.sock.fd, events, timeout)
}

// Wake implements [port.Port].
func (p *Port) Wake() { p.waker.Wake() }

// Census implements [port.Port]. Every place has a counter of its own, so that a
// frame that gets lost between two shows as an imbalance.
func (p *Port) Census() port.Census {
	c := port.Census{Free: len(p.free), Held: p.held, All: p.opt.Frames}
	if p.isClosed() {
		c.Fill, c.Tx, c.Slots = p.inFill, p.inTx, p.slots
		return c
	}
	c.Rx = min(p.sock.rx.waiting(), p.inFill)
	c.Fill = p.inFill - c.Rx
	if p.chain.active && !p.chain.failed {
		c.Rx++ // its first frame waits for the rest
	}
	c.Completion = p.sock.completion.framesWaiting(p.sock.umem.framesBytes)
	c.Tx, c.Slots = p.inTx-c.Completion, p.slots
	return c
}

// Drops implements [port.Port].
func (p *Port) Drops(into *port.Drops) {
	for i, n := range p.drops {
		into[i] += n
	}
	if p.isClosed() {
		return
	}
	if st, err := p.sock.Statistics(); err == nil {
		addKernelDrops(into, &st, p.sock.zeroCopy)
	}
}

// addKernelDrops adds the kernel's counters. In copy mode a packet without a frame
// is counted in rx_dropped; in zero-copy the card drops it, and only that the fill
// queue was found empty is known.
func addKernelDrops(into *port.Drops, st *unix.XDPStatistics, zeroCopy bool) {
	into[port.DropKernelRxFull] += st.Rx_ring_full
	into[port.DropKernelInvalid] += st.Rx_invalid_descs + st.Tx_invalid_descs
	into[port.DropKernelNoFill] += st.Rx_dropped
	if zeroCopy {
		into[port.DropKernelNoFill] += st.Rx_fill_ring_empty_descs
	}
}

// Close implements [port.Port].
func (p *Port) Close() error {
	if p.isClosed() {
		return nil
	}
	var kernel port.Drops
	if st, err := p.sock.Statistics(); err == nil {
		addKernelDrops(&kernel, &st, p.sock.zeroCopy)
	}
	for i, n := range kernel {
		p.drops[i] += n
	}
	return errors.Join(p.sock.Close(), p.waker.Close())
}

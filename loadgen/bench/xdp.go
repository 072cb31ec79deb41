package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"gannet/alloc"
	"gannet/dataplane/xsk"
)

// xdpPath is what the AF_XDP sockets of all threads share: the way to the server, the
// steering program, and the source ports.
type xdpPath struct {
	route    route
	link     *net.Interface
	program  *steer
	ports    span16
	nextPort uint16
	zeroCopy bool
}

// sourcePorts is how many source ports belong to the generator.
const sourcePorts = 4096

// Memory of a thread's socket.
const (
	xdpFrames      = 4096 // half to receive, half to send
	smallFrame     = 2048
	largeFrame     = 4096
	frameHeadroom  = 256 // of received packets
	multiBufferMTU = 3498
)

// openPath makes what all threads share.
func openPath(ctx context.Context, o *Options) (_ *xdpPath, err error) {
	link, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", o.Interface, err)
	}
	if int(o.SourcePort)+sourcePorts > 1<<16 {
		return nil, optionError("source ports from %d: give at most %d", o.SourcePort, 1<<16-sourcePorts)
	}
	p := &xdpPath{link: link, ports: span16{o.SourcePort, o.SourcePort + sourcePorts - 1}, nextPort: o.SourcePort}
	if p.route, err = findRoute(ctx, link, o.Server); err != nil {
		return nil, err
	}
	report, err := xsk.Probe(o.Interface)
	if err != nil {
		return nil, err
	}
	p.zeroCopy = report.Features.ZeroCopy
	queues := o.Threads
	for _, q := range o.Queues {
		queues = max(queues, q+1)
	}
	if p.program, err = openSteer(link.Index, queues, p.ports, link.MTU > multiBufferMTU); err != nil {
		return nil, err
	}
	return p, nil
}

// xdp is the transport over an AF_XDP socket: a source port a lane. Frames are
// either free, to send or to receive into; the kernel has the rest.
type xdp struct {
	path    *xdpPath
	sock    *xsk.Socket
	payload int // longest to be sent
	lanes   []flow
	byPort  []int16 // lane + 1, by source port from path.ports.first

	free    []uint64 // frames to send from
	lent    uint64
	isLent  bool
	out     [batch]xsk.Desc
	queued  int
	in      [batch]xsk.Desc
	inCount int // of in, whose frames the next receive gives back
	got     [batch]received
	back    [batch]uint64
	chain   chain
}

type received struct {
	lane    int
	payload []byte
}

// newXDP opens the socket of a thread.
func (s *session) newXDP(number int) (_ transport, err error) {
	queue := number
	if len(s.opt.Queues) > 0 {
		queue = s.opt.Queues[number]
	}
	p := s.path
	o := xsk.Options{
		Interface: s.opt.Interface, Queue: queue, Frames: xdpFrames, FrameBytes: smallFrame, Huge: alloc.Auto, NUMANode: alloc.NoNUMA,
		MultiBuffer: p.link.MTU > multiBufferMTU,
	}
	if p.link.MTU+ethernetBytes+frameHeadroom > smallFrame {
		o.FrameBytes = largeFrame
	}
	x := &xdp{path: p, byPort: make([]int16, sourcePorts), payload: min(s.target.maxPayload, o.FrameBytes-mostHeaderBytes)}
	if p.zeroCopy {
		o.Bind = xsk.BindZeroCopy
		x.sock, err = xsk.OpenSocket(o)
	}
	if x.sock == nil {
		o.Bind = xsk.BindCopy
		x.sock, err = xsk.OpenSocket(o)
	}
	if err != nil {
		return nil, fmt.Errorf("the generator's AF_XDP socket: %w", err)
	}
	if err := p.program.register(queue, x.sock.FD()); err != nil {
		return nil, errors.Join(err, x.sock.Close())
	}
	if o.MultiBuffer {
		x.chain = newChain(p.link.MTU + ethernetBytes)
	}
	x.share()
	return x, nil
}

// share gives half of the frames to the kernel to receive into.
func (x *xdp) share() {
	x.free = make([]uint64, 0, x.sock.Frames())
	for i := range x.sock.Frames() {
		x.free = append(x.free, uint64(i*x.sock.FrameBytes()))
	}
	n := x.sock.Supply(x.free[len(x.free)/2:])
	kept := append([]uint64(nil), x.free[len(x.free)/2+n:]...)
	x.free = append(x.free[:len(x.free)/2], kept...)
}

func (x *xdp) open(to netip.AddrPort, _ uint16) (int, error) {
	p := x.path
	if p.nextPort > p.ports.last {
		return 0, fmt.Errorf("all %d source ports are taken: fewer connections or threads", sourcePorts)
	}
	lane := len(x.lanes)
	x.lanes = append(x.lanes, newFlow(&p.route, p.nextPort, to.Port()))
	x.byPort[p.nextPort-p.ports.first] = int16(lane + 1)
	p.nextPort++
	return lane, nil
}

func (x *xdp) buffer(lane int) []byte {
	if x.queued == batch {
		return nil
	}
	if !x.isLent {
		if len(x.free) == 0 {
			x.reclaim()
		}
		if len(x.free) == 0 {
			return nil
		}
		x.lent, x.isLent = x.free[len(x.free)-1], true
		x.free = x.free[:len(x.free)-1]
	}
	head := len(x.lanes[lane].header)
	frame := x.sock.Bytes(xsk.Desc{Addr: x.lent, Len: uint32(head + x.payload)})
	return frame[head:]
}

func (x *xdp) commit(lane, n int) {
	f := &x.lanes[lane]
	d := xsk.Desc{Addr: x.lent, Len: uint32(len(f.header) + n)}
	f.put(x.sock.Bytes(d), n)
	x.out[x.queued] = d
	x.queued++
	x.isLent = false
}

func (x *xdp) flush() error {
	if x.queued > 0 {
		n := x.sock.Submit(x.out[:x.queued])
		x.queued = copy(x.out[:], x.out[n:x.queued])
	}
	return x.sock.Push()
}

// reclaim takes back frames that have been sent.
func (x *xdp) reclaim() {
	for {
		n := x.sock.Reclaim(x.back[:])
		for _, addr := range x.back[:n] {
			x.free = append(x.free, x.frameOf(addr))
		}
		if n < batch {
			return
		}
	}
}

func (x *xdp) frameOf(addr uint64) uint64 { return addr &^ uint64(x.sock.FrameBytes()-1) }

// receive gives the frames of the last messages back and takes new ones.
func (x *xdp) receive() (int, error) {
	if x.inCount > 0 {
		for i, d := range x.in[:x.inCount] {
			x.back[i] = x.frameOf(d.Addr)
		}
		// The fill queue has room for all frames: each came out of it.
		x.sock.Supply(x.back[:x.inCount])
	}
	x.inCount = x.sock.Receive(x.in[:])
	messages := 0
	for _, d := range x.in[:x.inCount] {
		packet, ok := x.packet(d, messages)
		if !ok {
			continue
		}
		if lane, payload, ok := x.deliver(packet); ok {
			x.got[messages] = received{lane, payload}
			messages++
		}
	}
	if messages > 0 {
		x.reclaim()
	}
	return messages, nil
}

// deliver finds a packet's lane.
func (x *xdp) deliver(packet []byte) (lane int, payload []byte, ok bool) {
	p, ok := parse(packet)
	if !ok {
		return 0, nil, false
	}
	for _, port := range []uint16{p.destination, p.source} {
		if at := port - x.path.ports.first; int(at) < len(x.byPort) && x.byPort[at] != 0 {
			return int(x.byPort[at]) - 1, p.payload, true
		}
	}
	return 0, nil, false
}

// chain puts packets together that came in several frames. A chain may go on in the
// next call of receive.
type chain struct {
	partial []byte
	whole   []byte // a place for each message
	each    int
	bytes   int // in partial
	active  bool
	failed  bool
}

func newChain(packetBytes int) chain {
	return chain{partial: make([]byte, packetBytes), whole: make([]byte, batch*packetBytes), each: packetBytes}
}

// packet is a whole packet; false while one goes on.
func (x *xdp) packet(d xsk.Desc, message int) ([]byte, bool) {
	c, piece, more := &x.chain, x.sock.Bytes(d), d.Options&xsk.Continued != 0
	if !c.active && !more {
		return piece, true
	}
	if !c.active {
		c.active, c.bytes, c.failed = true, 0, false
	}
	if c.failed = c.failed || c.bytes+len(piece) > len(c.partial); !c.failed {
		c.bytes += copy(c.partial[c.bytes:], piece)
	}
	if more {
		return nil, false
	}
	c.active = false
	if c.failed {
		return nil, false
	}
	place := c.whole[message*c.each:]
	return place[:copy(place, c.partial[:c.bytes])], true
}

func (x *xdp) message(i int) (int, []byte) { return x.got[i].lane, x.got[i].payload }

func (x *xdp) consume(int, int) {}

func (x *xdp) wait(nanos int64) error { return x.sock.Wait(time.Duration(max(nanos, 0))) }

func (x *xdp) stream() bool { return false }

func (x *xdp) maxPayload() int { return x.payload }

func (x *xdp) close() error { return x.sock.Close() }

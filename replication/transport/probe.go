package transport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"gannet/replication"
	"gannet/wire"
)

// prober asks members for signs of life over their data path: a PING to the first
// shard's port. A socket for each member, connected, so that an unreachable port is
// told, and a lifeline, which tells it more surely.
type prober struct {
	post func(any)

	mu      sync.Mutex
	socks   map[uint64]*probeSocket
	closed  bool
	reading sync.WaitGroup
	ids     atomic.Uint64
}

type probeSocket struct {
	addr   netip.AddrPort
	udp    *net.UDPConn
	cancel context.CancelFunc // of the lifeline
}

func (s *probeSocket) close() {
	s.cancel()
	s.udp.Close()
}

func newProber() *prober { return &prober{socks: map[uint64]*probeSocket{}} }

func (p *prober) open(post func(any)) error {
	p.post = post
	return nil
}

// set says where a member's first shard is.
func (p *prober) set(member uint64, addr netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.socks[member]; p.closed || s != nil && s.addr == addr {
		return
	}
	if s := p.socks[member]; s != nil {
		s.close()
		delete(p.socks, member)
	}
	udp, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return // no route now: silence is what it looks like
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.socks[member] = &probeSocket{addr: addr, udp: udp, cancel: cancel}
	p.reading.Go(func() { p.read(member, udp) })
	p.reading.Go(func() { p.holdLifeline(ctx, member, addr) })
}

// probe sends a PING.
func (p *prober) probe(member uint64) {
	p.mu.Lock()
	s := p.socks[member]
	p.mu.Unlock()
	if s == nil {
		return
	}
	header := wire.RequestHeader{RequestID: p.ids.Add(1), SessionID: member, FanOut: 1}
	b := wire.AppendRequest(nil, &header)
	b = wire.AppendOp(b, 0, &wire.Op{Code: wire.Ping})
	if _, err := s.udp.Write(b); err != nil {
		p.note(member, err)
	}
}

func (p *prober) read(member uint64, udp *net.UDPConn) {
	buf := make([]byte, 2048)
	var reply wire.Reply
	for {
		n, err := udp.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.note(member, err)
			continue
		}
		if wire.ParseReply(buf[:n], &reply) != wire.ReasonNone || reply.SessionID != member {
			continue
		}
		var op wire.ReplyOp
		if ops := reply.Ops(); ops.Next(&op) && op.Code == wire.Ping && op.Status == wire.StatusOK {
			p.post(replication.Heard{From: member, Over: replication.DataPath})
		}
	}
}

// note takes an unreachable port for what it is: nobody lives there, on a machine that
// does.
func (p *prober) note(member uint64, err error) {
	if errors.Is(err, syscall.ECONNREFUSED) {
		p.post(replication.Traced{Of: member, Sign: replication.PortUnreachable})
	}
}

func (p *prober) close() {
	p.mu.Lock()
	p.closed = true
	for _, s := range p.socks {
		s.close()
	}
	p.mu.Unlock()
	p.reading.Wait()
}

package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"gannet/wire"
)

// DeadMan answers on the data ports for a data plane on an XDP rung that has gone
// silent: the XDP program then passes packets to the kernel, and there these sockets
// say UNAVAILABLE at once, where clients would otherwise wait for a timeout. On the
// udp rung the ports belong to the data plane itself.
type DeadMan struct {
	log      *slog.Logger
	answered atomic.Uint64
	ignored  atomic.Uint64

	mu    sync.Mutex
	held  portRange
	conns []*net.UDPConn
	wait  sync.WaitGroup
}

type portRange struct {
	addr   netip.Addr
	base   uint16
	shards int
}

// NewDeadMan makes one that holds no ports.
func NewDeadMan(log *slog.Logger) *DeadMan { return &DeadMan{log: log} }

// Answered counts requests answered, Ignored datagrams that were not requests.
func (d *DeadMan) Answered() uint64 { return d.answered.Load() }

// Ignored counts datagrams left without an answer, because they are no valid
// requests or too short for one.
func (d *DeadMan) Ignored() uint64 { return d.ignored.Load() }

// Hold opens sockets on the ports of all shards, or none. It does nothing when it
// holds these ports already.
func (d *DeadMan) Hold(addr netip.Addr, base uint16, shards int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	want := portRange{addr, base, shards}
	if d.held == want {
		return nil
	}
	d.release()
	for i := range shards {
		conn, err := listenUDP(netip.AddrPortFrom(addr, base+uint16(i)))
		if err != nil {
			d.release()
			return fmt.Errorf("hold the data ports for the dead man's switch: %w", err)
		}
		d.conns = append(d.conns, conn)
		d.wait.Go(func() { d.serve(conn) })
	}
	d.held = want
	return nil
}

// Release closes the sockets and waits for their readers.
func (d *DeadMan) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release()
}

func (d *DeadMan) release() {
	for _, conn := range d.conns {
		_ = conn.Close() // only wakes its reader
	}
	d.wait.Wait()
	d.conns, d.held = nil, portRange{}
}

func listenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	if addr.Addr() == netip.IPv6Unspecified() {
		network = "udp" // both families
	}
	var config net.ListenConfig
	conn, err := config.ListenPacket(context.Background(), network, addr.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func (d *DeadMan) serve(conn *net.UDPConn) {
	buf := make([]byte, wire.MaxDatagramBytes)
	reply := make([]byte, 2*wire.MinReplyBytes)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// An ICMP error for an earlier answer; the socket is fine.
			d.log.Debug("read on a data port", "error", err)
			continue
		}
		answer := unavailable(buf[:n], reply)
		if answer == nil {
			d.ignored.Add(1)
			continue
		}
		if _, err := conn.WriteToUDPAddrPort(answer, from); err == nil || !errors.Is(err, unix.EPERM) {
			d.answered.Add(1)
		}
	}
}

// unavailable builds the answer to a request: one operation with the status, never
// longer than the request. nil when it is no request.
func unavailable(request, buf []byte) []byte {
	var r wire.Request
	if len(request) < wire.MinReplyBytes || wire.ParseRequest(request, &r) != wire.ReasonNone {
		return nil
	}
	var first wire.Op
	ops := r.Ops()
	if !ops.Next(&first) {
		return nil
	}
	header := r.ReplyHeader()
	var w wire.ReplyWriter
	w.Begin(buf[:wire.MinReplyBytes], &header, false)
	if !w.Append(&wire.ReplyOp{Code: first.Code, Status: wire.StatusUnavailable, TTLSeconds: wire.NoTTL}) {
		return nil
	}
	return buf[:w.Finish()]
}

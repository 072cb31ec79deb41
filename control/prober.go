package control

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"gannet/wire"
)

// Prober asks a shard for a key through the data path, as a client would: HELLO for
// a cookie, then GET. Hit and miss both prove that the shard reads, looks up and
// answers.
type Prober struct {
	// Wait is how long one datagram may take; a probe sends a few.
	Wait time.Duration

	mu      sync.Mutex
	request uint64
	cookies map[netip.AddrPort]uint64
	socket  *net.UDPConn // one source address, so that cookies stay good
}

// UnavailableError is a data port behind which no data plane answers.
type UnavailableError struct{ Port netip.AddrPort }

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%s: no data plane answers; the control process does in its place", e.Port)
}

// NewProber makes a prober; it opens its socket with the first probe.
func NewProber(wait time.Duration) *Prober {
	return &Prober{Wait: wait, cookies: map[netip.AddrPort]uint64{}}
}

const probeAttempts = 4

// Probe gets a key of the shard behind port. shards is the node's number of shards.
func (p *Prober) Probe(ctx context.Context, port netip.AddrPort, shard, shards int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(); err != nil {
		return err
	}
	var last error
	for range probeAttempts {
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), last)
		}
		done, err := p.attempt(ctx, port, shard, shards)
		if done {
			return err
		}
		last = err
	}
	return fmt.Errorf("%s: no answer to a GET: %w", port, last)
}

func (p *Prober) open() error {
	if p.socket != nil {
		return nil
	}
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return fmt.Errorf("open a socket for probes: %w", err)
	}
	p.socket = socket
	return nil
}

// attempt sends one datagram. done means that err, nil or not, is the outcome.
func (p *Prober) attempt(ctx context.Context, port netip.AddrPort, shard, shards int) (done bool, err error) {
	p.request++
	cookie := p.cookies[port]
	datagram := helloDatagram(shard, p.request)
	if cookie != 0 {
		datagram = probeDatagram(shard, shards, p.request, cookie)
	}
	if _, err := p.socket.WriteToUDPAddrPort(datagram, port); err != nil {
		return false, err
	}
	op, err := p.await(ctx)
	if err != nil {
		return false, err
	}
	switch {
	case op.Status == wire.StatusUnavailable:
		return true, &UnavailableError{port}
	case op.Status == wire.StatusCookieRequired, op.Code == wire.Hello && op.Status == wire.StatusOK:
		p.cookies[port] = op.Token
		return false, errNoCookieYet
	case op.Status == wire.StatusOK, op.Status == wire.StatusMiss, op.Status == wire.StatusMoved:
		return true, nil
	default:
		return true, fmt.Errorf("%s: a GET is answered with %s", port, op.Status)
	}
}

var errNoCookieYet = errors.New("the cookie was not accepted")

// await reads until the answer to the running request comes.
func (p *Prober) await(ctx context.Context) (wire.ReplyOp, error) {
	deadline := time.Now().Add(p.Wait)
	if limit, ok := ctx.Deadline(); ok && limit.Before(deadline) {
		deadline = limit
	}
	if err := p.socket.SetReadDeadline(deadline); err != nil {
		return wire.ReplyOp{}, err
	}
	buf := make([]byte, wire.DefaultReplyRoomBytes)
	for {
		n, _, err := p.socket.ReadFromUDPAddrPort(buf)
		if err != nil {
			return wire.ReplyOp{}, err
		}
		var r wire.Reply
		if wire.ParseReply(buf[:n], &r) != wire.ReasonNone || r.RequestID != p.request {
			continue // late answer to an earlier probe
		}
		var op wire.ReplyOp
		if ops := r.Ops(); ops.Next(&op) {
			return op, nil
		}
	}
}

// Close closes the socket.
func (p *Prober) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.socket == nil {
		return nil
	}
	return p.socket.Close()
}

// probeSession names the control process among clients.
var probeSession = binary.LittleEndian.Uint64([]byte("gnt-prob"))

func helloDatagram(shard int, request uint64) []byte {
	b := wire.AppendRequest(nil, &wire.RequestHeader{Shard: uint16(shard), RequestID: request, SessionID: probeSession})
	return wire.AppendOp(b, 0, &wire.Op{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)})
}

func probeDatagram(shard, shards int, request, cookie uint64) []byte {
	key := probeKey(shard, shards)
	b := wire.AppendRequest(nil, &wire.RequestHeader{
		Shard: uint16(shard), KeyHash: wire.KeyHash(key), RequestID: request, SessionID: probeSession, Cookie: cookie,
	})
	return wire.AppendOp(b, 0, &wire.Op{Code: wire.Get, Flags: wire.OpNoValue, Key: key})
}

// probeKey finds a key that belongs to the shard. Nobody stores it.
func probeKey(shard, shards int) []byte {
	for i := 0; ; i++ {
		key := strconv.AppendInt([]byte("gannet.readyz."), int64(i), 10)
		if wire.ShardOf(wire.KeyHash(key), shards) == shard {
			return key
		}
	}
}

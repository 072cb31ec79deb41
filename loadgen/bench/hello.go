package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"gannet/wire"
)

// ErrNoServer says that nothing answered.
var ErrNoServer = errors.New("no answer: check that the server runs and listens on this address")

// A server may be just starting: it is asked every helloEvery for helloPatience.
const (
	helloEvery    = 50 * time.Millisecond
	helloPatience = 5 * time.Second
	// portTries source ports are tried, in search of one that leads to the shard's own
	// queue.
	portTries = 16
)

// patience is how often and for how long a lane's answer is awaited.
type patience struct {
	times int
	every time.Duration
}

// lanePatience: with XDP, answers may go to another thread's queue for good.
func lanePatience(d Datapath) patience {
	if d == XDP {
		return patience{2, 20 * time.Millisecond}
	}
	return patience{20, helloEvery}
}

// greeting is what a node answers to HELLO.
type greeting struct {
	hello   wire.HelloReply
	cookie  uint64
	epoch   uint32
	rxQueue uint16
}

// greet says HELLO over a lane until it is answered, at most so often.
func greet(ctx context.Context, t transport, lane int, p patience) (g greeting, err error) {
	request := wire.AppendRequest(nil, &wire.RequestHeader{RequestID: 1, SessionID: 1})
	request = wire.AppendOp(request, 0, &wire.Op{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)})
	err = ask(ctx, t, lane, p, request, g.read)
	return g, err
}

// probeID is no request's sequence number: a probe's late answer is nobody's.
const probeID = 1 << 63

// probe GETs a key of a lane's shard: whatever the answer, it came back. (A HELLO
// may be answered by another shard than the one whose port it came to.)
func (l *lane) probe(ctx context.Context, t transport, p patience, text keyText, shards int) error {
	number := uint32(0)
	for wire.ShardOf(text.hash(number), shards) != l.shard {
		number++
	}
	key := text.append(nil, number)
	request := append([]byte(nil), l.header...)
	binary.LittleEndian.PutUint64(request[wire.OffsetRequestID:], probeID)
	binary.LittleEndian.PutUint64(request[wire.OffsetKeyHash:], wire.KeyHash(key))
	request = wire.AppendOp(request, 0, &wire.Op{Code: wire.Get, Key: key, Flags: wire.OpNoValue})
	return ask(ctx, t, l.index, p, request, func(datagram []byte) bool {
		var reply wire.Reply
		return wire.ParseReply(datagram, &reply) == wire.ReasonNone && reply.SessionID == l.session && reply.RequestID == probeID
	})
}

// ask sends a request over a lane until its answer has been read, at most so often.
func ask(ctx context.Context, t transport, lane int, p patience, request []byte, read func([]byte) bool) error {
	for range p.times {
		b := t.buffer(lane)
		if len(b) < len(request) {
			return fmt.Errorf("%w: no room for a request of %d bytes", ErrNoServer, len(request))
		}
		t.commit(lane, copy(b, request))
		for until := time.Now().Add(p.every); time.Now().Before(until); {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := t.flush(); err != nil {
				return err
			}
			if ok, err := await(t, lane, time.Until(until), read); ok || err != nil {
				return err
			}
		}
	}
	return ErrNoServer
}

// await takes what comes within a time; true when that was the answer.
func await(t transport, lane int, atMost time.Duration, read func([]byte) bool) (bool, error) {
	if err := t.wait(min(int64(atMost), int64(time.Millisecond))); err != nil {
		return false, err
	}
	n, err := t.receive()
	if err != nil {
		return false, err
	}
	for i := range n {
		if from, data := t.message(i); from == lane && read(data) {
			return true, nil
		}
	}
	return false, nil
}

func (g *greeting) read(datagram []byte) bool {
	var reply wire.Reply
	var op wire.ReplyOp
	if wire.ParseReply(datagram, &reply) != wire.ReasonNone {
		return false
	}
	ops := reply.Ops()
	if !ops.Next(&op) || op.Code != wire.Hello || op.Status != wire.StatusOK {
		return false
	}
	var ok bool
	g.hello, ok = wire.ParseHelloReply(op.Value)
	g.cookie, g.epoch, g.rxQueue = op.Token, reply.Epoch, reply.RxQueue
	return ok && g.hello.Shards > 0
}

// discover asks a node what it is, over a socket of the kernel.
func discover(ctx context.Context, server netip.AddrPort) (greeting, error) {
	t, err := newUDP(wire.MinReplyRoomBytes, 2048)
	if err != nil {
		return greeting{}, err
	}
	lane, err := t.open(server, 0)
	var g greeting
	if err == nil {
		g, err = greet(ctx, t, lane, patience{int(helloPatience / helloEvery), helloEvery})
	}
	if err := errors.Join(err, t.close()); err != nil {
		return greeting{}, fmt.Errorf("%v: %w", server, err)
	}
	return g, nil
}

// pathPayload is how much UDP payload the way to an address takes in one packet.
func pathPayload(to netip.AddrPort) (int, error) {
	fd, err := connect(unix.SOCK_DGRAM, to, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if to.Addr().Unmap().Is4() {
		mtu, err := unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU)
		if err != nil {
			return 0, fmt.Errorf("MTU of the way to %v: %w", to, err)
		}
		return min(mtu-ipv4Bytes-udpBytes, udpPayload), nil
	}
	mtu, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU)
	if err != nil {
		return 0, fmt.Errorf("MTU of the way to %v: %w", to, err)
	}
	return min(mtu-ipv6Bytes-udpBytes, udpPayload), nil
}

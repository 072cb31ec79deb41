package openloop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"gannet/wire"
)

// ErrNoNode says that nothing answered the HELLO.
var ErrNoNode = errors.New("no answer to HELLO: check that the node runs and listens on this address")

// socket is a connected UDP socket with the cookie of its source port.
type socket struct {
	fd     int
	cookie uint64
	hello  wire.HelloReply
}

// The node may be just starting: HELLO is said every helloEvery for helloPatience.
const (
	helloEvery    = 50 * time.Millisecond
	helloPatience = 5 * time.Second
)

// connect opens a socket to a port of the node and says HELLO.
func connect(ctx context.Context, to netip.AddrPort) (*socket, error) {
	family, addr := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().Unmap().As4()})
	if !to.Addr().Unmap().Is4() {
		family, addr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	s := &socket{fd: fd}
	if err := unix.Connect(fd, addr); err != nil {
		s.close()
		return nil, fmt.Errorf("connect to %v: %w", to, err)
	}
	// Best effort: what does not fit counts as lost.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	if err := s.greet(ctx); err != nil {
		s.close()
		return nil, fmt.Errorf("%v: %w", to, err)
	}
	return s, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// wait waits for replies, at most so long.
func (s *socket) wait(d time.Duration) {
	timeout := unix.NsecToTimespec(int64(max(d, 0)))
	_, _ = unix.Ppoll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, &timeout, nil) // a signal only shortens the wait
}

// greet says HELLO until it is answered.
func (s *socket) greet(ctx context.Context) error {
	request := wire.AppendRequest(nil, &wire.RequestHeader{RequestID: 1, SessionID: 1})
	request = wire.AppendOp(request, 0, &wire.Op{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)})
	buf := make([]byte, replyBytes)
	for end := time.Now().Add(helloPatience); time.Now().Before(end); {
		next := time.NewTimer(helloEvery)
		_, _ = unix.Write(s.fd, request) // a refusal shows as silence
		s.wait(helloEvery)
		if n, err := unix.Read(s.fd, buf); err == nil && s.greeted(buf[:n]) {
			next.Stop()
			return nil
		}
		select { // a closed port is reported at once: the pause is kept all the same
		case <-next.C:
		case <-ctx.Done():
			next.Stop()
			return ctx.Err()
		}
	}
	return ErrNoNode
}

// greeted reads the answer to the HELLO.
func (s *socket) greeted(datagram []byte) bool {
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
	s.hello, ok = wire.ParseHelloReply(op.Value)
	s.cookie = op.Token
	return ok && s.hello.Shards > 0
}

package bench

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// tcp is the transport over connections, a lane each.
type tcp struct {
	sendBytes int // longest request
	lanes     []tcpLane
	poller    *poller
	dirty     []int
	from      int // lane that was read last
}

type tcpLane struct {
	fd       int
	out      []byte
	sent, to int // out[sent:to] is queued
	in       []byte
	read, at int // in[read:at] is unread
}

// streamBytes is the room of a connection's buffers beyond one request or value.
const streamBytes = 64 << 10

func newTCP(sendBytes int) (*tcp, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &tcp{sendBytes: sendBytes, poller: p}, nil
}

func (t *tcp) open(to netip.AddrPort, sourcePort uint16) (int, error) {
	fd, err := connect(unix.SOCK_STREAM, to, sourcePort)
	if err != nil {
		return 0, err
	}
	number := len(t.lanes)
	err = errors.Join(
		os.NewSyscallError("TCP_NODELAY", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)),
		t.poller.add(fd, number))
	if err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	t.lanes = append(t.lanes, tcpLane{fd: fd, out: make([]byte, t.sendBytes+streamBytes), in: make([]byte, streamBytes)})
	return number, nil
}

func (t *tcp) buffer(lane int) []byte {
	l := &t.lanes[lane]
	if len(l.out)-l.to < t.sendBytes {
		return nil
	}
	return l.out[l.to:]
}

func (t *tcp) commit(lane, n int) {
	l := &t.lanes[lane]
	if l.sent == l.to {
		t.dirty = append(t.dirty, lane)
	}
	l.to += n
}

func (t *tcp) flush() error {
	left := t.dirty[:0]
	for _, lane := range t.dirty {
		l := &t.lanes[lane]
		n, err := unix.Write(l.fd, l.out[l.sent:l.to])
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("send to the server: %w", err)
		}
		if l.sent += max(n, 0); l.sent < l.to {
			l.to = copy(l.out, l.out[l.sent:l.to])
			l.sent = 0
			left = append(left, lane)
			continue
		}
		l.sent, l.to = 0, 0
	}
	t.dirty = left
	return nil
}

// receive reads from one connection. What was left unread of it comes again.
func (t *tcp) receive() (int, error) {
	lane, ok := t.poller.next()
	if !ok {
		return 0, nil
	}
	t.from = lane
	l := &t.lanes[lane]
	if l.read > 0 {
		l.at = copy(l.in, l.in[l.read:l.at])
		l.read = 0
	}
	if l.at == len(l.in) { // an answer longer than all before it
		l.in = append(l.in, make([]byte, len(l.in))...)
	}
	n, err := unix.Read(l.fd, l.in[l.at:])
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("receive from the server: %w", err)
	case n == 0:
		return 0, fmt.Errorf("the server closed a connection: %w", io.ErrUnexpectedEOF)
	}
	l.at += n
	return 1, nil
}

func (t *tcp) message(int) (int, []byte) {
	l := &t.lanes[t.from]
	return t.from, l.in[l.read:l.at]
}

func (t *tcp) consume(_, n int) { t.lanes[t.from].read += n }

func (t *tcp) wait(nanos int64) error { return t.poller.wait(nanos) }

func (t *tcp) stream() bool { return true }

func (t *tcp) maxPayload() int { return t.sendBytes }

func (t *tcp) close() error {
	errs := []error{t.poller.close()}
	for _, l := range t.lanes {
		errs = append(errs, os.NewSyscallError("close", unix.Close(l.fd)))
	}
	return errors.Join(errs...)
}

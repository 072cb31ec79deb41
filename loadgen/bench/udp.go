package bench

import (
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// udp is the transport over the kernel's UDP: a connected socket a lane.
type udp struct {
	sendBytes int
	lanes     []udpLane
	poller    *poller
	dirty     []int // lanes with something queued
	in        *datagrams
	from      int // lane of what is in in
}

type udpLane struct {
	fd       int
	out      *datagrams
	from, to int // queued
}

// udpPayload is the longest UDP payload over IPv4.
const udpPayload = 65507

func newUDP(sendBytes, receiveBytes int) (*udp, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &udp{sendBytes: sendBytes, poller: p, in: newDatagrams(batch, receiveBytes)}, nil
}

func (u *udp) open(to netip.AddrPort, sourcePort uint16) (int, error) {
	fd, err := connect(unix.SOCK_DGRAM, to, sourcePort)
	if err != nil {
		return 0, err
	}
	// Best effort: what does not fit counts as lost. Beyond the system's limit it takes
	// a privilege.
	for _, option := range []struct{ force, plain, bytes int }{
		{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, 8 << 20},
		{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, 4 << 20},
	} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, option.force, option.bytes) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option.plain, option.bytes)
		}
	}
	number := len(u.lanes)
	if err := u.poller.add(fd, number); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	u.lanes = append(u.lanes, udpLane{fd: fd, out: newDatagrams(batch, u.sendBytes)})
	return number, nil
}

func (u *udp) buffer(lane int) []byte {
	l := &u.lanes[lane]
	if l.to == batch {
		return nil
	}
	return l.out.buffer(l.to)
}

func (u *udp) commit(lane, n int) {
	l := &u.lanes[lane]
	if l.from == l.to {
		u.dirty = append(u.dirty, lane)
	}
	l.out.setBytes(l.to, n)
	l.to++
}

func (u *udp) flush() error {
	left := u.dirty[:0]
	for _, lane := range u.dirty {
		l := &u.lanes[lane]
		n, err := l.out.send(l.fd, l.from, l.to)
		if err != nil {
			return err
		}
		if l.from += n; l.from == l.to {
			l.from, l.to = 0, 0
		} else {
			left = append(left, lane)
		}
	}
	u.dirty = left
	return nil
}

func (u *udp) receive() (int, error) {
	if len(u.lanes) > 1 {
		lane, ok := u.poller.next()
		if !ok {
			return 0, nil
		}
		u.from = lane
	}
	return u.in.receive(u.lanes[u.from].fd)
}

func (u *udp) message(i int) (int, []byte) { return u.from, u.in.received(i) }

func (u *udp) consume(int, int) {}

func (u *udp) wait(nanos int64) error {
	if len(u.lanes) == 1 {
		return u.poller.waitFor(u.lanes[0].fd, nanos)
	}
	return u.poller.wait(nanos)
}

func (u *udp) stream() bool { return false }

func (u *udp) maxPayload() int { return u.sendBytes }

func (u *udp) close() error {
	errs := []error{u.poller.close()}
	for _, l := range u.lanes {
		errs = append(errs, os.NewSyscallError("close", unix.Close(l.fd)))
	}
	return errors.Join(errs...)
}

package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// connect opens a non-blocking socket of the kernel to an address.
func connect(kind int, to netip.AddrPort, sourcePort uint16) (int, error) {
	addr := to.Addr().Unmap()
	family, remote := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: addr.As16()})
	var local unix.Sockaddr = &unix.SockaddrInet6{Port: int(sourcePort)}
	if addr.Is4() {
		family, remote = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: addr.As4()}
		local = &unix.SockaddrInet4{Port: int(sourcePort)}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("open a socket", err)
	}
	if sourcePort != 0 {
		err = unix.Bind(fd, local)
	}
	if err == nil {
		err = unix.Connect(fd, remote)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("connect to %v: %w", to, err), unix.Close(fd))
	}
	return fd, nil
}

// poller says which of several sockets have something to read.
type poller struct {
	fd     int
	events []unix.EpollEvent
	ready  []unix.EpollEvent // of events: not yet taken
	wake   [1]unix.PollFd
	until  unix.Timespec
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &poller{fd: fd, events: make([]unix.EpollEvent, batch)}, nil
}

// add watches a socket under a number.
func (p *poller) add(fd, number int) error {
	err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(number)})
	return os.NewSyscallError("epoll_ctl", err)
}

// next is the number of a socket that can be read; false when none can.
func (p *poller) next() (int, bool) {
	if len(p.ready) == 0 {
		n, err := unix.EpollWait(p.fd, p.events, 0)
		if err != nil || n <= 0 {
			return 0, false // interrupted: there is a next time
		}
		p.ready = p.events[:n]
	}
	number := int(p.ready[0].Fd)
	p.ready = p.ready[1:]
	return number, true
}

// wait sleeps until a socket can be read or the time is over.
func (p *poller) wait(nanos int64) error { return p.waitFor(p.fd, nanos) }

// waitFor is wait on one socket.
func (p *poller) waitFor(fd int, nanos int64) error {
	p.wake[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	p.until = unix.NsecToTimespec(max(nanos, 0))
	if _, err := unix.Ppoll(p.wake[:], &p.until, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("ppoll", err)
	}
	return nil
}

func (p *poller) close() error { return os.NewSyscallError("close", unix.Close(p.fd)) }

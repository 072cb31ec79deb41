package bench

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	header unix.Msghdr
	bytes  uint32
	_      [4]byte
}

// datagrams is a fixed set of buffers for sendmmsg or recvmmsg on connected sockets.
// The headers point into buffers, which neither moves nor shrinks.
type datagrams struct {
	buffers  []byte
	each     int
	vectors  []unix.Iovec
	messages []mmsghdr
}

func newDatagrams(count, eachBytes int) *datagrams {
	d := &datagrams{
		buffers: make([]byte, count*eachBytes), each: eachBytes,
		vectors: make([]unix.Iovec, count), messages: make([]mmsghdr, count),
	}
	for i := range count {
		d.vectors[i].Base = &d.buffers[i*eachBytes]
		d.vectors[i].SetLen(eachBytes)
		d.messages[i].header.Iov = &d.vectors[i]
		d.messages[i].header.SetIovlen(1)
	}
	return d
}

// buffer is the memory of datagram i.
func (d *datagrams) buffer(i int) []byte { return d.buffers[i*d.each : (i+1)*d.each : (i+1)*d.each] }

// setBytes is the length of datagram i to be sent.
func (d *datagrams) setBytes(i, n int) { d.vectors[i].SetLen(n) }

// received is datagram i after receive.
func (d *datagrams) received(i int) []byte {
	return d.buffer(i)[:min(int(d.messages[i].bytes), d.each)]
}

// send sends datagrams from … to-1 and returns how many the kernel took. A full
// socket buffer takes none, without an error.
func (d *datagrams) send(fd, from, to int) (int, error) {
	sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.messages[from])), uintptr(to-from), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, tolerate("send", errno)
	}
	return int(sent), nil
}

// receive takes what is there and returns how many datagrams that is.
func (d *datagrams) receive(fd int) (int, error) {
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.messages[0])), uintptr(len(d.messages)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, tolerate("receive", errno)
	}
	return int(got), nil
}

// tolerate passes on what is not simply the network's or the server's state.
func tolerate(what string, errno unix.Errno) error {
	for _, usual := range []unix.Errno{unix.EAGAIN, unix.EINTR, unix.ECONNREFUSED, unix.ENOBUFS} {
		if errors.Is(errno, usual) {
			return nil
		}
	}
	return fmt.Errorf("%s datagrams: %w", what, errno)
}

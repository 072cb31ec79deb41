package gomsg

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

// datagrams are buffers with addresses, for recvmmsg and sendmmsg. The headers
// point into slices that neither move nor shrink.
type datagrams struct {
	buffers   []byte
	each      int
	addresses []unix.RawSockaddrInet4
	vectors   []unix.Iovec
	messages  []mmsghdr
}

func newDatagrams(count, eachBytes int) *datagrams {
	d := &datagrams{
		buffers: make([]byte, count*eachBytes), each: eachBytes,
		addresses: make([]unix.RawSockaddrInet4, count),
		vectors:   make([]unix.Iovec, count), messages: make([]mmsghdr, count),
	}
	for i := range count {
		d.vectors[i].Base = &d.buffers[i*eachBytes]
		d.vectors[i].SetLen(eachBytes)
		h := &d.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&d.addresses[i]))
		h.Namelen = unix.SizeofSockaddrInet4
		h.Iov = &d.vectors[i]
		h.SetIovlen(1)
	}
	return d
}

// buffer is the memory of datagram i.
func (d *datagrams) buffer(i int) []byte { return d.buffers[i*d.each : (i+1)*d.each] }

// received is datagram i after receive.
func (d *datagrams) received(i int) []byte {
	return d.buffer(i)[:min(int(d.messages[i].bytes), d.each)]
}

// address makes buffer i a datagram of length bytes to the sender of from's j.
func (d *datagrams) address(i int, from *datagrams, j, length int) {
	d.addresses[i] = from.addresses[j]
	d.vectors[i].SetLen(length)
}

// receive waits for the first datagram and takes all there are; 0 after a timeout.
func (d *datagrams) receive(fd int) (int, error) {
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.messages[0])), uintptr(len(d.messages)), unix.MSG_WAITFORONE, 0, 0)
	switch {
	case errno == 0:
		return int(got), nil
	case errors.Is(errno, unix.EAGAIN), errors.Is(errno, unix.EINTR), errors.Is(errno, unix.ECONNREFUSED):
		return 0, nil
	}
	return 0, fmt.Errorf("gomsg: receive: %w", errno)
}

// send sends the first n datagrams. What one peer refuses does not stop the rest.
func (d *datagrams) send(fd, n int) error {
	for sent := 0; sent < n; {
		took, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.messages[sent])), uintptr(n-sent), 0, 0, 0)
		switch {
		case errno == 0:
			sent += int(took)
		case errors.Is(errno, unix.EINTR):
		case errors.Is(errno, unix.ECONNREFUSED), errors.Is(errno, unix.ENOBUFS), errors.Is(errno, unix.EAGAIN):
			sent++
		default:
			return fmt.Errorf("gomsg: send: %w", errno)
		}
	}
	return nil
}

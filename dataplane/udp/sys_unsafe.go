package udp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// messageHeader is struct mmsghdr.
type messageHeader struct {
	header unix.Msghdr
	bytes  uint32 // written by the kernel
	_      uint32
}

// The kernel strides over an array of these: 64 bytes on 64-bit machines.
var _ [64]byte = [unsafe.Sizeof(messageHeader{})]byte{}

func setPiece(v *unix.Iovec, b []byte) {
	v.Base = unsafe.SliceData(b)
	v.SetLen(len(b))
}

// setMessage makes h describe one message to or from peer. When it is for
// receiving, the kernel overwrites the lengths: it is set anew each time.
func setMessage(h *messageHeader, peer *sockaddr, pieces []unix.Iovec, control []byte) {
	h.header.Name = &peer[0]
	h.header.Namelen = uint32(len(peer))
	if peer.ipv4() {
		h.header.Namelen = peer.lengthBytes()
	}
	h.header.Iov = unsafe.SliceData(pieces)
	h.header.SetIovlen(len(pieces))
	h.header.Control = nil
	if len(control) > 0 {
		h.header.Control = unsafe.SliceData(control)
	}
	h.header.SetControllen(len(control))
	h.header.Flags = 0
}

// recvmmsg never sleeps, so the scheduler need not know.
func recvmmsg(fd int, vector []messageHeader) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(vector))), uintptr(len(vector)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// sendmmsg never sleeps, yet over loopback and veth it may run the whole receiving
// side: the scheduler is told.
func sendmmsg(fd int, vector []messageHeader) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(vector))), uintptr(len(vector)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

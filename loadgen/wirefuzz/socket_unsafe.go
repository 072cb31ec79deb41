package wirefuzz

import (
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// growReceiveBuffer asks for a buffer beyond the system's limit where the process may, and for one up to it elsewhere.
func growReceiveBuffer(conn *net.UDPConn, bytes int) error {
	return onSocket(conn, func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) == nil {
			return nil
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
	})
}

// receiveDrops returns how many datagrams the socket had no room for.
func receiveDrops(conn *net.UDPConn) (drops uint32, err error) {
	err = onSocket(conn, func(fd int) error {
		var info [9]uint32 // SK_MEMINFO_VARS of them; the last one is the drops
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return errno
		}
		drops = info[8]
		return nil
	})
	return drops, err
}

func onSocket(conn *net.UDPConn, do func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("the socket's descriptor: %w", err)
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return fmt.Errorf("the socket's descriptor: %w", err)
	}
	if inner != nil {
		return fmt.Errorf("a socket option: %w", inner)
	}
	return nil
}

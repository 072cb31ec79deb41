package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// channels is struct ethtool_channels.
type channels struct {
	command                                     uint32
	maxRx, maxTx, maxOther, maxCombined         uint32
	rxCount, txCount, otherCount, combinedCount uint32
}

// oneQueue is `ethtool -L device combined 1`.
func oneQueue(device string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	c := channels{command: unix.ETHTOOL_GCHANNELS}
	if err := ethtool(fd, device, unsafe.Pointer(&c)); err != nil {
		return err
	}
	if c.combinedCount <= 1 {
		return nil
	}
	c.command, c.combinedCount = unix.ETHTOOL_SCHANNELS, 1
	return ethtool(fd, device, unsafe.Pointer(&c))
}

func ethtool(fd int, device string, data unsafe.Pointer) error {
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: data}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// socketState asks an AF_XDP socket for its options and statistics; false when fd is
// something else.
func socketState(fd int) (zeroCopy bool, stats unix.XDPStatistics, ok bool) {
	var flags uint32
	if xdpOption(fd, unix.XDP_OPTIONS, unsafe.Pointer(&flags), unsafe.Sizeof(flags)) != 0 {
		return false, stats, false
	}
	errno := xdpOption(fd, unix.XDP_STATISTICS, unsafe.Pointer(&stats), unsafe.Sizeof(stats))
	return flags&unix.XDP_OPTIONS_ZEROCOPY != 0, stats, errno == 0
}

func xdpOption(fd, which int, value unsafe.Pointer, bytes uintptr) unix.Errno {
	length := uint32(bytes)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(which), uintptr(value), uintptr(unsafe.Pointer(&length)), 0)
	return errno
}

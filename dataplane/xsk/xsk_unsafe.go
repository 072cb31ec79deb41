package xsk

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"gannet/alloc"
)

// The layouts that the kernel knows.
var (
	_ [16]byte  = [unsafe.Sizeof(Desc{})]byte{}
	_ [32]byte  = [unsafe.Sizeof(unix.XDPUmemReg{})]byte{}
	_ [128]byte = [unsafe.Sizeof(unix.XDPMmapOffsets{})]byte{}
	_ [48]byte  = [unsafe.Sizeof(unix.XDPStatistics{})]byte{}
)

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// mapPair maps anonymous memory with a shared mapping of a file right behind it.
// The reservation is aligned to 2 MiB by asking for more and giving the rest back.
func mapPair(framesBytes uint64, fd int, slabBytes uint64) ([]byte, error) {
	const align = alloc.HugePageBytes
	total := uintptr(framesBytes + slabBytes)
	span := (total + align - 1) &^ (align - 1)
	start, err := mmap(0, span+align, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE, -1)
	if err != nil {
		return nil, fmt.Errorf("reserve addresses: %w", err)
	}
	base := (start + align - 1) &^ (align - 1)
	munmap(start, base-start)
	munmap(base+span, start+align-base)
	const both = unix.PROT_READ | unix.PROT_WRITE
	_, err = mmap(base, uintptr(framesBytes), both, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED|unix.MAP_POPULATE, -1)
	if err == nil {
		_, err = mmap(base+uintptr(framesBytes), uintptr(slabBytes), both, unix.MAP_SHARED|unix.MAP_FIXED, fd)
	}
	if err != nil {
		munmap(base, span)
		return nil, err
	}
	return unsafe.Slice((*byte)(at(base)), span), nil
}

// at turns an address from mmap into a pointer. It is not Go's memory, which the
// rules for such conversions are about.
func at(address uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&address)) }

func mmap(address, bytes uintptr, protection, flags, fd int) (uintptr, error) {
	got, _, errno := unix.Syscall6(unix.SYS_MMAP, address, bytes, uintptr(protection), uintptr(flags), uintptr(fd), 0)
	if errno != 0 {
		return 0, errno
	}
	return got, nil
}

func munmap(address, bytes uintptr) {
	if bytes > 0 {
		_, _, _ = unix.Syscall(unix.SYS_MUNMAP, address, bytes, 0)
	}
}

func unmap(b []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MUNMAP, addressOf(b), uintptr(cap(b)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setOption is setsockopt(SOL_XDP) with any value.
func setOption[T any](fd, which int, value *T) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(which),
		uintptr(unsafe.Pointer(value)), unsafe.Sizeof(*value), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// getOption is getsockopt(SOL_XDP). RawSyscall: it copies a few words.
func getOption[T any](fd, which int, value *T) error {
	length := uint32(unsafe.Sizeof(*value))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(which),
		uintptr(unsafe.Pointer(value)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// mapQueue maps one queue of fd. entryBytes is 8 for addresses, 16 for descriptors.
func mapQueue(fd int, page int64, offsets unix.XDPRingOffset, entries, entryBytes int) (shared, error) {
	bytes := int(offsets.Desc) + entries*entryBytes
	memory, err := unix.Mmap(fd, page, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return shared{}, os.NewSyscallError("mmap of a queue", err)
	}
	word := func(offset uint64) *uint32 { return (*uint32)(unsafe.Pointer(&memory[offset])) }
	return shared{
		producer: word(offsets.Producer), consumer: word(offsets.Consumer), flags: word(offsets.Flags),
		mask: uint32(entries - 1), memory: memory,
	}, nil
}

// entriesOf is the array behind the indices of a queue.
func entriesOf[T any](s *shared, offsets unix.XDPRingOffset) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(&s.memory[offsets.Desc])), s.entries())
}

// kickTx tells the kernel to send. Over veth the receiving side may run inside of
// it: the scheduler is told.
func kickTx(fd int) error {
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// kickRx tells the kernel that there are frames to fill, and polls the driver when
// busy polling is on.
func kickRx(fd int) error {
	_, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// channels is struct ethtool_channels.
type channels struct {
	command                                     uint32
	maxRx, maxTx, maxOther, maxCombined         uint32
	rxCount, txCount, otherCount, combinedCount uint32
}

// interfaceRequest is struct ifreq with a pointer.
type interfaceRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// readChannels asks how many queues an interface has.
func readChannels(name string) (channels, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return channels{}, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	c := channels{command: unix.ETHTOOL_GCHANNELS}
	request := interfaceRequest{data: unsafe.Pointer(&c)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return channels{}, errno
	}
	return c, nil
}

// nativeOrder is the byte order of netlink.
var nativeOrder = binary.NativeEndian

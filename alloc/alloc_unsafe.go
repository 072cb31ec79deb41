package alloc

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapHuge2MB is MAP_HUGE_2MB: 21 << MAP_HUGE_SHIFT.
const mapHuge2MB = 21 << 26

// Base is the address of the region's first byte.
func (r *Region) Base() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(r.mem)) }

func mapAnonymous(size int64, flags int) ([]byte, error) {
	return rawMap(nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|flags, -1)
}

// reserveAddresses takes addresses without memory.
func reserveAddresses(size int64) ([]byte, error) {
	return rawMap(nil, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE, -1)
}

// mapFixed puts memory behind reserved addresses.
func mapFixed(mem []byte, flags int) error {
	_, err := rawMap(unsafe.Pointer(unsafe.SliceData(mem)), int64(len(mem)), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED|flags, -1)
	return err
}

// unreserve takes the memory away and keeps the addresses.
func unreserve(mem []byte) error {
	_, err := rawMap(unsafe.Pointer(unsafe.SliceData(mem)), int64(len(mem)), unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED, -1)
	return err
}

// mapFile maps without a reservation: allocateFile has set the pages aside.
func mapFile(f *os.File, size int64) ([]byte, error) {
	return rawMap(nil, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE, int(f.Fd()))
}

func rawMap(at unsafe.Pointer, size int64, prot, flags, fd int) ([]byte, error) {
	p, err := unix.MmapPtr(fd, 0, at, uintptr(size), prot, flags)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), size), nil
}

func unmapMemory(mem []byte) error {
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(mem)), uintptr(len(mem)))
}

// alignedWithin returns size bytes of mem that begin at a multiple of align.
func alignedWithin(mem []byte, size, align int64) []byte {
	skip := -int64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) & (align - 1)
	return mem[skip : skip+size : skip+size]
}

// populate faults every page in for writing without changing it.
func populate(mem []byte, pageBytes int) error {
	err := unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
	if err != unix.EINVAL {
		return err
	}
	for at := 0; at < len(mem); at += pageBytes { // kernels before 5.14
		atomic.AddUint32((*uint32)(unsafe.Pointer(&mem[at])), 0)
	}
	return nil
}

// ErrNUMA reports that memory could not be bound to a node.
type ErrNUMA struct {
	Node int
	Err  error
}

func (e *ErrNUMA) Error() string {
	return fmt.Sprintf("alloc: bind memory to NUMA node %d: %v: use a node from /sys/devices/system/node/online, or -1 for none", e.Node, e.Err)
}

func (e *ErrNUMA) Unwrap() error { return e.Err }

// maxNodes is the size of the node mask given to mbind.
const maxNodes = 1024

// bindNode makes faults of mem take pages of one node.
func bindNode(mem []byte, node int) error {
	const mpolBind = 2
	if node >= maxNodes {
		return &ErrNUMA{node, unix.EINVAL}
	}
	var mask [maxNodes / 64]uint64
	mask[node/64] = 1 << (node % 64)
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)),
		mpolBind, uintptr(unsafe.Pointer(&mask)), maxNodes+1, 0)
	if errno != 0 {
		return &ErrNUMA{node, errno}
	}
	return nil
}

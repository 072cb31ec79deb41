package bpf

import (
	"fmt"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	receiverFrames     = 64
	receiverFrameBytes = 4096
)

// receiver is the least AF_XDP socket: it receives up to receiverFrames
// packets and reuses nothing.
type receiver struct {
	t        *testing.T
	fd       int
	umem     []byte
	rx       []byte
	offsets  unix.XDPMmapOffsets
	received uint32
}

func openReceiver(t *testing.T, ifindex, queue int) *receiver {
	t.Helper()
	r := &receiver{t: t, fd: xdpSocket(t)}
	r.umem = r.mmap(-1, 0, receiverFrames*receiverFrameBytes, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	region := unix.XDPUmemReg{
		Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(r.umem)))),
		Len:  uint64(len(r.umem)), Size: receiverFrameBytes,
	}
	r.option(unix.SYS_SETSOCKOPT, unix.XDP_UMEM_REG, unsafe.Pointer(&region), unsafe.Sizeof(region))
	for _, ring := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING} {
		r.must(unix.SetsockoptInt(r.fd, unix.SOL_XDP, ring, receiverFrames))
	}
	size := uint32(unsafe.Sizeof(r.offsets))
	r.option(unix.SYS_GETSOCKOPT, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&r.offsets), uintptr(unsafe.Pointer(&size)))
	r.rx = r.mmap(r.fd, unix.XDP_PGOFF_RX_RING, int(r.offsets.Rx.Desc)+receiverFrames*16, unix.MAP_SHARED)
	r.supply()
	r.must(unix.Bind(r.fd, &unix.SockaddrXDP{Ifindex: uint32(ifindex), QueueID: uint32(queue), Flags: unix.XDP_COPY}))
	return r
}

func (r *receiver) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *receiver) mmap(fd int, offset int64, size, flags int) []byte {
	r.t.Helper()
	memory, err := unix.Mmap(fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	r.must(err)
	r.t.Cleanup(func() { _ = unix.Munmap(memory) })
	return memory
}

func (r *receiver) option(call uintptr, option int, value unsafe.Pointer, size uintptr) {
	r.t.Helper()
	_, _, errno := unix.Syscall6(call, uintptr(r.fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0)
	if errno != 0 {
		r.t.Fatal(fmt.Errorf("AF_XDP option %d: %w", option, errno))
	}
}

// supply gives every frame to the kernel.
func (r *receiver) supply() {
	fill := r.mmap(r.fd, unix.XDP_UMEM_PGOFF_FILL_RING, int(r.offsets.Fr.Desc)+receiverFrames*8, unix.MAP_SHARED)
	for i := range uint64(receiverFrames) {
		*(*uint64)(unsafe.Pointer(&fill[r.offsets.Fr.Desc+i*8])) = i * receiverFrameBytes
	}
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&fill[r.offsets.Fr.Producer])), receiverFrames)
}

// receive waits for the next packet: its bytes and those in front of it.
func (r *receiver) receive() (front, frame []byte) {
	r.t.Helper()
	producer := (*uint32)(unsafe.Pointer(&r.rx[r.offsets.Rx.Producer]))
	for atomic.LoadUint32(producer) == r.received {
		polls := []unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(polls, 20_000); n != 1 && err != unix.EINTR {
			r.t.Fatalf("no packet: %d, %v", n, err)
		}
	}
	at := r.offsets.Rx.Desc + uint64(r.received)*16
	address := *(*uint64)(unsafe.Pointer(&r.rx[at]))
	length := *(*uint32)(unsafe.Pointer(&r.rx[at+8]))
	r.received++
	return r.umem[address-MetaBytes : address], r.umem[address : address+uint64(length)]
}

package xsk

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"gannet/alloc"
)

// umem is the memory that a socket shares with the kernel:
//
//	0            framesBytes                 len(memory)
//	+------------+---------------------------+
//	| frames     | slabs (second mapping)    |     all cut into chunks of frameBytes
//	+------------+---------------------------+
//
// An address in a descriptor is an offset into it. With slabs on 2 MiB pages packets
// may lie anywhere; then the kernel gives addresses of received ones as the chunk's,
// with the offset in the upper 16 bits.
type umem struct {
	memory      []byte
	framesBytes uint64
	frameBytes  uint64
	slabBase    uintptr // where the caller's mapping of the slabs begins; 0 = no slabs
	slabBytes   uint64
	headroom    uint32        // in front of received packets, beyond the kernel's
	unaligned   bool          // packets may lie anywhere: the slabs are on 2 MiB pages
	region      *alloc.Region // owner of the memory when there are no slabs
	mapping     []byte        // owner of the memory when there are
}

func openUmem(o *Options) (*umem, error) {
	u := &umem{
		framesBytes: uint64(o.Frames) * uint64(o.FrameBytes),
		frameBytes:  uint64(o.FrameBytes),
		headroom:    uint32(o.HeadroomBytes),
	}
	if o.Slabs != nil {
		return u, u.mapWithSlabs(o.Slabs)
	}
	region, err := alloc.Open(alloc.Spec{
		Purpose: alloc.Frames, Bytes: int64(u.framesBytes), Huge: o.Huge, NUMANode: o.NUMANode, Prefault: true,
	})
	if err != nil {
		return nil, fmt.Errorf("xsk: memory of %d frames: %w", o.Frames, err)
	}
	u.region = region
	u.memory = region.Bytes()[:u.framesBytes]
	return u, nil
}

// mapWithSlabs reserves addresses for both parts, then maps each at its place. The
// frames' part is a whole number of 2 MiB pages, so that slabs on hugetlbfs fit.
func (u *umem) mapWithSlabs(s *Slabs) error {
	file, err := os.OpenFile(s.Path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("xsk: slabs in the UMEM: %w", err)
	}
	defer file.Close()
	u.framesBytes = (u.framesBytes + alloc.HugePageBytes - 1) &^ (alloc.HugePageBytes - 1)
	u.slabBytes = uint64(len(s.Bytes)) &^ (u.frameBytes - 1)
	if u.slabBytes == 0 {
		return fmt.Errorf("xsk: slabs in %s: %d bytes are less than a chunk of %d", s.Path, len(s.Bytes), u.frameBytes)
	}
	u.slabBase, u.unaligned = addressOf(s.Bytes), s.Huge
	total := u.framesBytes + u.slabBytes
	u.mapping, err = mapPair(u.framesBytes, int(file.Fd()), u.slabBytes)
	if err != nil {
		return fmt.Errorf("xsk: map %d bytes of frames and %d of slabs (%s): %w", u.framesBytes, u.slabBytes, s.Path, err)
	}
	u.memory = u.mapping[:total]
	return nil
}

// slabAddr is the address of b in the UMEM; false when b is not in the slabs.
func (u *umem) slabAddr(b []byte) (uint64, bool) {
	offset := uint64(addressOf(b) - u.slabBase) // huge when b lies below
	if u.slabBase == 0 || offset >= u.slabBytes || u.slabBytes-offset < uint64(len(b)) {
		return 0, false
	}
	return u.framesBytes + offset, true
}

// plain is an address from the kernel as an offset into memory.
func (u *umem) plain(addr uint64) uint64 {
	const offsetShift, addrMask = 48, 1<<48 - 1 // XSK_UNALIGNED_BUF_…
	return addr&addrMask + addr>>offsetShift
}

// prefetch asks for headers and beginning of a packet received at an address from the
// kernel.
func (u *umem) prefetch(addr uint64) {
	if addr = u.plain(addr); addr < u.framesBytes {
		prefetch3(&u.memory[addr])
	}
}

// frame is the whole chunk of a frame.
func (u *umem) frame(i uint32) []byte {
	at := uint64(i) * u.frameBytes
	return u.memory[at : at+u.frameBytes : at+u.frameBytes]
}

func (u *umem) close() error {
	if u.region != nil {
		return u.region.Close()
	}
	if u.mapping == nil {
		return nil
	}
	mapping := u.mapping
	u.mapping = nil
	return os.NewSyscallError("munmap", unmap(mapping))
}

func (u *umem) registration() unix.XDPUmemReg {
	r := unix.XDPUmemReg{
		Addr: uint64(addressOf(u.memory)), Len: uint64(len(u.memory)), Size: uint32(u.frameBytes), Headroom: u.headroom,
	}
	if u.unaligned {
		r.Flags = unix.XDP_UMEM_UNALIGNED_CHUNK_FLAG
	}
	return r
}

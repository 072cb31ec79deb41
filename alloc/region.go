package alloc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Region is a piece of off-heap memory. Its methods are for one goroutine.
type Region struct {
	// Huge says whether 2 MiB pages back all of the region (Auto may fall back).
	Huge bool
	// Fallback says why there are no 2 MiB pages although they were wanted.
	Fallback string
	// Fresh says that the memory is new and zero: no file was there to attach to.
	Fresh     bool
	PageBytes int

	spec      Spec
	mem       []byte
	unmap     []byte // what to unmap: mem with its alignment padding
	file      *os.File
	heap      bool
	committed int64
}

// Open maps a region, or attaches to the file at spec.Path when it has the
// right size.
func Open(spec Spec) (*Region, error) {
	if spec.Bytes <= 0 {
		return nil, fmt.Errorf("alloc: region of %d bytes for %s: give a positive size", spec.Bytes, spec.Purpose)
	}
	if spec.Purpose >= purposes {
		return nil, fmt.Errorf("alloc: unknown purpose %d", spec.Purpose)
	}
	r := &Region{spec: spec, PageBytes: os.Getpagesize()}
	open := r.openAnonymous
	switch {
	case spec.Path != "":
		open = r.openFile
	case raceEnabled && spec.Huge != Require:
		open = r.openHeap
	}
	if err := open(); err != nil {
		r.release()
		return nil, err
	}
	if err := r.settle(); err != nil {
		r.release()
		return nil, err
	}
	usedRegions[spec.Purpose].Add(1)
	return r, nil
}

// settle binds, prefaults and counts a mapped region.
func (r *Region) settle() error {
	if r.spec.NUMANode >= 0 && !r.heap {
		if err := bindNode(r.mem, r.spec.NUMANode); err != nil {
			return err
		}
	}
	if r.spec.Sparse {
		return nil
	}
	if r.spec.Prefault && !r.heap {
		if err := populate(r.mem, r.PageBytes); err != nil {
			return r.noMemory(int64(len(r.mem)), -1, "free memory or ask for less", err)
		}
	}
	r.count(int64(len(r.mem)))
	return nil
}

func (r *Region) count(bytes int64) {
	r.committed += bytes
	usedBytes[r.spec.Purpose].Add(bytes)
}

// Bytes is the whole region. Of a Sparse one, only committed ranges may be
// touched.
func (r *Region) Bytes() []byte { return r.mem }

// Committed is the memory taken so far.
func (r *Region) Committed() int64 { return r.committed }

// Path is the region's file, "" for an anonymous one.
func (r *Region) Path() string { return r.spec.Path }

// File is the open file behind the region, nil for an anonymous one; the region
// keeps owning it.
func (r *Region) File() *os.File { return r.file }

// Close unmaps the region; its file stays.
func (r *Region) Close() error {
	if r.mem == nil {
		return ErrClosed
	}
	usedBytes[r.spec.Purpose].Add(-r.committed)
	usedRegions[r.spec.Purpose].Add(-1)
	r.committed = 0
	return r.release()
}

// Remove closes the region and deletes its file.
func (r *Region) Remove() error {
	err := r.Close()
	if r.spec.Path == "" {
		return err
	}
	if rerr := os.Remove(r.spec.Path); rerr != nil && err == nil && !os.IsNotExist(rerr) {
		err = fmt.Errorf("alloc: remove %s: %w", r.spec.Path, rerr)
	}
	return err
}

func (r *Region) release() error {
	var err error
	if r.unmap != nil && !r.heap {
		if uerr := unmapMemory(r.unmap); uerr != nil {
			err = fmt.Errorf("alloc: unmap %s: %w", r.spec.Purpose, uerr)
		}
	}
	r.mem, r.unmap = nil, nil
	if r.file != nil {
		if cerr := r.file.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("alloc: close %s: %w", r.spec.Path, cerr)
		}
		r.file = nil
	}
	return err
}

func (r *Region) noMemory(want, have int64, how string, err error) error {
	return &ErrNoMemory{Purpose: r.spec.Purpose, Path: r.spec.Path, Want: want, Have: have, How: how, Err: err}
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// openHeap serves race builds.
func (r *Region) openHeap() error {
	r.heap, r.Fresh = true, true
	size := roundUp(r.spec.Bytes, int64(r.PageBytes))
	align := alignFor(size, r.PageBytes)
	r.unmap = make([]byte, size+align)
	r.mem = alignedWithin(r.unmap, size, align)
	if r.spec.Huge != Never {
		r.Fallback = "a race build takes regions from the Go heap"
	}
	return nil
}

// alignFor returns the alignment of a region of the given size.
func alignFor(size int64, pageBytes int) int64 {
	if size >= HugePageBytes {
		return HugePageBytes
	}
	return int64(pageBytes)
}

// openAnonymous takes 2 MiB pages from the kernel's pool, or falls back.
func (r *Region) openAnonymous() error {
	r.Fresh = true
	if r.spec.Huge != Never && !r.spec.Sparse {
		size := roundUp(r.spec.Bytes, HugePageBytes)
		mem, err := mapAnonymous(size, unix.MAP_HUGETLB|mapHuge2MB)
		if err == nil {
			r.mem, r.unmap, r.Huge, r.PageBytes = mem, mem, true, HugePageBytes
			return nil
		}
		free := freeHugeBytes()
		if r.spec.Huge == Require {
			return r.noMemory(size, free, howHuge(size), err)
		}
		r.Fallback = fmt.Sprintf("%d MiB wanted, %d MiB of 2 MiB pages free: %s", size>>20, free>>20, howHuge(size))
	}
	return r.mapOrdinary()
}

// mapOrdinary maps anonymous memory with ordinary pages; a Sparse region gets
// addresses only, which Commit fills (possibly with huge pages).
func (r *Region) mapOrdinary() error {
	size := roundUp(r.spec.Bytes, int64(r.PageBytes))
	if r.spec.Sparse {
		size = roundUp(r.spec.Bytes, HugePageBytes)
	}
	align := alignFor(size, r.PageBytes)
	reserved, err := reserveAddresses(size + align)
	if err != nil {
		return r.noMemory(size, -1, "raise the limit on address space (ulimit -v)", err)
	}
	r.unmap = reserved
	r.mem = alignedWithin(reserved, size, align)
	if r.spec.Sparse {
		return nil
	}
	if have := availableBytes(); have >= 0 && size > have {
		return r.noMemory(size, have, "free memory or configure less", unix.ENOMEM)
	}
	return r.commitOrdinary(r.mem)
}

func (r *Region) commitOrdinary(mem []byte) error {
	if err := mapFixed(mem, 0); err != nil {
		return r.noMemory(int64(len(mem)), availableBytes(), "free memory or configure less", err)
	}
	if r.spec.Huge != Never {
		_ = unix.Madvise(mem, unix.MADV_HUGEPAGE) // second best; not every kernel has it
	}
	return nil
}

func howHuge(bytes int64) string {
	return fmt.Sprintf("add %d pages to /proc/sys/vm/nr_hugepages", (bytes+HugePageBytes-1)/HugePageBytes)
}

// Prefault touches every committed page of a Sparse region now.
func (r *Region) Prefault() error {
	if r.heap || r.committed < int64(len(r.mem)) {
		return nil
	}
	if err := populate(r.mem, r.PageBytes); err != nil {
		return r.noMemory(int64(len(r.mem)), -1, "free memory or ask for less", err)
	}
	return nil
}

// Spec is what the region was opened with.
func (r *Region) Spec() Spec { return r.spec }

package alloc

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Commit takes memory for [from, to) of a Sparse region; the range is widened to
// whole pages and must not have been committed before. The memory is zero
// unless the file held data there already.
func (r *Region) Commit(from, to int64) error {
	from, to, err := r.span(from, to)
	if err != nil || from == to {
		return err
	}
	switch {
	case r.heap:
	case r.file != nil:
		err = r.allocateFile(from, to)
	default:
		err = r.commitAnonymous(r.mem[from:to])
	}
	if err != nil {
		return err
	}
	if r.spec.NUMANode >= 0 && !r.heap {
		if err := bindNode(r.mem[from:to], r.spec.NUMANode); err != nil {
			return err
		}
	}
	r.count(to - from)
	return nil
}

// commitAnonymous prefers 2 MiB pages for whole ones.
func (r *Region) commitAnonymous(mem []byte) error {
	if r.spec.Huge != Never && len(mem)%HugePageBytes == 0 {
		err := mapFixed(mem, unix.MAP_HUGETLB|mapHuge2MB)
		if err == nil {
			r.Huge = r.Fallback == ""
			return nil
		}
		if r.spec.Huge == Require {
			return r.noMemory(int64(len(mem)), freeHugeBytes(), howHuge(int64(len(mem))), err)
		}
		r.Huge, r.Fallback = false, "2 MiB pages ran out: "+howHuge(int64(len(mem)))
	}
	return r.commitOrdinary(mem)
}

// Decommit gives the whole pages within a committed range back to the system.
// What was there is lost.
func (r *Region) Decommit(from, to int64) error {
	page := int64(r.PageBytes)
	from, to = roundUp(from, page), to/page*page
	if from >= to {
		return nil
	}
	from, to, err := r.span(from, to)
	if err != nil {
		return err
	}
	switch {
	case r.heap:
		clear(r.mem[from:to])
	case r.file != nil:
		err = unix.Fallocate(int(r.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
	default:
		err = unreserve(r.mem[from:to])
	}
	if err != nil {
		return fmt.Errorf("alloc: give back %d bytes of %s: %w", to-from, r.spec.Purpose, err)
	}
	r.count(-(to - from))
	return nil
}

// CommitStep is the granularity at which Commit works without waste.
func (r *Region) CommitStep() int64 {
	if r.file == nil && r.spec.Huge != Never && !r.heap {
		return HugePageBytes
	}
	return int64(r.PageBytes)
}

func (r *Region) span(from, to int64) (int64, int64, error) {
	if r.mem == nil {
		return 0, 0, ErrClosed
	}
	if !r.spec.Sparse {
		return 0, 0, fmt.Errorf("alloc: region for %s is not sparse: open it with Sparse to commit ranges", r.spec.Purpose)
	}
	page := int64(r.PageBytes)
	from, to = from/page*page, roundUp(to, page)
	if from < 0 || to > int64(len(r.mem)) || from > to {
		return 0, 0, fmt.Errorf("alloc: range %d to %d outside the %d bytes of %s", from, to, len(r.mem), r.spec.Purpose)
	}
	return from, to, nil
}

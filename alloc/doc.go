// Package alloc is the one door for memory that does not come from the Go heap.
//
// The life of a region: Open looks at what is asked for, finds out which pages can back it (2 MiB ones on hugetlbfs or from the
// kernel's pool, else ordinary ones with transparent huge pages advised), makes sure that there is enough *before* anyone writes
// (fallocate for files, a reservation for huge pages), maps it, binds it to a NUMA node and, when asked, touches every page. The
// owner uses Bytes. A Sparse region begins as mere addresses: Commit takes memory range by range, Decommit gives it back.
// Close unmaps; a file stays for the next process, unless Remove deletes it.
//
// Invariants:
//
//   - Not enough memory is an ErrNoMemory from Open or Commit that says what to do, never a SIGBUS later.
//   - Committed memory is counted under its purpose from Open (or Commit) to Close (or Decommit): Usage.
//   - A file is never truncated while it may be mapped: one of another size is unlinked and made anew (Fresh).
//   - Regions of a race build come from the Go heap, because the race detector does not see mapped memory; only files, which
//     another process maps, stay mapped.
//   - A region is page-aligned; with 2 MiB pages, or 2 MiB or more in size, it is 2 MiB-aligned.
package alloc

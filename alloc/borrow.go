package alloc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const hugePagesFile = "/proc/sys/vm/nr_hugepages"

// BorrowHugePages asks the kernel for 2 MiB pages for so many bytes on top of
// those there are, for a measurement or a test, and returns a function that
// gives them back. One borrower at a time: another process waits.
func BorrowHugePages(bytes int64) (giveBack func(), err error) {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "gannet-hugepages.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("alloc: borrow huge pages: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	before, pages := readInt(hugePagesFile), roundUp(bytes, HugePageBytes)/HugePageBytes
	giveBack = func() {
		_ = os.WriteFile(hugePagesFile, fmt.Append(nil, before), 0o644)
		lock.Close()
	}
	free := int64(0)
	for range 3 { // the kernel may need a second try to make room
		if err := os.WriteFile(hugePagesFile, fmt.Append(nil, before+pages), 0o644); err != nil || before < 0 {
			lock.Close()
			return nil, fmt.Errorf("alloc: borrow %d huge pages: %w: be root, or set vm.nr_hugepages beforehand", pages, err)
		}
		if free = freeHugeBytes(); free >= bytes {
			return giveBack, nil
		}
	}
	giveBack()
	return nil, &ErrNoMemory{Purpose: Other, Path: hugePagesFile, Want: bytes, Have: free, How: "memory is full or in pieces: free some, or boot with hugepages="}
}

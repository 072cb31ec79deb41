package alloc

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrLocked is wrapped by Open when another process holds a Lock region's file.
var ErrLocked = errors.New("another process has the file")

// openFile creates or attaches the file and maps it shared.
func (r *Region) openFile() error {
	fs, err := r.inspectFS()
	if err != nil {
		return err
	}
	size := roundUp(r.spec.Bytes, int64(r.PageBytes))
	if err := r.openSized(size); err != nil {
		return err
	}
	if !r.spec.Sparse {
		if err := r.allocateFile(0, size); err != nil {
			return err
		}
	}
	r.mem, err = mapFile(r.file, size)
	if err != nil {
		return r.noMemory(size, fs.freeBytes, r.howFile(size), err)
	}
	r.unmap = r.mem
	if !r.Huge && r.spec.Huge != Never {
		_ = unix.Madvise(r.mem, unix.MADV_HUGEPAGE) // effective where shmem_enabled says advise
	}
	return nil
}

type fileSystem struct{ freeBytes int64 }

// inspectFS learns the page size of the file's file system.
func (r *Region) inspectFS() (fileSystem, error) {
	dir := r.spec.Path[:strings.LastIndexByte(r.spec.Path, '/')+1]
	if dir == "" {
		dir = "."
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fileSystem{}, fmt.Errorf("alloc: look at %s: %w: create the folder, on tmpfs or hugetlbfs", dir, err)
	}
	if st.Type == unix.HUGETLBFS_MAGIC {
		r.PageBytes, r.Huge = int(st.Bsize), true
	} else if r.spec.Huge == Require {
		return fileSystem{}, r.noMemory(r.spec.Bytes, 0, "put it on a hugetlbfs mount", unix.ENODEV)
	} else if r.spec.Huge == Auto {
		r.Fallback = dir + " is not on hugetlbfs; transparent huge pages are advised"
	}
	return fileSystem{int64(st.Bavail) * st.Bsize}, nil
}

// openSized opens the file; one of another size is replaced.
func (r *Region) openSized(size int64) error {
	f, err := os.OpenFile(r.spec.Path, os.O_RDWR|syscall.O_CLOEXEC, 0)
	if err == nil {
		r.file = f
		if err := r.lock(); err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("alloc: %w", err)
		}
		if info.Size() == size {
			r.countExisting()
			return nil
		}
		f.Close()
		r.file = nil
		if err := os.Remove(r.spec.Path); err != nil {
			return fmt.Errorf("alloc: replace %s: %w", r.spec.Path, err)
		}
	} else if !os.IsNotExist(err) {
		return fmt.Errorf("alloc: open: %w", err)
	}
	return r.createSized(size)
}

func (r *Region) createSized(size int64) error {
	f, err := os.OpenFile(r.spec.Path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("alloc: create: %w", err)
	}
	r.file, r.Fresh = f, true
	if err := r.lock(); err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		os.Remove(r.spec.Path)
		return r.noMemory(size, -1, r.howFile(size), err)
	}
	return nil
}

// lock keeps a second owner out until the file is closed, also by a crash.
func (r *Region) lock() error {
	if !r.spec.Lock {
		return nil
	}
	if err := unix.Flock(int(r.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("alloc: %s: %w (%w): stop it, or wait until it is gone", r.spec.Path, ErrLocked, err)
	}
	return nil
}

// countExisting counts what an attached Sparse file holds already.
func (r *Region) countExisting() {
	var st unix.Stat_t
	if r.spec.Sparse && unix.Fstat(int(r.file.Fd()), &st) == nil {
		r.count(st.Blocks * 512)
	}
}

// allocateFile makes the file system set pages aside, so that a full one is an
// error now. Data that is there stays.
func (r *Region) allocateFile(from, to int64) error {
	err := unix.Fallocate(int(r.file.Fd()), 0, from, to-from)
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(int(r.file.Fd()), 0, from, to-from)
	}
	if err == nil {
		return nil
	}
	if r.Fresh && !r.spec.Sparse {
		os.Remove(r.spec.Path)
	}
	var st unix.Statfs_t
	have := int64(-1)
	if unix.Fstatfs(int(r.file.Fd()), &st) == nil {
		have = int64(st.Bavail) * st.Bsize
	}
	return r.noMemory(to-from, have, r.howFile(to-from), err)
}

func (r *Region) howFile(bytes int64) string {
	if r.Huge {
		return howHuge(bytes)
	}
	return "enlarge the tmpfs (mount -o remount,size=…) or configure less"
}

// freeHugeBytes is what the kernel's pool of 2 MiB pages has free.
func freeHugeBytes() int64 {
	const dir = "/sys/kernel/mm/hugepages/hugepages-2048kB/"
	free, reserved := readInt(dir+"free_hugepages"), readInt(dir+"resv_hugepages")
	if free < 0 || reserved < 0 {
		return 0
	}
	return (free - reserved) * HugePageBytes
}

func readInt(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// availableBytes is MemAvailable, -1 when unknown.
func availableBytes() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return -1
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) >= 2 && fields[0] == "MemAvailable:" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return -1
}

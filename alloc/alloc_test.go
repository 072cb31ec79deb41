package alloc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func used(p Purpose) int64 { return Usage()[p].Bytes }

func mustOpen(t *testing.T, spec Spec) *Region {
	t.Helper()
	r, err := Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// mount makes a file system for one test.
func mount(t *testing.T, kind, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, kind, 0, options); err != nil {
		t.Skipf("mount %s: %v", kind, err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// hugePages sets so many more pages of 2 MiB aside for one test.
func hugePages(t *testing.T, n int64) {
	t.Helper()
	giveBack, err := BorrowHugePages(n * HugePageBytes)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(giveBack)
}

func TestAnonymous(t *testing.T) {
	before := used(Frames)
	r := mustOpen(t, Spec{Purpose: Frames, Bytes: 3<<20 + 1, Huge: Never, NUMANode: NoNUMA, Prefault: true})
	b := r.Bytes()
	if len(b) != 3<<20+4096 || !r.Fresh || r.Huge || r.Fallback != "" {
		t.Fatalf("%d bytes, %+v", len(b), r)
	}
	b[0], b[len(b)-1] = 1, 2
	if got := used(Frames) - before; got != int64(len(b)) {
		t.Errorf("%d bytes counted", got)
	}
	if err := r.Close(); err != nil || used(Frames) != before || r.Close() != ErrClosed {
		t.Errorf("close: %v, %d bytes still counted", err, used(Frames)-before)
	}
}

func TestAlignment(t *testing.T) {
	r := mustOpen(t, Spec{Purpose: Other, Bytes: 5 << 20, Huge: Never, NUMANode: NoNUMA})
	if uintptr(r.Base())%HugePageBytes != 0 {
		t.Errorf("base %p is not at a 2 MiB border", r.Base())
	}
}

func TestAnonymousHuge(t *testing.T) {
	hugePages(t, 4)
	r := mustOpen(t, Spec{Purpose: Slabs, Bytes: 7 << 20, Huge: Require, NUMANode: NoNUMA, Prefault: true})
	if !r.Huge || r.PageBytes != HugePageBytes || len(r.Bytes()) != 8<<20 {
		t.Fatalf("%+v", r)
	}
	_, err := Open(Spec{Purpose: Slabs, Bytes: 1 << 40, Huge: Require, NUMANode: NoNUMA})
	var none *ErrNoMemory
	if !errors.As(err, &none) || none.Want != 1<<40 || !strings.Contains(none.How, "nr_hugepages") {
		t.Errorf("too much: %v", err)
	}
}

func TestAnonymousHugeFallback(t *testing.T) {
	r := mustOpen(t, Spec{Purpose: Slabs, Bytes: 5 << 30, Huge: Auto, NUMANode: NoNUMA})
	if r.Huge || r.Fallback == "" {
		t.Errorf("huge %v, fallback %q", r.Huge, r.Fallback)
	}
}

func TestTooMuch(t *testing.T) {
	if raceEnabled {
		t.Skip("race builds take memory from the Go heap")
	}
	_, err := Open(Spec{Purpose: Slabs, Bytes: 1 << 44, Huge: Never, NUMANode: NoNUMA})
	var none *ErrNoMemory
	if !errors.As(err, &none) || none.How == "" || none.Have <= 0 {
		t.Errorf("%v", err)
	}
}

func TestFileSurvives(t *testing.T) {
	dir := mount(t, "tmpfs", "size=16m")
	spec := Spec{Purpose: Board, Path: filepath.Join(dir, "board"), Bytes: 1 << 20, Huge: Never, NUMANode: NoNUMA}
	r := mustOpen(t, spec)
	if !r.Fresh {
		t.Fatal("a new file is not fresh")
	}
	r.Bytes()[77] = 42
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, spec)
	if r.Fresh || r.Bytes()[77] != 42 {
		t.Fatalf("fresh %v, byte %d", r.Fresh, r.Bytes()[77])
	}
	spec.Bytes = 2 << 20
	other := mustOpen(t, spec)
	if !other.Fresh || other.Bytes()[77] != 0 {
		t.Error("a file of another size was attached to")
	}
	if r.Bytes()[77] != 42 {
		t.Error("the old mapping changed under its owner")
	}
	if err := other.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(spec.Path); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestFileSystemFull(t *testing.T) {
	dir := mount(t, "tmpfs", "size=4m")
	spec := Spec{Purpose: Slabs, Path: filepath.Join(dir, "slabs"), Bytes: 8 << 20, Huge: Never, NUMANode: NoNUMA}
	_, err := Open(spec)
	var none *ErrNoMemory
	if !errors.As(err, &none) || !errors.Is(err, unix.ENOSPC) || none.Have < 0 || none.Have > 4<<20 {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(spec.Path); !os.IsNotExist(err) {
		t.Errorf("the file is left behind: %v", err)
	}
}

func TestSparseFile(t *testing.T) {
	dir := mount(t, "tmpfs", "size=4m")
	r := mustOpen(t, Spec{Purpose: Index, Path: filepath.Join(dir, "index"), Bytes: 1 << 30, Huge: Never, NUMANode: NoNUMA, Sparse: true})
	testSparse(t, r, 1<<20)
	if err := r.Commit(4<<20, 64<<20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("more than the file system holds: %v", err)
	}
}

func TestSparseAnonymous(t *testing.T) {
	r := mustOpen(t, Spec{Purpose: Index, Bytes: 1 << 28, Huge: Never, NUMANode: NoNUMA, Sparse: true})
	testSparse(t, r, 1<<20)
}

func TestSparseAnonymousHuge(t *testing.T) {
	if raceEnabled {
		t.Skip("race builds take memory from the Go heap")
	}
	hugePages(t, 2)
	r := mustOpen(t, Spec{Purpose: Index, Bytes: 1 << 28, Huge: Auto, NUMANode: NoNUMA, Sparse: true})
	testSparse(t, r, 4<<20)
}

func testSparse(t *testing.T, r *Region, step int64) {
	t.Helper()
	if err := r.Commit(0, step); err != nil {
		t.Fatal(err)
	}
	r.Bytes()[step-1] = 9
	if r.Committed() != step {
		t.Errorf("%d bytes committed", r.Committed())
	}
	if err := r.Decommit(0, step); err != nil || r.Committed() != 0 {
		t.Fatalf("decommit: %v, %d left", err, r.Committed())
	}
	if err := r.Commit(0, step); err != nil {
		t.Fatal(err)
	}
	if r.Bytes()[step-1] != 0 {
		t.Error("memory given back kept its contents")
	}
	if err := r.Commit(step, int64(len(r.Bytes()))+1); err == nil {
		t.Error("committed past the end")
	}
}

func TestHugetlbfs(t *testing.T) {
	hugePages(t, 4)
	dir := mount(t, "hugetlbfs", "pagesize=2M")
	spec := Spec{Purpose: Slabs, Path: filepath.Join(dir, "slabs"), Bytes: 3 << 20, Huge: Require, NUMANode: NoNUMA, Prefault: true}
	r := mustOpen(t, spec)
	if !r.Huge || len(r.Bytes()) != 4<<20 {
		t.Fatalf("huge %v, %d bytes", r.Huge, len(r.Bytes()))
	}
	r.Bytes()[3<<20] = 7
	r.Close()
	if r = mustOpen(t, spec); r.Fresh || r.Bytes()[3<<20] != 7 {
		t.Error("the file did not survive")
	}
	spec.Path, spec.Bytes = filepath.Join(dir, "more"), freeHugeBytes()+2<<20
	_, err := Open(spec)
	var none *ErrNoMemory
	if !errors.As(err, &none) || !strings.Contains(none.How, "nr_hugepages") {
		t.Errorf("more pages than there are: %v", err)
	}
}

func TestRequireOnTmpfs(t *testing.T) {
	dir := mount(t, "tmpfs", "size=4m")
	_, err := Open(Spec{Purpose: Slabs, Path: filepath.Join(dir, "x"), Bytes: 4096, Huge: Require, NUMANode: NoNUMA})
	if err == nil || !strings.Contains(err.Error(), "hugetlbfs") {
		t.Errorf("%v", err)
	}
}

func TestLock(t *testing.T) {
	spec := Spec{Purpose: Index, Path: filepath.Join(mount(t, "tmpfs", "size=4m"), "x"), Bytes: 4096, Huge: Never, NUMANode: NoNUMA, Lock: true}
	r := mustOpen(t, spec)
	if _, err := Open(spec); !errors.Is(err, ErrLocked) {
		t.Fatalf("second owner: %v", err)
	}
	r.Close()
	mustOpen(t, spec)
}

func TestNUMA(t *testing.T) {
	if raceEnabled {
		t.Skip("race builds take memory from the Go heap")
	}
	mustOpen(t, Spec{Purpose: Frames, Bytes: 1 << 20, Huge: Never, NUMANode: 0, Prefault: true})
	_, err := Open(Spec{Purpose: Frames, Bytes: 1 << 20, Huge: Never, NUMANode: 900})
	var numa *ErrNUMA
	if !errors.As(err, &numa) || numa.Node != 900 {
		t.Errorf("node 900: %v", err)
	}
}

func TestBadSpecs(t *testing.T) {
	for name, spec := range map[string]Spec{
		"no size":     {Purpose: Slabs, NUMANode: NoNUMA},
		"no purpose":  {Purpose: 99, Bytes: 1, NUMANode: NoNUMA},
		"no folder":   {Purpose: Slabs, Bytes: 1, Path: "/nonexistent/x", NUMANode: NoNUMA},
		"not a place": {Purpose: Slabs, Bytes: 1, Path: "/proc/gannet", NUMANode: NoNUMA},
	} {
		if r, err := Open(spec); err == nil {
			r.Close()
			t.Errorf("%s: opened", name)
		}
	}
	r := mustOpen(t, Spec{Purpose: Slabs, Bytes: 1, Huge: Never, NUMANode: NoNUMA})
	if err := r.Commit(0, 1); err == nil {
		t.Error("committed a region that is not sparse")
	}
	for _, row := range Usage() {
		if row.Bytes < 0 || row.Purpose.String() == "" {
			t.Errorf("usage %+v", row)
		}
	}
}

package board

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Board is a mapped board. Its accessors may be used from any goroutine as far as
// each area's own rules go.
type Board struct {
	path   string
	mem    []byte
	dev    uint64
	ino    uint64
	areas  [numAreas]entry
	broken [numAreas]*AreaError
	shards int
}

// Open attaches to the board at path, or creates it when there is none. When one
// of another geometry is there, the error is a [GeometryError].
func Open(path string, spec Spec) (*Board, error) {
	return underLock(path, func() (*Board, error) {
		b, err := attach(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotBoard) {
			return create(path, spec)
		}
		if err != nil {
			return nil, err
		}
		if err := b.fits(spec); err != nil {
			return nil, errors.Join(err, b.Close())
		}
		return b, nil
	})
}

// Create makes a new board at path and puts it in the place of any other one,
// which stays as it is for those who have it mapped.
func Create(path string, spec Spec) (*Board, error) {
	return underLock(path, func() (*Board, error) { return create(path, spec) })
}

// Attach maps the board that is at path.
func Attach(path string) (*Board, error) {
	return underLock(path, func() (*Board, error) { return attach(path) })
}

// GeometryError says that a board of another geometry is there. The data plane
// then makes a new one (Create), the control process waits for it.
type GeometryError struct {
	Path string
	Area AreaID
}

// Error implements error.
func (e *GeometryError) Error() string {
	return fmt.Sprintf("board %s: area %v has another size than the configuration asks for: restart the data plane, which makes a new one",
		e.Path, e.Area)
}

func underLock(path string, do func() (*Board, error)) (*Board, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("board: make its folder: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("board: open its lock: %w", err)
	}
	defer lock.Close()
	if err := flock(int(lock.Fd())); err != nil {
		return nil, fmt.Errorf("board: lock %s.lock: %w", path, err)
	}
	return do()
}

func flock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX); err != unix.EINTR {
			return err
		}
	}
}

// create builds the board aside and renames it into place: nobody ever maps half
// a board.
func create(path string, spec Spec) (*Board, error) {
	if err := spec.complete(); err != nil {
		return nil, err
	}
	entries, size := spec.layout()
	aside := path + ".new"
	f, err := os.OpenFile(aside, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("board: create: %w", err)
	}
	defer f.Close()
	// Room is taken now: a full file system must not become a SIGBUS later.
	if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
		_ = os.Remove(aside)
		return nil, fmt.Errorf("board: reserve %d bytes for %s (free some room there, or choose another runtime folder): %w", size, path, err)
	}
	b, err := mapFile(f, path)
	if err != nil {
		_ = os.Remove(aside)
		return nil, err
	}
	writeDirectory(b.mem, entries)
	b.layQueues(entries)
	if err := os.Rename(aside, path); err != nil {
		return nil, errors.Join(fmt.Errorf("board: put into place: %w", err), b.Close())
	}
	b.resolve(entries)
	return b, nil
}

func (b *Board) layQueues(entries []entry) {
	for _, e := range entries {
		if e.id != AreaLog && e.id != AreaApply && e.id != AreaScanResult {
			continue
		}
		for i := range e.elements {
			layQueue(b.mem[e.offset+int64(i)*e.stride:][:e.stride])
		}
	}
}

func attach(path string) (*Board, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("board: open: %w", err)
	}
	defer f.Close()
	b, err := mapFile(f, path)
	if err != nil {
		return nil, err
	}
	entries, err := readDirectory(b.mem)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("board %s: %w", path, err), b.Close())
	}
	b.resolve(entries)
	return b, nil
}

func mapFile(f *os.File, path string) (*Board, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("board: stat %s: %w", path, err)
	}
	if st.Size < directoryBytes {
		return nil, fmt.Errorf("board %s: %w: only %d bytes long", path, ErrNotBoard, st.Size)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("board: map %s: %w", path, err)
	}
	return &Board{path: path, mem: mem, dev: st.Dev, ino: st.Ino}, nil
}

// resolve finds the areas that this build knows. Unknown ones are skipped, and one
// of another version is put on record for Need.
func (b *Board) resolve(entries []entry) {
	for id := AreaID(1); id < numAreas; id++ {
		b.broken[id] = &AreaError{ID: id, Want: layoutVersion[id]}
	}
	for _, e := range entries {
		if e.id == 0 || e.id >= numAreas || b.broken[e.id] == nil {
			continue // unknown, or named a second time: the first good one counts
		}
		if e.version != layoutVersion[e.id] || e.stride < leastStride[e.id] {
			b.broken[e.id].Have = e.version
			continue
		}
		b.areas[e.id], b.broken[e.id] = e, nil
	}
	b.shards = b.areas[AreaHeartbeat].elements
}

// leastStride guards the fixed-size accessors against an area that claims the
// right version and is too short.
var leastStride = [numAreas]int64{
	AreaNode: nodeBytes, AreaControl: controlBytes, AreaRing: ringStride(64), AreaLog: queueStride(4096),
	AreaApply: queueStride(4096), AreaScanRequest: scanRequestBytes, AreaScanResult: queueStride(4096),
	AreaSessions: sessionBytes, AreaPacing: pacingBytes, AreaFence: lineBytes, AreaSecret: recordStride(secretBytes),
	AreaCounters: countersBytes, AreaLatency: latencyBytes, AreaMemory: memoryBytes, AreaHot: recordStride(hotBytes),
	AreaHeartbeat: lineBytes, AreaReasons: reasonsBytes, AreaReplication: replicationStride(), AreaReplicated: lineBytes,
	AreaLosses: lineBytes,
}

func (b *Board) fits(spec Spec) error {
	if err := spec.complete(); err != nil {
		return err
	}
	want, _ := spec.layout()
	for _, w := range want {
		have := b.areas[w.id]
		if b.broken[w.id] == nil && (have.stride != w.stride || have.elements != w.elements) {
			return &GeometryError{Path: b.path, Area: w.id}
		}
	}
	return nil
}

// Need returns an [AreaError] for the first of the given areas that cannot be
// used, all areas when none is named. An area that cannot be used reads as zeros
// and swallows what is written.
func (b *Board) Need(ids ...AreaID) error {
	if len(ids) == 0 {
		for id := AreaID(1); id < numAreas; id++ {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		if id == 0 || id >= numAreas {
			return &AreaError{ID: id}
		}
		if b.broken[id] != nil {
			return b.broken[id]
		}
	}
	return nil
}

// Shards returns the number of shards the board was made for.
func (b *Board) Shards() int { return b.shards }

// Path returns the file's name.
func (b *Board) Path() string { return b.path }

// Bytes returns the length of the mapping.
func (b *Board) Bytes() int64 { return int64(len(b.mem)) }

// Replaced says that another board stands under this one's name (or none): open
// it anew.
func (b *Board) Replaced() bool {
	var st unix.Stat_t
	if err := unix.Stat(b.path, &st); err != nil {
		return true
	}
	return st.Dev != b.dev || st.Ino != b.ino
}

// Close unmaps the board; the file stays for the other process. No accessor may
// be used afterwards.
func (b *Board) Close() error {
	if b.mem == nil {
		return nil
	}
	mem := b.mem
	b.mem = nil
	return unix.Munmap(mem)
}

// Remove deletes the board's files. The mappings stay valid until Close.
func (b *Board) Remove() error {
	return errors.Join(os.Remove(b.path), os.Remove(b.path+".lock"))
}

// area returns the bytes of one element, or private zeroed memory of the least
// size when the area cannot be used or has no such element.
func (b *Board) area(id AreaID, element int) []byte {
	e := b.areas[id]
	if b.broken[id] != nil || element < 0 || element >= e.elements {
		return heapBytes(leastStride[id])
	}
	at := e.offset + int64(element)*e.stride
	return b.mem[at : at+e.stride : at+e.stride]
}

func heapBytes(n int64) []byte {
	words := make([]uint64, (n+7)/8)
	return bytesOf(words)
}

func (b *Board) words(id AreaID, element int) []atomic.Uint64 {
	return wordsOf(b.area(id, element))
}

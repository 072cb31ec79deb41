package board

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// AreaID names an area of the board. Numbers are never used twice.
type AreaID uint32

// The areas.
const (
	AreaNode AreaID = iota + 1
	AreaControl
	AreaRing
	AreaLog
	AreaApply
	AreaScanRequest
	AreaScanResult
	AreaSessions
	AreaPacing
	AreaFence
	AreaSecret
	AreaCounters
	AreaLatency
	AreaMemory
	AreaHot
	AreaHeartbeat
	AreaReasons
	AreaReplication
	AreaReplicated
	AreaLosses
	numAreas
)

var areaNames = [numAreas]string{
	"none", "node", "control", "ring", "log", "apply", "scan request", "scan result", "sessions", "pacing", "fence",
	"secret", "counters", "latency", "memory", "hot", "heartbeat", "reasons", "replication", "replicated",
	"losses",
}

// String returns the area's name.
func (id AreaID) String() string {
	if id < numAreas {
		return areaNames[id]
	}
	return fmt.Sprintf("area %d", uint32(id))
}

// Writer names the process that writes an area.
type Writer uint32

// The writers.
const (
	WriterData    Writer = 1 // the data plane
	WriterControl Writer = 2 // the control process
)

// The file's head, little-endian:
//
//	 0  8  magic "GNTBOARD"
//	 8  4  layout version of the directory
//	12  4  number of entries
//	16  8  length of the file
//	24  8  complete: 1 once everything was laid out
//	32  …  entries of 48 bytes:
//	       0 4 id   4 4 layout version   8 8 offset   16 8 stride (bytes of one element)
//	       24 4 elements   28 4 writer   32 16 zero
const (
	directoryVersion = 1
	headBytes        = 32
	entryBytes       = 48
	maxEntries       = 64
	directoryBytes   = 4096
	areaAlign        = 4096
)

var magic = [8]byte{'G', 'N', 'T', 'B', 'O', 'A', 'R', 'D'}

type entry struct {
	id       AreaID
	version  uint32
	offset   int64
	stride   int64
	elements int
	writer   Writer
}

func (e entry) bytes() int64 { return e.stride * int64(e.elements) }

// Errors of attaching to a board.
var (
	// ErrNotBoard says that the file is no board, or was never finished.
	ErrNotBoard = errors.New("not a board file")
	// ErrDirectoryVersion says that the whole directory has another layout.
	ErrDirectoryVersion = errors.New("board directory of another version")
)

// AreaError says why one area cannot be used; the others still can.
type AreaError struct {
	ID   AreaID
	Have uint32 // layout version found, 0 = the area is missing
	Want uint32
}

// Error implements error.
func (e *AreaError) Error() string {
	if e.Have == 0 {
		return fmt.Sprintf("board area %v is missing: the other process is of another version; restart both from one build", e.ID)
	}
	return fmt.Sprintf("board area %v has layout version %d, this build understands %d: restart both processes from one build",
		e.ID, e.Have, e.Want)
}

func writeDirectory(b []byte, entries []entry) {
	le := binary.LittleEndian
	le.PutUint32(b[8:], directoryVersion)
	le.PutUint32(b[12:], uint32(len(entries)))
	le.PutUint64(b[16:], uint64(len(b)))
	for i, e := range entries {
		p := b[headBytes+i*entryBytes:]
		le.PutUint32(p, uint32(e.id))
		le.PutUint32(p[4:], e.version)
		le.PutUint64(p[8:], uint64(e.offset))
		le.PutUint64(p[16:], uint64(e.stride))
		le.PutUint32(p[24:], uint32(e.elements))
		le.PutUint32(p[28:], uint32(e.writer))
	}
	copy(b, magic[:])
	wordsOf(b)[3].Store(1)
}

// readDirectory checks everything that an entry claims before anybody uses it.
func readDirectory(b []byte) ([]entry, error) {
	le := binary.LittleEndian
	if len(b) < directoryBytes || [8]byte(b[:8]) != magic || wordsOf(b)[3].Load() != 1 {
		return nil, ErrNotBoard
	}
	if v := le.Uint32(b[8:]); v != directoryVersion {
		return nil, fmt.Errorf("%w: found %d, want %d", ErrDirectoryVersion, v, directoryVersion)
	}
	n := int(le.Uint32(b[12:]))
	if n > maxEntries || le.Uint64(b[16:]) != uint64(len(b)) {
		return nil, fmt.Errorf("%w: directory does not fit the file", ErrNotBoard)
	}
	entries := make([]entry, 0, n)
	for i := range n {
		p := b[headBytes+i*entryBytes:]
		e := entry{
			id: AreaID(le.Uint32(p)), version: le.Uint32(p[4:]),
			offset: int64(le.Uint64(p[8:])), stride: int64(le.Uint64(p[16:])),
			elements: int(le.Uint32(p[24:])), writer: Writer(le.Uint32(p[28:])),
		}
		if !e.inside(int64(len(b))) {
			return nil, fmt.Errorf("%w: %v lies outside the file", ErrNotBoard, e.id)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (e entry) inside(fileBytes int64) bool {
	if e.offset < directoryBytes || e.offset%8 != 0 || e.stride < 8 || e.stride%8 != 0 || e.elements < 1 {
		return false
	}
	return e.stride <= fileBytes && int64(e.elements) <= fileBytes && e.offset <= fileBytes &&
		e.bytes() <= fileBytes-e.offset
}

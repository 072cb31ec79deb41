package alloc

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Purpose says what memory is for; Usage counts by it.
type Purpose uint8

// The purposes of off-heap memory.
const (
	Slabs Purpose = iota
	Index
	Policy
	Frames
	Board
	Log
	Tables
	Other
	purposes
)

var purposeNames = [purposes]string{"slabs", "index", "policy", "frames", "board", "log", "tables", "other"}

// String names the purpose as metrics show it.
func (p Purpose) String() string {
	if p >= purposes {
		return fmt.Sprintf("purpose(%d)", uint8(p))
	}
	return purposeNames[p]
}

// Huge is the wish for 2 MiB pages.
type Huge uint8

// The wishes: take 2 MiB pages when there are some, never, or fail without.
const (
	Auto Huge = iota
	Never
	Require
)

// HugePageBytes is the size of a huge page on the machines Gannet runs on.
const HugePageBytes = 2 << 20

// NoNUMA in Spec.NUMANode asks for no binding.
const NoNUMA = -1

// Spec asks Open for a region.
type Spec struct {
	Purpose  Purpose
	Path     string // "" = anonymous
	Bytes    int64  // rounded up to the page size
	Huge     Huge
	NUMANode int  // NoNUMA = anywhere
	Prefault bool // touch every page now, so that no access faults later
	// Sparse reserves addresses only; Commit takes memory range by range.
	Sparse bool
	// Lock keeps a second owner of the file out (flock).
	Lock bool
}

// UsageRow is what one purpose holds.
type UsageRow struct {
	Purpose Purpose
	Bytes   int64 // committed
	Regions int64
}

var (
	usedBytes   [purposes]atomic.Int64
	usedRegions [purposes]atomic.Int64
)

// Usage returns the committed bytes of every purpose, in the order of the
// constants.
func Usage() []UsageRow {
	rows := make([]UsageRow, purposes)
	for p := range rows {
		rows[p] = UsageRow{Purpose(p), usedBytes[p].Load(), usedRegions[p].Load()}
	}
	return rows
}

// ErrNoMemory reports that memory wanted is not there, and what to do.
type ErrNoMemory struct {
	Purpose Purpose
	Path    string
	Want    int64
	Have    int64  // -1 = unknown
	How     string // what to do about it
	Err     error
}

func (e *ErrNoMemory) Error() string {
	where := "anonymous memory"
	if e.Path != "" {
		where = e.Path
	}
	have := "unknown"
	if e.Have >= 0 {
		have = fmt.Sprintf("%d bytes", e.Have)
	}
	return fmt.Sprintf("alloc: not enough memory for %s in %s: want %d bytes, have %s: %s", e.Purpose, where, e.Want, have, e.How)
}

func (e *ErrNoMemory) Unwrap() error { return e.Err }

// ErrClosed is returned by operations on a closed region.
var ErrClosed = errors.New("alloc: region is closed")

package control

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"gannet/board"
)

// Link is this process's hold on the board, which the data plane makes and, when
// its geometry changes, replaces.
type Link struct {
	path string
	log  *slog.Logger

	mu       sync.RWMutex // readers of the mapping hold it
	board    *board.Board // nil: none yet
	lastFail string
}

// BoardPath is where the two processes of a node meet.
func BoardPath(dataDir string) string { return filepath.Join(dataDir, "board") }

// NewLink makes a link that is not attached yet.
func NewLink(dataDir string, log *slog.Logger) *Link {
	return &Link{path: BoardPath(dataDir), log: log}
}

// With calls do with the board, which stays mapped until do returns; false when
// there is none. do must not wait for anything.
func (l *Link) With(do func(*board.Board)) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.board == nil {
		return false
	}
	do(l.board)
	return true
}

// Refresh attaches when there is a board that is not attached yet, or another one
// under its name. It reports whether the board is another one than before.
func (l *Link) Refresh() bool {
	l.mu.RLock()
	current := l.board != nil && !l.board.Replaced()
	l.mu.RUnlock()
	if current {
		return false
	}
	next, err := attach(l.path)
	if err != nil {
		l.complain(err)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.board
	l.board, l.lastFail = next, ""
	if old != nil {
		if err := old.Close(); err != nil {
			l.log.Warn("unmap the replaced board", "error", err)
		}
	}
	l.log.Debug("attached to the board", "path", l.path, "shards", next.Shards())
	return true
}

func attach(path string) (*board.Board, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err // before Attach makes a lock, and a directory for it
	}
	b, err := board.Attach(path)
	if err != nil {
		return nil, err
	}
	// The others are read only where they are shown, and read as zeros if need be.
	if err := b.Need(board.AreaNode, board.AreaControl, board.AreaRing, board.AreaFence, board.AreaHeartbeat,
		board.AreaLog, board.AreaApply, board.AreaScanRequest, board.AreaScanResult, board.AreaReplication, board.AreaReplicated); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// complain logs a failure once, not every tick. That there is no board yet is how
// every node begins.
func (l *Link) complain(err error) {
	if errors.Is(err, fs.ErrNotExist) || err.Error() == l.lastFail {
		return
	}
	l.lastFail = err.Error()
	l.log.Warn("cannot attach to the board; trying again", "error", err)
}

// Close lets go of the board.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.board == nil {
		return nil
	}
	b := l.board
	l.board = nil
	return b.Close()
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openDoorbell makes the pipe on which the control process names shards that have
// something to do on the board. It is opened for both directions, so that it stays
// open whatever becomes of the other side.
func (n *node) openDoorbell() (*os.File, error) {
	path := filepath.Join(n.cfg.DataDir, "doorbell")
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the doorbell %s: %w", path, err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the doorbell: %w", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// answerDoorbell wakes the shards that are named, until the pipe is closed.
func (n *node) answerDoorbell(bell *os.File) {
	var names [64]byte
	for {
		count, err := bell.Read(names[:])
		if err != nil {
			return
		}
		for _, shard := range names[:count] {
			if int(shard) < len(n.loops) {
				n.loops[shard].Wake()
			}
		}
	}
}

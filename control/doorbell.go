package control

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Doorbell wakes shards that sleep: a byte with the shard's number in a pipe that the
// data plane reads. It never waits, and a ring that is lost costs one of the shard's
// short sleeps.
type Doorbell struct {
	path  string
	pipe  int     // -1: not connected
	rung  []int64 // by shard: when last
	tryAt int64
}

const (
	// A shard is rung this often at most.
	doorbellNanos = int64(200e3)
	// Without somebody who reads, the pipe is tried this often.
	doorbellRetryNanos = int64(100e6)
)

// DoorbellPath is the pipe's name.
func DoorbellPath(dataDir string) string { return filepath.Join(dataDir, "doorbell") }

// NewDoorbell makes one that is not connected yet.
func NewDoorbell(dataDir string) *Doorbell { return &Doorbell{path: DoorbellPath(dataDir), pipe: -1} }

// Ring wakes a shard. It is called from one goroutine.
func (d *Doorbell) Ring(shard int, nowNanos int64) {
	for len(d.rung) <= shard {
		d.rung = append(d.rung, 0)
	}
	if nowNanos-d.rung[shard] < doorbellNanos || !d.open(nowNanos) {
		return
	}
	d.rung[shard] = nowNanos
	if _, err := unix.Write(d.pipe, []byte{byte(shard)}); err != nil && !errors.Is(err, unix.EAGAIN) {
		d.Close() // another data plane will make another pipe
	}
}

func (d *Doorbell) open(nowNanos int64) bool {
	if d.pipe >= 0 {
		return true
	}
	if nowNanos < d.tryAt {
		return false
	}
	d.tryAt = nowNanos + doorbellRetryNanos
	fd, err := unix.Open(d.path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // nobody reads yet
	}
	d.pipe = fd
	return true
}

// Close lets go of the pipe.
func (d *Doorbell) Close() {
	if d.pipe >= 0 {
		_ = unix.Close(d.pipe) // nothing was buffered
		d.pipe = -1
	}
}

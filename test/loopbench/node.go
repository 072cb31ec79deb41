package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/dataplane"
	"gannet/dataplane/port"
	"gannet/security"
	"gannet/shard"
	"gannet/wire"
)

// node is one shard, its loop, its port and its client.
type node struct {
	loop   *dataplane.Loop
	store  *shard.Shard
	port   *memPort
	board  *board.Board
	dir    string
	cookie uint64
	items  int
	rng    uint64
}

// nodeOptions shapes a node. All its values have the same length.
type nodeOptions struct {
	items      int
	valueBytes int
	longItems  int // further items, of longBytes
	longBytes  int
	segments   int // pieces a reply may have
	tailBytes  int // see dataplane.Config
	frameShift uint
	log        bool // and a clock, as a node has them; nobody reads the log
	seed       uint64
}

const slotOverheadBytes = 120 // an item's share of header, key, sums, index and policy; generous

func newNode(o nodeOptions) (*node, error) {
	dir, err := os.MkdirTemp("", "gannet-loopbench-")
	if err != nil {
		return nil, fmt.Errorf("folder for the board: %w", err)
	}
	n := &node{dir: dir, items: o.items, rng: o.seed*2 + 1}
	if err := n.open(o); err != nil {
		return nil, errors.Join(err, n.close())
	}
	if err := n.fill(o); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *node) open(o nodeOptions) (err error) {
	if n.board, err = board.Create(filepath.Join(n.dir, "board"), board.Spec{Shards: 1}); err != nil {
		return fmt.Errorf("board: %w", err)
	}
	n.board.Fence().Set(1 << 62)
	now := port.BootNanos()
	memory := int64(o.items)*int64(o.valueBytes*9/8+slotOverheadBytes) + int64(o.longItems)*int64(o.longBytes*5/4) + 64<<20
	storeConfig := shard.Config{
		MemoryBytes: memory, Policy: "default", NUMANode: -1, MaxValueBytes: max(o.longBytes, shard.DefaultMaxValueBytes),
	}
	var log *dataplane.Log
	var clock func() int64
	if o.log {
		log, clock = dataplane.NewLog(n.board, 0), clockFrom(now)
		storeConfig.Log = log
	}
	n.store, _, err = shard.Open(storeConfig, now)
	if err != nil {
		return fmt.Errorf("shard: %w", err)
	}
	from := port.Addr{Port: 40001}
	copy(from.IP[10:], []byte{0xff, 0xff, 10, 0, 0, 1})
	n.port = newMemPort(max(1, o.segments), max(memFrameShift, o.frameShift), from)
	cookies := security.NewCookies([16]byte{1, 2, 3}, int64(3600e9))
	n.cookie = cookies.Make(from.IP, from.Port, now)
	n.loop, err = dataplane.New(dataplane.Config{
		Shards: 1, Port: n.port, Store: n.store, Board: n.board, Log: log, Clock: clock, Cookies: cookies, Policy: "default",
		BasePort: 9800, NodeID: 7, BootID: 8, TailBytes: o.tailBytes, MaxValueBytes: max(o.longBytes, shard.DefaultMaxValueBytes),
	})
	if err != nil {
		return fmt.Errorf("loop: %w", err)
	}
	return nil
}

// clockFrom reads the boot clock without a system call.
func clockFrom(bootNanos int64) func() int64 {
	base := time.Now()
	return func() int64 { return bootNanos + int64(time.Since(base)) }
}

// fill stores the items: the short ones are numbered from 0, the long ones from
// longFrom.
func (n *node) fill(o nodeOptions) error {
	for i := range o.items {
		if err := n.put(uint64(i), o.valueBytes); err != nil {
			return err
		}
	}
	for i := range o.longItems {
		if err := n.put(longFrom+uint64(i), o.longBytes); err != nil {
			return err
		}
	}
	return nil
}

const longFrom = 1 << 40

func (n *node) put(i uint64, bytes int) error {
	key, value := keyOf(nil, i), appendValue(nil, i, bytes)
	w := shard.Write{Op: shard.Put, Hash: wire.KeyHash(key), Key: key, Value: value}
	n.store.Write(&w, port.BootNanos())
	if w.Status != shard.OK {
		return fmt.Errorf("store item %d: status %d", i, w.Status)
	}
	return nil
}

// keyOf makes a key of 16 bytes.
func keyOf(b []byte, i uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b[:0], "loopkey:"...), i)
}

// appendValue makes a value that its key's number determines.
func appendValue(b []byte, i uint64, bytes int) []byte {
	at := len(b)
	for x := i*0x9E3779B97F4A7C15 + 1; len(b) < at+bytes; x = x*6364136223846793005 + 1442695040888963407 {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b[:at+bytes]
}

func (n *node) close() error {
	var errs []error
	if n.loop != nil {
		errs = append(errs, n.loop.Close())
	} else if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.board != nil {
		errs = append(errs, n.board.Close())
	}
	runtime.KeepAlive(n)
	return errors.Join(append(errs, os.RemoveAll(n.dir))...)
}

// pin binds the calling goroutine's thread to a CPU.
func pin(cpu int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("bind to CPU %d: %w", cpu, err)
	}
	return nil
}

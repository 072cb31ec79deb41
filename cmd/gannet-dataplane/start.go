package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/config"
	"gannet/dataplane"
	"gannet/dataplane/port"
	"gannet/wire"
)

// node is the data plane as it comes up: what is open is closed by close, in the
// opposite order.
type node struct {
	cfg   *config.Loaded
	log   *slog.Logger
	lock  *os.File
	board *board.Board
	cpus  []int // of the shards
	rest  []int // other CPUs this process may run on

	stores   []store
	datapath *datapath
	rungs    rungs
	climber  *climber // nil when the rung never changes
	loops    []*dataplane.Loop
	rings    *dataplane.Rings
	secret   [16]byte
}

func run(ctx context.Context, cfg *config.Loaded, log *slog.Logger) (err error) {
	n := &node{cfg: cfg, log: log}
	defer func() { err = errors.Join(err, n.close()) }()
	began := port.BootNanos()
	if err := n.start(ctx, began); err != nil {
		return err
	}
	return n.serve(ctx, began)
}

// start opens everything. Memory comes before ports: what arrives finds somebody
// who answers.
func (n *node) start(ctx context.Context, nowNanos int64) error {
	if err := n.place(); err != nil {
		return err
	}
	if err := n.takeDataDir(ctx); err != nil {
		return err
	}
	if err := n.openBoard(nowNanos); err != nil {
		return err
	}
	if err := n.openStores(nowNanos); err != nil {
		return err
	}
	if err := n.settleSecret(); err != nil {
		return err
	}
	if err := n.openDatapath(); err != nil {
		return err
	}
	return n.makeLoops()
}

// takeDataDir keeps a second data plane out of the memory files. A predecessor that
// was killed this moment may still be on its way out.
func (n *node) takeDataDir(ctx context.Context) error {
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory (choose another with --data-dir): %w", err)
	}
	f, err := os.OpenFile(filepath.Join(n.cfg.DataDir, "dataplane.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the data directory's lock: %w", err)
	}
	n.lock = f
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return fmt.Errorf("another data plane uses %s (stop it, or choose another --data-dir or --node-name): %w", n.cfg.DataDir, err)
}

// scanBytes is room for scan results that the longest item fits into, wherever in the
// queue it begins.
func scanBytes(maxValueBytes int) int {
	bytes := 1 << 20
	for bytes < 4*(maxValueBytes+wire.MaxKeyBytes) {
		bytes <<= 1
	}
	return bytes
}

// openBoard attaches to the board, or makes one when there is none that fits.
func (n *node) openBoard(nowNanos int64) error {
	path := filepath.Join(n.cfg.DataDir, "board")
	spec := board.Spec{Shards: len(n.cpus), ScanBytes: scanBytes(int(n.cfg.MaxValue))}
	b, err := board.Open(path, spec)
	if err == nil {
		if err = b.Need(); err != nil {
			err = errors.Join(err, b.Close())
		}
	}
	if err != nil {
		n.log.Info("making a new board", "cause", err)
		if b, err = board.Create(path, spec); err != nil {
			return err
		}
	}
	n.board = b
	ticks, err := startTicks()
	if err != nil {
		return err
	}
	for i := range n.cpus {
		b.Heartbeat(i).Beat(0, 0) // a predecessor's says nothing about this process
	}
	b.Node().Start(os.Getpid(), ticks, nowNanos)
	dataplane.PublishReasons(b, verdictNames())
	return nil
}

// startTicks is the time at which this process started, in the unit of
// /proc/PID/stat (field 22): with it a process id names a process for good.
func startTicks() (uint64, error) {
	data, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, fmt.Errorf("read the own start time: %w", err)
	}
	// The command's name, in parentheses, may hold anything.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	const startTime = 22 - 3 // fields begins with field 3
	if len(fields) <= startTime {
		return 0, errors.New("read the own start time: /proc/self/stat is too short")
	}
	return strconv.ParseUint(fields[startTime], 10, 64)
}

// settleSecret keeps the cookies' master over a warm restart, so that clients need
// not ask for new cookies, and makes a new one when the memory is new.
func (n *node) settleSecret() error {
	master, ok := n.board.Secret().Get()
	if !ok || n.fresh() {
		if _, err := rand.Read(master[:]); err != nil {
			return fmt.Errorf("make the cookies' secret: %w", err)
		}
		n.board.Secret().Set(master)
	}
	n.secret = master
	return nil
}

// bootID tells clients whether node, memory and cookies are those they knew. It
// must not give the secret away.
func (n *node) bootID() uint64 {
	sum := sha256.Sum256(append([]byte("gannet boot id "), n.secret[:]...))
	return binary.LittleEndian.Uint64(sum[:])
}

func kernelBootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

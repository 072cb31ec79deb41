package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"gannet/board"
	"gannet/control/pacing"
	"gannet/dataplane"
	"gannet/dataplane/port"
	"gannet/dataplane/udp"
	"gannet/ring"
	"gannet/security"
	"gannet/shard"
)

const (
	governInterval = 20 * time.Millisecond
	serverMemory   = 16 << 20
)

// server is one node: a loop with what belongs to it.
type server struct {
	board *board.Board
	loop  *dataplane.Loop
	ran   chan error
}

// serve is the servers' process. It says "ready", and ends when in does; the words
// "cap" and "free" on in turn the capping of clients on and off.
func serve(in io.Reader, out io.Writer) error {
	debug.SetGCPercent(-1) // the loops allocate nothing; a collection would stall them
	// Each loop has a thread, and needs no other's leave to run on it: with fewer than
	// that, one that wakes waits for the runtime to take the right to run from another,
	// which takes up to 10 ms.
	runtime.GOMAXPROCS(servers + runtime.NumCPU())
	dir, err := os.MkdirTemp("", "gannet-incast-")
	if err != nil {
		return fmt.Errorf("incast: %w", err)
	}
	defer os.RemoveAll(dir)
	var stop dataplane.Stop
	nodes := make([]*server, servers)
	encoded, err := encodeRing()
	if err != nil {
		return err
	}
	for i := range nodes {
		if nodes[i], err = startServer(dir, i, encoded, &stop); err != nil {
			return err
		}
	}
	var capping atomic.Bool
	ended := make(chan struct{})
	go govern(nodes, &capping, ended)
	fmt.Fprintln(out, "ready")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		capping.Store(lines.Text() == "cap")
		fmt.Fprintln(out, "ready")
	}
	close(ended)
	stop.Set()
	var errs []error
	for _, n := range nodes {
		errs = append(errs, <-n.ran, n.loop.Close(), n.board.Close())
	}
	return errors.Join(errs...)
}

func encodeRing() ([]byte, error) {
	members := make([]ring.Member, servers)
	for i := range members {
		members[i] = ring.Member{
			ID: uint64(i + 1), Name: "node-" + strconv.Itoa(i+1), Weight: 1, Shards: 1,
			Addr: netip.AddrPortFrom(netip.MustParseAddr(serverAddress(i)), dataPort),
		}
	}
	r, err := ring.Build(ring.Spec{Epoch: 1, Replicas: 1, Members: members})
	if err != nil {
		return nil, fmt.Errorf("incast: %w", err)
	}
	return r.AppendEncode(nil), nil
}

func startServer(dir string, index int, encoded []byte, stop *dataplane.Stop) (_ *server, err error) {
	n := &server{ran: make(chan error, 1)}
	if n.board, err = board.Create(filepath.Join(dir, strconv.Itoa(index)), board.Spec{Shards: 1}); err != nil {
		return nil, err
	}
	n.board.Fence().Set(1 << 62)
	if err := n.board.Ring().Publish(1, encoded); err != nil {
		return nil, err
	}
	log := dataplane.NewLog(n.board, 0)
	store, _, err := shard.Open(shard.Config{MemoryBytes: serverMemory, Policy: "default", NUMANode: -1, Log: log}, port.BootNanos())
	if err != nil {
		return nil, err
	}
	socket, err := udp.Open(udp.Options{Address: netip.MustParseAddr(serverAddress(index)), BasePort: dataPort, Shards: 1}, 0)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	problem := func(err error) { fmt.Fprintln(os.Stderr, "incast:", err) }
	n.loop, err = dataplane.New(dataplane.Config{
		Shards: 1, Port: socket, Store: store, Board: n.board, Log: log, Rings: dataplane.NewRings(n.board, problem),
		Cookies: security.NewCookies([16]byte{5: byte(index)}, int64(time.Hour)),
		NodeID:  uint64(index + 1), BootID: 1, BasePort: dataPort, Policy: "default", MemoryBytes: serverMemory, Clock: port.BootNanos,
	})
	if err != nil {
		return nil, errors.Join(err, socket.Close(), store.Close())
	}
	go func() { n.ran <- n.loop.Run(stop, -1, port.BootNanos) }()
	<-n.loop.Started()
	return n, nil
}

// govern is the control processes' part: each node by itself, from its own board.
func govern(nodes []*server, capping *atomic.Bool, ended <-chan struct{}) {
	governors := make([]pacing.Governor, len(nodes))
	ticker := time.NewTicker(governInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
		}
		if !capping.Load() {
			continue
		}
		now := port.BootNanos()
		for i := range governors {
			governors[i].Step(nodes[i].board, now)
		}
	}
}

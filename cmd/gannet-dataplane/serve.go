package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"gannet/alloc"
	"gannet/board"
	"gannet/dataplane"
	"gannet/dataplane/port"
	"gannet/security"
)

const (
	// cookiePeriod is how long a cookie is given out; it is good for as long again.
	cookiePeriod = time.Hour
	slowInterval = time.Second
	// gcPercent lets the small heap grow before it is collected: once serving, the
	// process allocates a few KB a second.
	gcPercent = 800
)

// makeLoops puts ports and shards together.
func (n *node) makeLoops() error {
	cookies := security.NewCookies(n.secret, cookiePeriod.Nanoseconds())
	exchange := dataplane.NewExchange(len(n.cpus))
	n.rings = dataplane.NewRings(n.board, func(err error) { n.log.Error("cannot follow the ring; keeping the one before", "error", err) })
	for i := range n.cpus {
		loop, err := dataplane.New(dataplane.Config{
			Shard: i, Shards: len(n.cpus), Port: n.datapath.ports[i], Store: n.stores[i].shard, Log: n.stores[i].log, Board: n.board,
			Cookies: cookies, Rings: n.rings, Exchange: exchange, NodeID: n.cfg.NodeID, BootID: n.bootID(),
			BasePort: n.cfg.DataPort, MaxValueBytes: int(n.cfg.MaxValue), Policy: n.cfg.Policy, MemoryBytes: n.stores[i].bytes,
			SpinNanos: n.cfg.Spin.Nanoseconds(), HeartbeatNanos: n.cfg.Heartbeat.Nanoseconds(), Stamp: n.stampOf(i), Hot: n.hotTable(i),
			Clock: bootClock(),
		})
		if err != nil {
			return err
		}
		n.stores[i].shard = nil // the loop's now
		n.loops = append(n.loops, loop)
	}
	return nil
}

// bootClock returns a reader of CLOCK_BOOTTIME that makes a system call only once
// a second; in between it adds up the monotonic clock, which needs none. The two
// differ by the time the machine was suspended.
func bootClock() func() int64 {
	base := time.Now()
	boot := port.BootNanos()
	return func() int64 {
		since := time.Since(base)
		if since >= time.Second {
			base, since = time.Now(), 0
			boot = port.BootNanos()
		}
		return boot + int64(since)
	}
}

// serve runs the loops until the context ends, or one of them fails.
func (n *node) serve(ctx context.Context, beganNanos int64) error {
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(n.loops)+2))
	loosenTimers()
	n.startClimber()
	if err := dropPrivileges(n.climber != nil); err != nil {
		n.log.Warn("keeping privileges that are not needed any more", "error", err)
	}
	debug.SetGCPercent(gcPercent)
	debug.FreeOSMemory()

	var stop dataplane.Stop
	failed := make(chan error, len(n.loops))
	var running sync.WaitGroup
	for i, loop := range n.loops {
		running.Go(func() {
			runtime.LockOSThread() // the thread is the shard's, and ends with it
			if err := dropOwnPrivileges(); err != nil {
				n.log.Warn("a shard's thread keeps privileges", "error", err)
			}
			if err := loop.Run(&stop, n.cpus[i], bootClock()); err != nil {
				failed <- err
			}
		})
	}
	err := n.awaitLoops(ctx, failed)
	if err == nil {
		err = n.announce(beganNanos)
	}
	if err == nil {
		err = n.housekeep(ctx, failed)
	}
	n.drain(&stop, &running)
	return err
}

// awaitLoops returns when every shard has beaten: from then on the watchdog may
// judge them.
func (n *node) awaitLoops(ctx context.Context, failed <-chan error) error {
	for _, loop := range n.loops {
		select {
		case <-loop.Started():
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// announce says on the board, and to systemd, that the node serves.
func (n *node) announce(beganNanos int64) error {
	err := n.publishInfo()
	n.board.Node().SetPhase(board.PhaseServing)
	n.log.Info("serving", "listen", n.cfg.Listen, "port", n.cfg.DataPort, "shards", len(n.loops),
		"after", time.Duration(port.BootNanos()-beganNanos))
	_, notifyErr := daemon.SdNotify(false, daemon.SdNotifyReady)
	return errors.Join(err, notifyErr)
}

// info describes the node.
func (n *node) info() board.NodeInfo {
	info := board.NodeInfo{
		NodeID: n.cfg.NodeID, BootID: kernelBootID(), MemoryID: n.bootID(), ConfigHash: n.cfg.Hash(), Listen: n.cfg.Listen.String(),
		BasePort: n.cfg.DataPort, Policy: n.cfg.Policy, MaxValue: int(n.cfg.MaxValue), Version: version,
	}
	for i := range n.loops {
		info.Shards = append(info.Shards, board.ShardInfo{
			Rung: n.datapath.rung.String(), WhyNot: n.datapath.whyNot, Interface: n.interfaceName(), Queue: i, CPU: n.cpus[i],
			Port: n.cfg.DataPort + uint16(i), Recovery: describe(&n.stores[i].recovery), Memory: n.stores[i].bytes,
		})
	}
	return info
}

func (n *node) interfaceName() string {
	if n.datapath.rung == port.RungUDP {
		return ""
	}
	return n.cfg.Interface
}

// housekeep does what the shards' threads must not: whatever allocates or takes
// its time. It returns when the node has to end.
func (n *node) housekeep(ctx context.Context, failed <-chan error) error {
	done := make(chan struct{})
	defer close(done)
	go n.rings.Follow(done)
	bell, err := n.openDoorbell()
	if err != nil {
		return err
	}
	defer bell.Close()
	go n.answerDoorbell(bell)
	if life, err := openLifeline(netip.AddrPortFrom(n.cfg.Listen, n.cfg.DataPort)); err != nil {
		n.log.Warn("without a lifeline", "error", err)
	} else {
		defer life.close()
	}
	if n.climber != nil {
		go n.followLinks(done)
	}
	slow := time.NewTicker(slowInterval)
	defer slow.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-n.rungs.events:
			n.checkRung(time.Now())
		case now := <-slow.C:
			n.checkRung(now)
			n.publishMemory()
			n.publishVerdicts()
			_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog) // nobody else to tell
		}
	}
}

// publishMemory puts the process's memory by purpose on the board.
func (n *node) publishMemory() {
	var lines []board.Purpose
	var used int64
	for _, row := range alloc.Usage() {
		lines = append(lines, board.Purpose{Name: row.Purpose.String(), Bytes: uint64(row.Bytes)})
		used += row.Bytes
	}
	account := n.board.ProcessMemory()
	account.SetTotals(int64(n.cfg.Memory), used)
	account.SetPurposes(lines, nil)
}

// drain lets the loops answer what they have, and waits for them.
func (n *node) drain(stop *dataplane.Stop, running *sync.WaitGroup) {
	n.board.Node().SetPhase(board.PhaseDraining)
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	stop.Set()
	for _, loop := range n.loops {
		loop.Wake()
	}
	running.Wait()
}

// close closes what is open: ports before memory, the board last.
func (n *node) close() error {
	var errs []error
	for _, loop := range n.loops {
		errs = append(errs, loop.Close())
	}
	if n.datapath != nil {
		for _, p := range n.datapath.ports[min(len(n.loops), len(n.datapath.ports)):] {
			errs = append(errs, p.Close())
		}
		if n.datapath.steer != nil {
			errs = append(errs, n.datapath.steer.Close())
		}
	}
	for i := range n.stores {
		if s := n.stores[i].shard; s != nil {
			errs = append(errs, s.Close())
		}
	}
	if n.board != nil {
		n.board.Node().SetPhase(board.PhaseStopped)
		errs = append(errs, n.board.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close()) // which unlocks it
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("end the data plane: %w", err)
	}
	return nil
}

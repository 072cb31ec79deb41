package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"gannet/bpf"
	"gannet/config"
	"gannet/dataplane/port"
	"gannet/dataplane/xsk"
)

// Why an XDP rung was not even tried.
var (
	errNoInterface = errors.New("xdp: no network interface is configured (set interface to the name of one)")
	errLoopback    = errors.New("xdp: the loopback interface has no native XDP, and its generic mode is slower than kernel sockets")
)

// queuesError says that the interface's receive queues and the shards do not match:
// what arrived on a queue without a shard would be lost.
type queuesError struct {
	name           string
	queues, shards int
}

func (e *queuesError) Error() string {
	return fmt.Sprintf("xdp: %s has %d receive queues for %d shards: run `ethtool -L %s combined %d`, or set shards to %d",
		e.name, e.queues, e.shards, e.name, e.shards, e.queues)
}

// openXDP opens an AF_XDP socket for each shard on the best rung the interface
// has. Loopback is used only when it was asked for.
func (n *node) openXDP() (*datapath, error) {
	switch {
	case n.cfg.Interface == "" && n.cfg.Listen.IsLoopback():
		return nil, errLoopback
	case n.cfg.Interface == "":
		return nil, errNoInterface
	case n.cfg.Interface == "lo" && n.cfg.Datapath == config.DatapathAuto:
		return nil, errLoopback
	}
	report, err := xsk.Probe(n.cfg.Interface)
	if err != nil {
		return nil, err
	}
	if report.Queues != len(n.cpus) {
		return nil, &queuesError{n.cfg.Interface, report.Queues, len(n.cpus)}
	}
	ladder, err := n.climb()
	if err != nil {
		return nil, err
	}
	return datapathOf(ladder), nil
}

// headerRoomBytes is what slots keep free in front of large values: nothing where the
// interface's driver has no zero-copy, and never will with this memory.
func (n *node) headerRoomBytes() int {
	if n.cfg.Datapath == config.DatapathUDP || n.cfg.Interface == "" {
		return 0
	}
	report, err := xsk.Probe(n.cfg.Interface)
	if err != nil || !report.Features.ZeroCopy {
		return 0
	}
	return port.HeaderRoomBytes
}

// releaseWait is how long a killed predecessor may still hold the interface.
const releaseWait = time.Second

func (n *node) climb() (ladder *xsk.Ladder, err error) {
	for began := time.Now(); ; {
		ladder, err = xsk.OpenLadder(n.ladderOptions())
		if err == nil || !errors.Is(err, unix.EBUSY) || time.Since(began) > releaseWait {
			return ladder, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (n *node) ladderOptions() xsk.LadderOptions {
	return xsk.LadderOptions{
		Interface: n.cfg.Interface,
		Queues:    len(n.cpus),
		Rungs:     n.allowedRungs(),
		Steer: bpf.SteerConfig{
			PortBase: n.cfg.DataPort, Shards: len(n.cpus), StaleAfter: n.cfg.DeadMan, Allow: n.cfg.Allow,
			Rate: bpf.Rate{PacketsPerSecond: n.cfg.SourceRate, Burst: n.cfg.SourceBurst},
			Hot:  n.hotConfig(),
		},
		Port: xsk.PortOptions{Options: xsk.Options{Frames: n.cfg.Frames, Huge: hugeOf[n.cfg.Hugepages]}},
		Customize: func(queue int, o *xsk.PortOptions) {
			o.NUMANode = numaNode(n.cpus[queue])
			if o.Rung == port.RungXDPZeroCopy {
				o.Slabs = &xsk.Slabs{Path: n.slabPath(queue), Bytes: n.stores[queue].slabs, Huge: n.stores[queue].huge}
			}
		},
	}
}

// allowedRungs leaves zero-copy out when the kernel found descriptors invalid there.
func (n *node) allowedRungs() []port.Rung {
	if n.rungs.distrust {
		return []port.Rung{port.RungXDPCopy, port.RungXDPGeneric}
	}
	return nil // all
}

// datapathOf tells what was taken, and why nothing better was.
func datapathOf(l *xsk.Ladder) *datapath {
	d := &datapath{rung: l.Rung, steer: l.Program.(*bpf.Steer)}
	for _, p := range l.Ports {
		d.ports = append(d.ports, p)
	}
	for _, step := range l.Steps {
		if step.Err != nil || step.Note != "" {
			d.whyNot = append(d.whyNot, step.String())
			d.refusal = errors.Join(d.refusal, step.Err)
		}
	}
	return d
}

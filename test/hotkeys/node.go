package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"gannet/board"
	"gannet/bpf"
	"gannet/dataplane"
	"gannet/dataplane/port"
	"gannet/dataplane/xsk"
	"gannet/security"
	"gannet/shard"
	"gannet/test/lab"
)

// The link, besides what package lab gives it:
//
//	server namespace                     client namespace
//	gnt0  10.77.0.1  fd77::1  ── veth ── gnt1  10.77.0.2  fd77::2
const (
	serverAddr6 = "fd77::1"
	clientAddr6 = "fd77::2"
	dataPort    = 9800
	serverCPU   = 0
	clientCPU   = 1
)

// node is one shard on an AF_XDP socket, with its XDP program, in this process.
type node struct {
	lab   *lab.Lab
	napi  lab.NAPI
	pass  link.Link // the program at the client's end
	dir   string
	board *board.Board
	steer *bpf.Steer
	loop  *dataplane.Loop
	stop  dataplane.Stop
	ran   chan error
	once  sync.Once
}

type nodeOptions struct {
	hot       bool // have the stage
	passNanos int64
	spinNanos int64
	rungs     []port.Rung // nil = the best
}

// hotTable is what cmd/gannet-dataplane has, too.
type hotTable struct{ *bpf.HotTable }

func (t hotTable) Publish(item *shard.Published) (int, bool) {
	return t.HotTable.Publish((*bpf.HotItem)(item))
}

func startNode(opt nodeOptions) (_ *node, err error) {
	n := &node{ran: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.lab, err = lab.New(lab.Config{}); err != nil {
		return nil, err
	}
	if err := n.addIPv6(); err != nil {
		return nil, err
	}
	if n.napi, err = n.lab.PinNAPI(serverCPU, clientCPU); err != nil {
		return nil, err
	}
	if err := n.lab.Client.Do(n.passAll); err != nil {
		return nil, err
	}
	if n.dir, err = os.MkdirTemp("", "gannet-hotkeys-"); err != nil {
		return nil, fmt.Errorf("hotkeys: %w", err)
	}
	if err := n.lab.Server.Do(func() error { return n.open(opt) }); err != nil {
		return nil, err
	}
	go func() { n.ran <- n.loop.Run(&n.stop, serverCPU, port.BootNanos) }()
	<-n.loop.Started()
	return n, nil
}

func (n *node) addIPv6() error {
	for _, end := range []struct {
		ns           lab.NS
		device, addr string
	}{{n.lab.Server, lab.ServerDevice, serverAddr6}, {n.lab.Client, lab.ClientDevice, clientAddr6}} {
		err := end.ns.Do(func() error {
			device, err := netlink.LinkByName(end.device)
			if err != nil {
				return err
			}
			addr, err := netlink.ParseAddr(end.addr + "/64")
			if err != nil {
				return err
			}
			addr.Flags = ifaNoDAD
			return netlink.AddrAdd(device, addr)
		})
		if err != nil {
			return fmt.Errorf("hotkeys: IPv6 on %s: %w", end.device, err)
		}
	}
	return nil
}

// passAll gives the client's end an XDP program: without one, veth wakes nobody for
// what the server's end sends by XDP_TX, and it lies there until something else
// arrives.
func (n *node) passAll() error {
	device, err := netlink.LinkByName(lab.ClientDevice)
	if err != nil {
		return fmt.Errorf("hotkeys: %w", err)
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, int32(bpf.VerdictPass)), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("hotkeys: load a program that passes: %w", err)
	}
	defer program.Close() // the link holds it
	n.pass, err = link.AttachXDP(link.XDPOptions{Program: program, Interface: device.Attrs().Index, Flags: link.XDPDriverMode})
	if err != nil {
		return fmt.Errorf("hotkeys: attach it to %s: %w", lab.ClientDevice, err)
	}
	return nil
}

const ifaNoDAD = 0x02 // IFA_F_NODAD: the address is good at once

// open puts a node together as cmd/gannet-dataplane does.
func (n *node) open(opt nodeOptions) (err error) {
	if n.board, err = board.Create(filepath.Join(n.dir, "board"), board.Spec{Shards: 1}); err != nil {
		return err
	}
	n.board.Fence().Set(1 << 62)
	log := dataplane.NewLog(n.board, 0)
	store, _, err := shard.Open(shard.Config{MemoryBytes: 64 << 20, Policy: "default", NUMANode: -1, Log: log}, port.BootNanos())
	if err != nil {
		return err
	}
	steer := bpf.SteerConfig{PortBase: dataPort, Shards: 1, StaleAfter: 2 * time.Second}
	if opt.hot {
		steer.Hot = &bpf.HotConfig{CookieSecret: secret, CookiePeriod: cookiePeriod}
	}
	ladder, err := xsk.OpenLadder(xsk.LadderOptions{
		Interface: lab.ServerDevice, Queues: 1, Steer: steer, Rungs: opt.rungs,
		Port: xsk.PortOptions{Options: xsk.Options{NUMANode: -1}},
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	n.steer = ladder.Program.(*bpf.Steer)
	cfg := dataplane.Config{
		Shards: 1, Port: ladder.Ports[0], Store: store, Board: n.board, Log: log,
		Cookies: security.NewCookies(secret, int64(cookiePeriod)), BasePort: dataPort, Policy: "default", MemoryBytes: 64 << 20,
		SpinNanos: opt.spinNanos, HotNanos: opt.passNanos, Clock: port.BootNanos,
		Stamp: func(nowNanos int64) { n.steer.Stamp(0, nowNanos) },
	}
	if opt.hot {
		n.steer.SetTrusted(true)
		cfg.Hot = hotTable{n.steer.Hot(0)}
	}
	n.loop, err = dataplane.New(cfg)
	return err
}

// halt ends the loop, and with it its heartbeats.
func (n *node) halt() (err error) {
	n.once.Do(func() {
		if n.loop != nil {
			n.stop.Set()
			err = <-n.ran
		}
	})
	return err
}

func (n *node) close() error {
	errs := []error{n.halt()}
	if n.loop != nil {
		errs = append(errs, n.loop.Close())
	}
	if n.steer != nil {
		errs = append(errs, n.steer.Close())
	}
	if n.board != nil {
		errs = append(errs, n.board.Close())
	}
	if n.pass != nil {
		errs = append(errs, n.pass.Close())
	}
	if n.lab != nil {
		errs = append(errs, n.lab.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(n.dir))...)
}

func (n *node) counter(id board.Counter) uint64 { return n.board.Counters(0).Get(id) }

func (n *node) answered() uint64 { return n.steer.Counters()[bpf.Answered] }

var (
	serverIPv4 = netip.AddrPortFrom(netip.MustParseAddr(lab.ServerAddr), dataPort)
	serverIPv6 = netip.AddrPortFrom(netip.MustParseAddr(serverAddr6), dataPort)
)

package main

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"gannet/alloc"
	"gannet/board"
	"gannet/dataplane/port"
	"gannet/dataplane/xsk"
	"gannet/test/lab"
	"gannet/wire"
)

// awaitRung waits until the node says that it serves by a rung.
func (p *process) awaitRung(want port.Rung, why string) {
	p.t.Helper()
	var got string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		info, ok := p.board.Node().Info()
		if !ok {
			continue
		}
		if got = info.Shards[0].Rung; got == want.String() {
			return
		}
	}
	p.t.Fatalf("%s: the rung is %s, want %s", why, got, want)
}

// awaitPortChange waits until the ports were opened anew.
func (p *process) awaitPortChange(before uint64, why string) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); p.board.Counters(0).Get(board.CountPortChanges) == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s: the ports were not opened anew", why)
		}
	}
}

// keeper is a client that knows what it has stored.
type keeper struct {
	t     *testing.T
	conns []*peerConn
}

const keptKeys = 60

func (k *keeper) store() {
	k.t.Helper()
	for i := range keptKeys {
		c, key := k.conns[i%len(k.conns)], fmt.Sprint("key-", i)
		if got := c.ask(c.shardOf(key), wire.Op{Code: wire.Put, Key: []byte(key), Value: []byte(key)}); got.Status != wire.StatusOK {
			k.t.Fatalf("PUT %s: %v", key, got.Status)
		}
	}
}

func (k *keeper) readAll(when string) {
	k.t.Helper()
	for i := range keptKeys {
		c, key := k.conns[(i+1)%len(k.conns)], fmt.Sprint("key-", i)
		if got := c.ask(c.shardOf(key), wire.Op{Code: wire.Get, Key: []byte(key)}); string(got.Value) != key {
			k.t.Fatalf("%s: GET %s: %v %q", when, key, got.Status, got.Value)
		}
	}
}

func inServer(t *testing.T, l *lab.Lab, do func() error) {
	t.Helper()
	if err := l.Server.Do(do); err != nil {
		t.Fatal(err)
	}
}

func setLink(t *testing.T, l *lab.Lab, set func(netlink.Link) error) {
	t.Helper()
	inServer(t, l, func() error {
		link, err := netlink.LinkByName(lab.ServerDevice)
		if err != nil {
			return err
		}
		return set(link)
	})
}

// TestRungFollowsTheInterface: the link goes down and up, its MTU changes, a foreign
// socket takes a queue and lets it go; the node steps down and climbs again by itself,
// in one process, and keeps every item.
func TestRungFollowsTheInterface(t *testing.T) {
	l, dir := cable(t), dataDir(t)
	p := startXDP(t, l, dir)
	k := &keeper{t, connections(t, l, p, 4)}
	p.awaitRung(port.RungXDPCopy, "at first")
	k.store()

	setLink(t, l, netlink.LinkSetDown)
	p.awaitRung(port.RungUDP, "the link is down")
	setLink(t, l, netlink.LinkSetUp)
	p.awaitRung(port.RungXDPCopy, "the link is up again")
	k.readAll("after the link was down")

	changes := p.board.Counters(0).Get(board.CountPortChanges)
	setLink(t, l, func(link netlink.Link) error { return netlink.LinkSetMTU(link, 1400) })
	p.awaitPortChange(changes, "another MTU")
	p.awaitRung(port.RungXDPCopy, "another MTU")
	k.readAll("after the MTU changed")

	setLink(t, l, netlink.LinkSetDown)
	p.awaitRung(port.RungUDP, "the link is down again")
	setLink(t, l, netlink.LinkSetUp)
	var foreign *xsk.Socket
	inServer(t, l, func() (err error) {
		for range 200 { // until the queue is ours or the node's
			foreign, err = xsk.OpenSocket(xsk.Options{Interface: lab.ServerDevice, Queue: 0, Frames: 64, NUMANode: alloc.NoNUMA, BindWait: -1})
			if err == nil {
				return nil
			}
			time.Sleep(time.Millisecond)
		}
		return nil // the node was faster: nothing to show of that
	})
	if foreign != nil {
		p.awaitRung(port.RungUDP, "a queue is taken")
		k.readAll("while a queue is taken")
		if err := foreign.Close(); err != nil {
			t.Error(err)
		}
	}
	p.awaitRung(port.RungXDPCopy, "the queue is free")
	k.readAll("after the queue was free")
	for thread, caps := range p.statusLines("CapEff") {
		if caps != "0000000000000000" {
			t.Errorf("thread %s has capabilities %s", thread, caps)
		}
	}
	if caps := p.statusLines("CapPrm")[fmt.Sprint(p.board.Heartbeat(0).Thread())]; caps != "0000000000000000" {
		t.Errorf("the shard's thread may raise %s", caps)
	}
	p.terminate()
}

// TestRungFollowsTheAddress: the XDP program leaves frames to other Ethernet addresses
// to the kernel; when the interface gets another, those to that one are answered.
func TestRungFollowsTheAddress(t *testing.T) {
	l, dir := cable(t), dataDir(t)
	p := startXDP(t, l, dir, "--datapath=xdp")
	k := &keeper{t, connections(t, l, p, 4)}
	k.store()
	changes := p.board.Counters(0).Get(board.CountPortChanges)
	address := net.HardwareAddr{2, 0, 0, 0, 0x47, 0x6e}
	setLink(t, l, func(link netlink.Link) error { return netlink.LinkSetHardwareAddr(link, address) })
	p.awaitPortChange(changes, "another address")
	if err := l.Client.Do(func() error { return teach(p.addr.Addr(), address) }); err != nil {
		t.Fatal(err)
	}
	k.readAll("by the new address")
	p.awaitRung(port.RungXDPCopy, "another address")
	p.terminate()
}

// teach tells the client's end the new address of its neighbour, as its cache would
// learn it in some seconds.
func teach(neighbor netip.Addr, address net.HardwareAddr) error {
	link, err := netlink.LinkByName(lab.ClientDevice)
	if err != nil {
		return err
	}
	return netlink.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: neighbor.AsSlice(), HardwareAddr: address,
	})
}

// TestRungFollowsTheQueues: `ethtool -L` makes more queues than there are shards, and
// takes them away again. (The kernel lets nobody take a queue that has a socket.)
func TestRungFollowsTheQueues(t *testing.T) {
	if _, err := exec.LookPath("ethtool"); err != nil {
		t.Skip("missing: ethtool")
	}
	l, dir := cable(t), dataDir(t)
	queues := func(n int) {
		t.Helper()
		client := exec.Command("ethtool", "-L", lab.ClientDevice, "rx", fmt.Sprint(n), "tx", fmt.Sprint(n))
		server := exec.Command("ethtool", "-L", lab.ServerDevice, "rx", fmt.Sprint(n), "tx", fmt.Sprint(n))
		first, second := client, server
		inFirst, inSecond := l.Client, l.Server
		if n > 1 { // a receiver with XDP must have as many queues as its peer sends by
			first, second, inFirst, inSecond = server, client, l.Server, l.Client
		}
		for _, step := range []struct {
			ns  lab.NS
			cmd *exec.Cmd
		}{{inFirst, first}, {inSecond, second}} {
			if err := step.ns.Do(func() error {
				out, err := step.cmd.CombinedOutput()
				if err != nil {
					return fmt.Errorf("%v: %w: %s", step.cmd.Args, err, out)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	queues(1)
	p := startXDP(t, l, dir, "--shards=1")
	k := &keeper{t, connections(t, l, p, 4)}
	p.awaitRung(port.RungXDPCopy, "at first")
	k.store()
	queues(2)
	p.awaitRung(port.RungUDP, "two queues for one shard")
	k.readAll("with two queues")
	queues(1)
	p.awaitRung(port.RungXDPCopy, "one queue again")
	k.readAll("with one queue again")
	p.terminate()
}

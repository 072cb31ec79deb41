package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/test/lab"
	"gannet/wire"
)

// cable makes two namespaces joined by a veth pair with two queues.
func cable(t *testing.T) *lab.Lab {
	t.Helper()
	l, err := lab.New(lab.Config{Queues: 2})
	if errors.Is(err, lab.ErrNotRoot) {
		t.Skip("missing: root, for network namespaces and XDP")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func startXDP(t *testing.T, l *lab.Lab, dir string, flags ...string) *process {
	t.Helper()
	p := startBy(t, func(cmd *exec.Cmd) error { return l.Server.Start(cmd) }, dir, wire.BasePort,
		append([]string{"--shards=2", "--listen=" + lab.ServerAddr, "--interface=" + lab.ServerDevice}, flags...)...)
	p.addr = netip.AddrPortFrom(netip.MustParseAddr(lab.ServerAddr), wire.BasePort)
	return p
}

// connections dials shard 0's port from several source ports, so that both queues
// are met.
func connections(t *testing.T, l *lab.Lab, p *process, count int) (list []*peerConn) {
	t.Helper()
	err := l.Client.Do(func() error {
		for range count {
			list = append(list, dialFrom(t, p.addr))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestXDPWithTwoQueues(t *testing.T) {
	l, dir := cable(t), dataDir(t)
	p := startXDP(t, l, dir, "--datapath=xdp")
	info, _ := p.board.Node().Info()
	if len(info.Shards) != 2 || info.Shards[0].Rung != port.RungXDPCopy.String() || len(info.Shards[0].WhyNot) == 0 {
		t.Fatalf("shards %+v", info.Shards)
	}
	conns := connections(t, l, p, 8)
	for i := range 200 {
		c, key := conns[i%len(conns)], fmt.Sprint("key-", i)
		if got := c.ask(c.shardOf(key), wire.Op{Code: wire.Put, Key: []byte(key), Value: []byte(key)}); got.Status != wire.StatusOK {
			t.Fatalf("PUT %s: %v", key, got.Status)
		}
	}
	readAll := func(conns []*peerConn) {
		t.Helper()
		for i := range 200 {
			c, key := conns[(i+1)%len(conns)], fmt.Sprint("key-", i)
			if got := c.ask(c.shardOf(key), wire.Op{Code: wire.Get, Key: []byte(key)}); string(got.Value) != key {
				t.Fatalf("GET %s: %v %q", key, got.Status, got.Value)
			}
		}
	}
	readAll(conns)
	for _, caps := range p.statusLines("CapEff") {
		if strings.Trim(caps, "0") != "" {
			t.Fatalf("capabilities %s are left", caps)
		}
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p = startXDP(t, l, dir, "--datapath=xdp")
	readAll(conns)
	p.terminate()
	moved := uint64(0)
	for shard := range 2 {
		moved += p.board.Counters(shard).Get(board.CountHandedOver)
	}
	if moved == 0 {
		t.Error("no request was handed over: the test proved nothing about it")
	}
}

func TestQueuesAndShardsMustMatch(t *testing.T) {
	l, dir := cable(t), dataDir(t)
	p := startXDP(t, l, dir, "--shards=1")
	info, _ := p.board.Node().Info()
	if info.Shards[0].Rung != port.RungUDP.String() || !strings.Contains(info.Shards[0].WhyNot[0], "ethtool -L") {
		t.Errorf("shards %+v", info.Shards)
	}
	p.terminate()
	cmd := exec.Command(program, "--data-dir="+dir, "--memory=64MiB", "--datapath=xdp", "--shards=1",
		"--listen="+lab.ServerAddr, "--interface="+lab.ServerDevice)
	var out strings.Builder
	cmd.Stderr = &out
	if err := l.Server.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "ethtool -L") {
		t.Errorf("datapath xdp with one shard for two queues: %v\n%s", err, out.String())
	}
}

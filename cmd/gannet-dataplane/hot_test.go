package main

import (
	"fmt"
	"net"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"gannet/board"
	"gannet/bpf"
	"gannet/test/lab"
	"gannet/wire"
)

// passAtTheClient gives the client's end a program that lets everything pass: veth
// wakes nobody for replies by XDP_TX without one.
func passAtTheClient(t *testing.T, l *lab.Lab) {
	t.Helper()
	err := l.Client.Do(func() error {
		device, err := net.InterfaceByName(lab.ClientDevice)
		if err != nil {
			return err
		}
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, int32(bpf.VerdictPass)), asm.Return()},
		})
		if err != nil {
			return err
		}
		defer program.Close()
		attached, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: device.Index, Flags: link.XDPDriverMode})
		if err == nil {
			t.Cleanup(func() { _ = attached.Close() })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *process) sum(id board.Counter) (sum uint64) {
	for shard := range 2 {
		sum += p.board.Counters(shard).Get(id)
	}
	return sum
}

// paddedGet asks for a key by a request as long as its reply.
func paddedGet(key, value string) wire.Op {
	up := func(n int) int { return (n + wire.AlignBytes - 1) &^ (wire.AlignBytes - 1) }
	padding := max(0, up(wire.MinReplyBytes+len(value))-wire.MinRequestBytes-up(len(key)))
	return wire.Op{Code: wire.Get, Key: []byte(key), Value: make([]byte, padding)}
}

// heat asks for a key until the kernel answers.
func (c *peerConn) heat(p *process, key, value string) {
	c.t.Helper()
	before := p.sum(board.CountKernelHits)
	for range 200_000 {
		if got := c.ask(c.shardOf(key), paddedGet(key, value)); string(got.Value) != value {
			c.t.Fatalf("GET %s: %v %q", key, got.Status, got.Value)
		}
		if p.sum(board.CountKernelHits) > before {
			return
		}
	}
	c.t.Fatalf("%s never became hot; published %d", key, p.sum(board.CountKernelPublished))
}

// A node's hottest keys are answered in the kernel, by a process that has dropped
// its privileges. The program goes with the process, and a warm restart starts
// without hot keys.
func TestHotKeysOverARestart(t *testing.T) {
	l, dir := cable(t), dataDir(t)
	passAtTheClient(t, l)
	p := startXDP(t, l, dir, "--datapath=xdp", "--hot-keys=on")
	c := connections(t, l, p, 1)[0]
	put := func(key, value string) {
		t.Helper()
		if got := c.ask(c.shardOf(key), wire.Op{Code: wire.Put, Key: []byte(key), Value: []byte(value)}); got.Status != wire.StatusOK {
			t.Fatalf("PUT %s: %v", key, got.Status)
		}
	}
	keys := []string{"hot", "hotter", "hottest"}
	for i, key := range keys {
		put(key, fmt.Sprint("value ", i))
		c.heat(p, key, fmt.Sprint("value ", i))
	}
	for i, key := range keys {
		put(key, fmt.Sprint("another value ", i))
		if got := c.ask(c.shardOf(key), paddedGet(key, "another value 0")); string(got.Value) != fmt.Sprint("another value ", i) {
			t.Fatalf("%s after a PUT: %v %q", key, got.Status, got.Value)
		}
	}
	c.heat(p, "hot", "another value 0")
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p = startXDP(t, l, dir, "--datapath=xdp", "--hot-keys=on")
	if got := p.sum(board.CountKernelPublished) - p.sum(board.CountKernelWithdrawn); got != 0 {
		t.Fatalf("%d keys are published after a restart", got)
	}
	put("hot", "after the restart")
	c.heat(p, "hot", "after the restart")
	p.terminate()
	if published, withdrawn := p.sum(board.CountKernelPublished), p.sum(board.CountKernelWithdrawn); published == 0 || published != withdrawn {
		t.Errorf("%d published, %d withdrawn when the node has ended", published, withdrawn)
	}
}

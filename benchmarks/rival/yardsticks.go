package rival

import (
	"context"
	"path/filepath"
	"runtime"

	"gannet/loadgen/bench"
	"gannet/test/lab"
)

// Verbs by which this program serves in place of the generator. The command gives
// them to ServeGoMsg and ServeReflector.
const (
	VerbGoMsg   = "serve-gomsg"
	VerbReflect = "serve-reflector"
)

// ready is what our own servers say when they answer.
const ready = "ready\n"

func (h Host) startGoMsg(ctx context.Context) (*Running, error) {
	p, err := h.start(ready, h.Self, VerbGoMsg, Address(bench.Gannet).String())
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx); err != nil {
		return nil, err
	}
	return p.running(runtime.Version(), "recvmmsg and sendmmsg of 64, one goroutine, Go map (benchmarks/gomsg)"), nil
}

func (h Host) startEcho(ctx context.Context) (*Running, error) {
	args := []string{lab.ServerDevice, filepath.Join(h.Native, "echo.bpf.o")}
	p, err := h.start(ready, filepath.Join(h.Native, "echo"), args...)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx); err != nil {
		return nil, err
	}
	return p.running(line("gcc", "--version"), commandLine("echo", args)+
		"\nAF_XDP copy mode, one socket, need_wakeup, poll(), batches of 64 (benchmarks/rival/native/echo.c)"), nil
}

// startReflector has the program attached by a process that then sleeps: all work is
// done by the kernel thread that polls the link.
func (h Host) startReflector(ctx context.Context) (*Running, error) {
	p, err := h.start(ready, h.Self, VerbReflect, lab.ServerDevice, filepath.Join(h.Native, "reflect.bpf.o"))
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx); err != nil {
		return nil, err
	}
	r := p.running(line("clang-14", "--version"), "native XDP, XDP_TX of every IPv4 UDP frame (benchmarks/rival/native/reflect.bpf.c)")
	r.PID = 0
	return r, nil
}

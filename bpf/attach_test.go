package bpf

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// waitFor yields until a counter moved to want.
func (b *bench) waitFor(reason Reason, want uint64) {
	b.tb.Helper()
	deadline := time.Now().Add(time.Minute)
	for b.Counters()[reason] < want { // more where IPv6 of the namespace speaks up by itself
		if time.Now().After(deadline) {
			b.tb.Fatalf("%v: %d packets, want %d; all: %v", reason, b.Counters()[reason], want, b.Counters())
		}
		runtime.Gosched()
	}
}

func (b *bench) attach(ifindex int, mode Mode) {
	b.tb.Helper()
	skipUnsupported(b.tb, b.Attach(ifindex, mode))
}

// every frame of the table goes over a real link, and is counted as in the
// test run. Without a bound socket what is redirected is lost in the slot.
func TestAttachedProgramSteers(t *testing.T) {
	for _, c := range []struct {
		name string
		mode Mode
	}{{"native", Native}, {"generic", Generic}} {
		t.Run(c.name, func(t *testing.T) {
			inNamespace(t)
			near, far := vethPair(t, 1, 1500)
			b := load(t, testConfig())
			b.attach(far.Attrs().Index, c.mode)
			out := openWire(t, near.Attrs().Index)
			want := b.Counters()
			for _, f := range frameCases(t) {
				if f.want == PassTruncated {
					continue // veth and the stack check the shortest headers first
				}
				out.send(f.frame)
				want[f.want]++
				b.waitFor(f.want, want[f.want])
			}
			for reason, count := range b.Counters() {
				// IPv6 of the namespace speaks up by itself.
				if count != want[reason] && reason != PassMulticast && reason != PassIPv6Extension {
					t.Errorf("%v: %d, want %d", reason, count, want[reason])
				}
			}
		})
	}
}

// The queue's number is the slot: only queue 1 has a socket.
func TestQueuesHaveTheirOwnSlots(t *testing.T) {
	inNamespace(t)
	_, far := vethPair(t, 2, 1500)
	cfg := testConfig()
	cfg.Queues = 2
	b := loadIdle(t, cfg)
	if err := b.RegisterSocket(1, xdpSocket(t)); err != nil {
		t.Fatal(err)
	}
	b.Stamp(0, bootNanos(t))
	b.Stamp(1, bootNanos(t))
	b.attach(far.Attrs().Index, Native)
	on := func(queue int) *xdpContext {
		frame := packet{}.frame(t)
		return &xdpContext{DataEnd: uint32(len(frame)), IngressIfindex: uint32(far.Attrs().Index), RxQueue: uint32(queue)}
	}
	if verdict, _ := b.run(packet{}.frame(t), on(0)); verdict != xdpPass {
		t.Errorf("queue 0: verdict %d, want pass", verdict)
	}
	verdict, out := b.run(packet{}.frame(t), on(1))
	if verdict != xdpRedirect {
		t.Errorf("queue 1: verdict %d, want redirect", verdict)
	}
	if meta, ok := ReadMeta(out); !ok || meta.Queue != 1 {
		t.Errorf("metadata %+v %v, want queue 1", meta, ok)
	}
	b.Stamp(1, bootNanos(t)-int64(2*time.Hour)) // queue 0 stays fresh
	if verdict, _ := b.run(packet{}.frame(t), on(1)); verdict != xdpPass {
		t.Errorf("queue 1, stale: verdict %d, want pass", verdict)
	}
	if got := b.Counters(); got[PassNoSocket] != 1 || got[Redirected] != 1 || got[PassStale] != 1 {
		t.Errorf("counted %v", got)
	}
	if err := b.RegisterSocket(2, xdpSocket(t)); !errors.Is(err, ErrConfig) {
		t.Errorf("queue beyond: error %v", err)
	}
	if err := b.RegisterSocket(-1, xdpSocket(t)); !errors.Is(err, ErrConfig) {
		t.Errorf("negative queue: error %v", err)
	}
	if err := b.RegisterSocket(0, 0); err == nil {
		t.Error("registered something that is no AF_XDP socket")
	}
}

func TestLoopbackIsGenericOnly(t *testing.T) {
	inNamespace(t)
	b := loadIdle(t, testConfig())
	err := b.Attach(1, Native)
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "lo") {
		t.Fatalf("native on lo: %v, want an unsupported feature that names lo", err)
	}
	b.attach(1, Generic)
	if attachedProgram(t, 1) == 0 {
		t.Fatal("nothing attached to lo")
	}
}

func TestLargeMTUNeedsFrags(t *testing.T) {
	inNamespace(t)
	_, far := vethPair(t, 1, 9000)
	err := loadIdle(t, testConfig()).Attach(far.Attrs().Index, Native)
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "Frags") {
		t.Fatalf("MTU 9000 without frags: %v", err)
	}
	cfg := testConfig()
	cfg.Frags = true
	loadIdle(t, cfg).attach(far.Attrs().Index, Native)
}

func TestConflictNamesTheHolder(t *testing.T) {
	inNamespace(t)
	_, far := vethPair(t, 1, 1500)
	ifindex := far.Attrs().Index
	holder, late := loadIdle(t, testConfig()), loadIdle(t, testConfig())
	holder.attach(ifindex, Native)
	for _, mode := range []Mode{Native, Generic} {
		err := late.Attach(ifindex, mode)
		var conflict *ConflictError
		if !errors.Is(err, ErrConflict) || !errors.As(err, &conflict) {
			t.Fatalf("%v: %v, want a conflict", mode, err)
		}
		if conflict.ProgramID != attachedProgram(t, ifindex) || conflict.ProgramName != "steer_single" {
			t.Fatalf("holder is program %d %q", conflict.ProgramID, conflict.ProgramName)
		}
	}
	if err := holder.Attach(ifindex, Native); !errors.Is(err, ErrConfig) {
		t.Fatalf("attached twice: %v", err)
	}
	if err := holder.Detach(); err != nil {
		t.Fatal(err)
	}
	late.attach(ifindex, Native)
	if err := late.Close(); err != nil {
		t.Fatal(err)
	}
	if id := attachedProgram(t, ifindex); id != 0 {
		t.Fatalf("program %d attached after Close", id)
	}
}

func TestAttachToNothing(t *testing.T) {
	if err := loadIdle(t, testConfig()).Attach(1<<30, Native); err == nil {
		t.Fatal("attached to an interface that does not exist")
	}
}

// childEnv makes the test binary play a process that attaches and waits to be
// killed.
const childEnv = "GANNET_BPF_TEST_CHILD"

func TestDetachesWithItsProcess(t *testing.T) {
	if os.Getenv(childEnv) == "attach" {
		attachAndHang(t)
	}
	inNamespace(t)
	_, far := vethPair(t, 1, 1500)
	child := exec.Command(os.Args[0], "-test.run=^TestDetachesWithItsProcess$")
	child.Env = append(os.Environ(), childEnv+"=attach")
	output := &firstLine{line: make(chan struct{})}
	child.Stdout, child.Stderr = output, output
	if err := child.Start(); err != nil { // in this thread's namespace
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case <-output.line:
	case err := <-ended:
		t.Fatalf("child ended: %v\n%s", err, output.text.String())
	}
	if attachedProgram(t, far.Attrs().Index) == 0 {
		t.Fatal("the child attached nothing")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if id := attachedProgram(t, far.Attrs().Index); id != 0 {
		t.Fatalf("program %d survived its process", id)
	}
}

func attachAndHang(t *testing.T) {
	found, err := netlink.LinkByName("gnt-bpf-b")
	if err != nil {
		t.Fatal(err)
	}
	b := loadIdle(t, testConfig())
	if err := b.Attach(found.Attrs().Index, Native); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("attached\n")
	select {} // until killed
}

// firstLine tells when "attached" has been written.
type firstLine struct {
	text bytes.Buffer
	line chan struct{}
	seen bool
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.text.Write(p)
	if !f.seen && bytes.Contains(f.text.Bytes(), []byte("attached\n")) {
		f.seen = true
		close(f.line)
	}
	return len(p), nil
}

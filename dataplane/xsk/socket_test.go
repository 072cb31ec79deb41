package xsk

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/bpf"
	"gannet/dataplane/port"
)

// receiveOne waits for a datagram at p.
func receiveOne(t *testing.T, p *Port) port.Rx {
	t.Helper()
	rx := make([]port.Rx, 1)
	for deadline := time.Now().Add(time.Minute); p.Recv(rx) == 0; {
		if time.Now().After(deadline) {
			var d port.Drops
			p.Drops(&d)
			t.Fatalf("no datagram arrived; census %+v, drops %v", p.Census(), d)
		}
		if err := errors.Join(p.Flush(), p.Wait(5*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	return rx[0]
}

// echoOne carries one datagram to the port and back.
func echoOne(t *testing.T, p *Port, peer kernelPeer, payload []byte) {
	t.Helper()
	if err := peer.Send(payload); err != nil {
		t.Fatal(err)
	}
	rx := receiveOne(t, p)
	if p.Send([]port.Tx{{Frame: rx.Frame, Bytes: len(payload)}}) != 1 {
		t.Fatal("not taken")
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n, err := peer.Receive(buf, 10*time.Second)
	if err != nil || string(buf[:n]) != string(payload) {
		t.Fatalf("%d bytes came back: %v", n, err)
	}
}

const holderVariable = "GANNET_XSK_HOLDER"

// TestMain makes this binary the child of TestBindAfterKill when asked to: it then
// holds the queues until it is killed.
func TestMain(m *testing.M) {
	if os.Getenv(holderVariable) == "" {
		os.Exit(m.Run())
	}
	if _, err := OpenLadder(ladderOptions(port.RungXDPCopy)); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("holding\n")
	select {}
}

// TestBindAfterKill: a killed process leaves program and queues behind for a moment.
func TestBindAfterKill(t *testing.T) {
	net := newTopology(t, 2, 1500)
	for range 5 {
		child := exec.Command("/proc/self/exe")
		child.Env = append(os.Environ(), holderVariable+"=1")
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		in(t, net.server, func() (struct{}, error) { return struct{}{}, child.Start() })
		lines := bufio.NewScanner(out)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "holding") {
		}
		_, busy := tryIn(t, net.server, func() (*Socket, error) {
			o := smallOptions().Options
			o.Interface, o.BindWait = serverLink, -1
			return OpenSocket(o)
		})
		if !errors.Is(busy, ErrBusy) {
			t.Errorf("binding to a queue that is taken: %v", busy)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		l := in(t, net.server, func() (*Ladder, error) { return OpenLadder(ladderOptions(port.RungXDPCopy)) })
		peer := dialQueue(t, net.client, "10.77.0.1", l, 0)
		echoOne(t, l.Ports[0], peer, []byte("alive again"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReopen: closing frees the hardware queue, if only a moment later.
func TestReopen(t *testing.T) {
	net := newTopology(t, 1, 1500)
	for range 20 {
		l := in(t, net.server, func() (*Ladder, error) { return OpenLadder(ladderOptions(port.RungXDPCopy)) })
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	net := newTopology(t, 1, 1500)
	ext4 := &Slabs{Path: "/proc/self/exe", Bytes: make([]byte, 1<<20)}
	for name, c := range map[string]struct {
		change func(o *Options)
		match  string
	}{
		"no interface":    {func(o *Options) { o.Interface = "" }, "no interface"},
		"other interface": {func(o *Options) { o.Interface = "gnt-xsk-none" }, "gnt-xsk-none"},
		"no such queue":   {func(o *Options) { o.Queue = 7 }, "does the interface have that queue"},
		"frame size":      {func(o *Options) { o.FrameBytes = 3000 }, "2,048 or 4,096"},
		"slots":           {func(o *Options) { o.Slots = 100 }, "power of two"},
		"zero-copy":       {func(o *Options) { o.Bind = BindZeroCopy }, "not supported here"},
		"no slab file":    {func(o *Options) { o.Slabs = &Slabs{Path: "/nonexistent", Bytes: ext4.Bytes} }, "/nonexistent"},
		"few frames":      {func(o *Options) { o.Frames = 2 }, "frames"},
	} {
		_, err := tryIn(t, net.server, func() (*Socket, error) {
			o := smallOptions().Options
			o.Interface = serverLink
			c.change(&o)
			return OpenSocket(o)
		})
		if err == nil || !strings.Contains(err.Error(), c.match) {
			t.Errorf("%s: %v, want something about %q", name, err, c.match)
		}
	}
}

// TestWithoutPrivileges does everything that the data plane does, after dropping all
// capabilities of the thread.
func TestWithoutPrivileges(t *testing.T) {
	net := newTopology(t, 1, 1500)
	l := net.open(t, ladderOptions(port.RungXDPCopy))
	p := l.Ports[0]
	peer := dialQueue(t, net.client, "10.77.0.1", l, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
			return
		}
		if _, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW, 0); !errors.Is(err, unix.EPERM) {
			t.Errorf("the capabilities are still there: %v", err)
			return
		}
		for range 100 {
			if err := peer.Send(make([]byte, 200)); err != nil {
				t.Error(err)
				return
			}
			rx := receiveOne(t, p)
			p.Send([]port.Tx{{Frame: rx.Frame, Bytes: 200}})
			if err := errors.Join(p.Flush(), p.Wait(0)); err != nil {
				t.Error(err)
			}
			if _, err := peer.Receive(make([]byte, 2048), 10*time.Second); err != nil {
				t.Error(err)
				return
			}
		}
		if _, err := p.sock.Statistics(); err != nil {
			t.Error(err)
		}
	}()
	<-done
}

// TestDropReasons: what is not for us is dropped under its reason; no frame is lost.
func TestDropReasons(t *testing.T) {
	net := newTopology(t, 1, 1500)
	o := ladderOptions(port.RungXDPCopy)
	o.Steer.Shards = 4 // the test's program redirects four ports more
	l := net.open(t, o)
	p := l.Ports[0]
	r := newRawPeer(t, net, "10.77.0.1", "10.77.0.2", 0)
	send := func(change func(b []byte) []byte) {
		t.Helper()
		b, err := r.build(make([]byte, 100))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.sendRaw(change(b)); err != nil {
			t.Fatal(err)
		}
	}
	same := func(b []byte) []byte { return b }
	bad := []func([]byte) []byte{
		set(14, 0x46), set(21, 9), set(39, 3), set(17, 255),
		func(b []byte) []byte { b[37] += 4; return b }, // the fifth port
	}
	for _, change := range bad {
		send(change)
	}
	send(same)
	rx := receiveOne(t, p)
	p.Release(rx.Frame)
	var d port.Drops
	p.Drops(&d)
	if d[port.DropHeaders] != uint64(len(bad)) {
		t.Errorf("drops %v, want %d for their headers", d, len(bad))
	}
	if c := p.Census(); !c.Balanced() || c.Held != 0 {
		t.Errorf("census %+v", c)
	}
}

// TestKernelDropsAreCounted stops taking packets until the kernel has nowhere to put
// them.
func TestKernelDropsAreCounted(t *testing.T) {
	net := newTopology(t, 1, 1500)
	o := ladderOptions(port.RungXDPCopy)
	o.Port.Frames, o.Port.MaxBatch = 64, 8
	l := net.open(t, o)
	p := l.Ports[0]
	peer := dialQueue(t, net.client, "10.77.0.1", l, 0)
	const all = 500
	for range all {
		if err := peer.Send(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	var d port.Drops
	got := 0
	rx := make([]port.Rx, 8)
	for deadline := time.Now().Add(time.Minute); ; {
		for n := p.Recv(rx); n > 0; n = p.Recv(rx) {
			got += n
			for i := range n {
				p.Release(rx[i].Frame)
			}
		}
		d = port.Drops{}
		p.Drops(&d)
		if uint64(got)+d[port.DropKernelNoFill]+d[port.DropKernelRxFull] == all {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sent, %d arrived, drops %v", all, got, d)
		}
		_ = p.Wait(time.Millisecond)
	}
	if got == all {
		t.Error("nothing was dropped: the test says nothing")
	}
	before := d
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	d = port.Drops{}
	p.Drops(&d)
	if d != before {
		t.Errorf("after Close the drops are %v, they were %v", d, before)
	}
}

// TestLongRequests: packets of several frames arrive whole.
func TestLongRequests(t *testing.T) {
	net := newTopology(t, 1, 9000)
	l := net.open(t, ladderOptions(port.RungXDPCopy))
	p := l.Ports[0]
	if !p.Caps().MultiBufferRx {
		t.Fatal("an MTU of 9000 did not bring multi-buffer receive")
	}
	for _, server := range []string{"10.77.0.1", "fd77::1"} {
		peer := dialQueue(t, net.client, server, l, 0)
		for _, n := range []int{3800, 4096, 5000, 8192, 8952} {
			want := make([]byte, n)
			for i := range want {
				want[i] = byte(i * n >> 4)
			}
			if err := peer.Send(want); err != nil {
				t.Fatal(err)
			}
			rx := receiveOne(t, p)
			if string(rx.Payload) != string(want) {
				t.Fatalf("%d bytes arrived as %d", n, len(rx.Payload))
			}
			moved, ok := p.Import(p.Raw(rx.Frame), 3, 4)
			if !ok || string(moved.Payload) != string(want) {
				t.Fatalf("%d bytes did not survive Raw and Import", n)
			}
			p.Release(rx.Frame)
			copy(moved.Payload, "short answer")
			tail := []byte(" with a tail")
			p.Send([]port.Tx{{Frame: moved.Frame, Bytes: 12, Tail: tail}})
			_ = p.Flush()
			buf := make([]byte, 100)
			k, err := peer.Receive(buf, 10*time.Second)
			if err != nil || string(buf[:k]) != "short answer with a tail" {
				t.Fatalf("got %q, %v", buf[:k], err)
			}
		}
	}
	longRequestsWithoutRoom(t, p, dialQueue(t, net.client, "10.77.0.1", l, 0))
}

// TestRequestLongerThanThePath: the path's MTU, not the interface's, sizes the
// buffers; a longer chain is dropped whole.
func TestRequestLongerThanThePath(t *testing.T) {
	net := newTopology(t, 1, 9000)
	o := ladderOptions(port.RungXDPCopy)
	o.Port.MTU = 5000
	l := net.open(t, o)
	p := l.Ports[0]
	peer := dialQueue(t, net.client, "10.77.0.1", l, 0)
	for range 2 * bounceCount {
		for _, n := range []int{8900, 4900} {
			if err := peer.Send(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
		rx := receiveOne(t, p)
		if len(rx.Payload) != 4900 {
			t.Fatalf("%d bytes arrived", len(rx.Payload))
		}
		p.Release(rx.Frame)
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	var d port.Drops
	p.Drops(&d)
	if c := p.Census(); d[port.DropTruncated] != 2*bounceCount || !c.Balanced() || c.Held != 0 {
		t.Errorf("drops %v, census %+v", d, c)
	}
}

// longRequestsWithoutRoom holds all bounce buffers.
func longRequestsWithoutRoom(t *testing.T, p *Port, peer kernelPeer) {
	var held []port.Frame
	for range bounceCount {
		if err := peer.Send(make([]byte, 6000)); err != nil {
			t.Fatal(err)
		}
		held = append(held, receiveOne(t, p).Frame)
	}
	for _, n := range []int{6000, 100} {
		if err := peer.Send(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	rx := receiveOne(t, p)
	var d port.Drops
	p.Drops(&d)
	if len(rx.Payload) != 100 || d[port.DropNoFrame] != 1 {
		t.Errorf("%d bytes arrived; drops %v", len(rx.Payload), d)
	}
	for _, f := range append(held, rx.Frame) {
		p.Release(f)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		_ = p.Flush()
		if c := p.Census(); c.Balanced() && c.Held == 0 && c.Tx == 0 && len(p.bounces.free) == bounceCount {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("census %+v, %d bounce buffers free", c, len(p.bounces.free))
		}
	}
}

// validRequest passes the real steering program.
func validRequest() []byte {
	b := make([]byte, 128)
	binary.LittleEndian.PutUint16(b, 0x6e47)
	b[2], b[6], b[7] = 1, 1, 12 // version, one operation, header of 12 words
	b[96], b[98], b[120] = 1, 1, 'k'
	return b
}

// TestSteer runs the real program: metadata brings queue and time of arrival.
func TestSteer(t *testing.T) {
	for _, rung := range []port.Rung{port.RungXDPCopy, port.RungXDPGeneric} {
		t.Run(rung.String(), func(t *testing.T) {
			net := newTopology(t, 2, 1500)
			o := ladderOptions(rung)
			o.Load = nil
			l := net.open(t, o)
			steer := l.Program.(*bpf.Steer)
			for range 20 {
				peer := dial(t, net.client, "10.77.0.1", testPortBase+1)
				for q := range l.Ports {
					steer.Stamp(q, port.BootNanos())
				}
				before := port.BootNanos()
				if err := peer.Send(validRequest()); err != nil {
					t.Fatal(err)
				}
				rx, q := receiveAny(t, l)
				if rx.Queue != uint16(q) || rx.LocalPort != testPortBase+1 || len(rx.Payload) != 128 {
					t.Errorf("queue %d: %+v", q, rx)
				}
				if now := port.BootNanos(); rx.ArrivedNanos < before || rx.ArrivedNanos > now {
					t.Errorf("arrived at %d, sent at %d, received by %d", rx.ArrivedNanos, before, now)
				}
				p := l.Ports[q]
				front := p.sock.umem.frame(uint32(rx.Frame))[dataOffsetBytes-bpf.MetaBytes : dataOffsetBytes]
				if m, ok := bpf.ReadMeta(front); !ok || m.ArrivalNanos != rx.ArrivedNanos {
					t.Error("the time is not the program's")
				}
				p.Release(rx.Frame)
				if err := p.Flush(); err != nil {
					t.Fatal(err)
				}
				if _, ok := bpf.ReadMeta(front); ok && p.frames[rx.Frame].place == placeFill {
					t.Error("the next packet could be taken for as old as this one")
				}
			}
		})
	}
}

func receiveAny(t *testing.T, l *Ladder) (port.Rx, int) {
	t.Helper()
	rx := make([]port.Rx, 1)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		for q, p := range l.Ports {
			if p.Recv(rx) == 1 {
				return rx[0], q
			}
			_ = p.Wait(time.Millisecond)
		}
	}
	t.Fatal("no datagram arrived at any queue")
	return port.Rx{}, 0
}

// interfaceIn looks an interface up in a namespace.
func interfaceIn(t *testing.T, p *topology, name string) *net.Interface {
	return in(t, p.server, func() (*net.Interface, error) { return net.InterfaceByName(name) })
}

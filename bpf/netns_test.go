package bpf

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// inNamespace runs the rest of the test in a network namespace of its own,
// which goes with the test.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root, for a network namespace")
	}
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := netns.New() // moves this thread into it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Set(before); err != nil {
			t.Error(err) // the thread stays locked, and ends with the test
		} else {
			runtime.UnlockOSThread()
		}
		_ = fresh.Close()
		_ = before.Close()
	})
	up(t, "lo")
}

func up(t *testing.T, name string) netlink.Link {
	t.Helper()
	found, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(found); err != nil {
		t.Fatal(err)
	}
	return found
}

// vethPair makes gnt-bpf-a ─ gnt-bpf-b, both in this namespace, with queues rx
// and tx queues each.
func vethPair(t *testing.T, queues, mtuBytes int) (a, b netlink.Link) {
	t.Helper()
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "gnt-bpf-a", NumRxQueues: queues, NumTxQueues: queues, MTU: mtuBytes},
		PeerName:  "gnt-bpf-b", PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues), PeerMTU: uint32(mtuBytes),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatal(err)
	}
	a, b = up(t, "gnt-bpf-a"), up(t, "gnt-bpf-b")
	awaitUp(t, a)
	awaitUp(t, b)
	return a, b
}

// awaitUp waits until the kernel has noticed that a link has a carrier: until then it
// loses, without a word, what is sent.
func awaitUp(t *testing.T, link netlink.Link) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		now, err := netlink.LinkByIndex(link.Attrs().Index)
		if err != nil {
			t.Fatal(err)
		}
		if now.Attrs().OperState == netlink.OperUp {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v", link.Attrs().Name, now.Attrs().OperState)
		}
	}
}

// attachedProgram is the XDP program of an interface, 0 for none.
func attachedProgram(t *testing.T, ifindex int) uint32 {
	t.Helper()
	found, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		t.Fatal(err)
	}
	if found.Attrs().Xdp == nil {
		return 0
	}
	return found.Attrs().Xdp.ProgId
}

// rawWire is a raw socket on an interface: what it sends leaves there as it is.
type rawWire struct {
	t  *testing.T
	fd int
}

func openWire(t *testing.T, ifindex int) *rawWire {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		t.Fatal(err)
	}
	return &rawWire{t: t, fd: fd}
}

func (w *rawWire) send(frame []byte) {
	w.t.Helper()
	if _, err := unix.Write(w.fd, frame); err != nil {
		w.t.Fatal(fmt.Errorf("send %d bytes: %w", len(frame), err))
	}
}

package xsk

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"gannet/dataplane/port"
)

// A topology is two network namespaces and a cable:
//
//	server namespace                               client namespace
//	gnt-xsk-srv  10.77.0.1  fd77::1  ───── veth ─── gnt-xsk-cli  10.77.0.2  fd77::2
//
// Both ends have the same number of queues. The namespaces have no name: they go
// with the test.
type topology struct {
	t              testing.TB
	server, client netns.NsHandle
}

const (
	serverLink = "gnt-xsk-srv"
	clientLink = "gnt-xsk-cli"
)

// in runs f in a namespace, on a thread of its own.
func in[T any](t testing.TB, ns netns.NsHandle, f func() (T, error)) T {
	t.Helper()
	type result struct {
		value T
		err   error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and its namespace with it.
		runtime.LockOSThread()
		var r result
		if r.err = netns.Set(ns); r.err == nil {
			r.value, r.err = f()
		}
		done <- r
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.value
}

// tryIn is in for what may fail.
func tryIn[T any](t testing.TB, ns netns.NsHandle, f func() (T, error)) (value T, err error) {
	t.Helper()
	in(t, ns, func() (struct{}, error) {
		value, err = f()
		return struct{}{}, nil
	})
	return value, err
}

func newNamespace(t testing.TB) netns.NsHandle {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root, for network namespaces and XDP")
	}
	made := make(chan netns.NsHandle)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.New()
		if err != nil {
			ns = netns.None()
		}
		made <- ns
	}()
	ns := <-made
	if !ns.IsOpen() {
		t.Fatal("no network namespace could be made")
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

func newTopology(t testing.TB, queues, mtu int) *topology {
	t.Helper()
	p := &topology{t: t, server: newNamespace(t), client: newNamespace(t)}
	in(t, p.server, func() (struct{}, error) {
		attributes := netlink.NewLinkAttrs()
		attributes.Name, attributes.MTU = serverLink, mtu
		attributes.NumRxQueues, attributes.NumTxQueues = queues, queues
		return struct{}{}, netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attributes, PeerName: clientLink, PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(p.client),
			PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues),
		})
	})
	p.ip(p.server, "link set lo up")
	p.ip(p.client, "link set lo up")
	p.configure(p.server, serverLink, 1)
	p.configure(p.client, clientLink, 2)
	return p
}

func (p *topology) configure(ns netns.NsHandle, link string, host int) {
	p.t.Helper()
	p.ip(ns, "link set "+link+" up")
	p.ip(ns, fmt.Sprintf("addr add 10.77.0.%d/24 dev %s", host, link))
	p.ip(ns, fmt.Sprintf("addr add fd77::%d/64 dev %s nodad", host, link))
}

func (p *topology) ip(ns netns.NsHandle, line string) {
	p.t.Helper()
	p.run(ns, "ip", strings.Fields(line)...)
}

func (p *topology) run(ns netns.NsHandle, name string, args ...string) {
	p.t.Helper()
	in(p.t, ns, func() (struct{}, error) {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s %v: %w: %s", name, args, err, out)
		}
		return struct{}{}, err
	})
}

// kernelPeer is a connected kernel socket: it verifies checksums, and takes replies
// only from the address it asked.
type kernelPeer struct{ *net.UDPConn }

func (p kernelPeer) Send(payload []byte) error {
	_, err := p.Write(payload)
	return err
}

func (p kernelPeer) Receive(payload []byte, timeout time.Duration) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return 0, err
	}
	return p.Read(payload)
}

func (p kernelPeer) Addr() port.Addr {
	a := p.LocalAddr().(*net.UDPAddr).AddrPort()
	return port.Addr{IP: a.Addr().As16(), Port: a.Port()}
}

func dial(t testing.TB, ns netns.NsHandle, to string, at int) kernelPeer {
	t.Helper()
	c := in(t, ns, func() (*net.UDPConn, error) {
		return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), uint16(at))))
	})
	t.Cleanup(func() { _ = c.Close() })
	return kernelPeer{c}
}

// dialQueue finds a source port whose datagrams arrive at a queue, as clients do.
func dialQueue(t testing.TB, ns netns.NsHandle, to string, l *Ladder, queue int) kernelPeer {
	t.Helper()
	for range 64 {
		peer := dial(t, ns, to, testPortBase)
		if arrivesAt(t, peer, l) == queue {
			return peer
		}
		_ = peer.Close()
	}
	t.Fatalf("of 64 source ports none leads to queue %d", queue)
	return kernelPeer{}
}

// arrivesAt sends one datagram and says which port of the ladder got it.
func arrivesAt(t testing.TB, peer kernelPeer, l *Ladder) int {
	t.Helper()
	if err := peer.Send(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	rx := make([]port.Rx, 1)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		for q, p := range l.Ports {
			if p.Recv(rx) == 1 {
				p.Release(rx[0].Frame)
				return q
			}
			if err := p.Wait(time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("a datagram arrived at no queue")
	return -1
}

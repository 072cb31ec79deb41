package xsk

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/alloc"
	"gannet/bpf"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
)

// smallOptions keep the tests' memory small. NUMANode must be set: 0 is a node.
func smallOptions() PortOptions {
	return PortOptions{Options: Options{Frames: 512, NUMANode: alloc.NoNUMA}}
}

// lateFree is how late a busy machine may free the queue of a socket that was closed:
// its kernel threads wait for their turn, too.
const lateFree = 30 * time.Second

func ladderOptions(rung port.Rung) LadderOptions {
	o := LadderOptions{
		Interface: serverLink, Rungs: []port.Rung{rung},
		Steer: bpf.SteerConfig{PortBase: testPortBase, Shards: 8},
		Port:  smallOptions(), Load: loadAnyUDP,
	}
	o.Port.BindWait = lateFree
	return o
}

func (p *topology) open(t testing.TB, o LadderOptions) *Ladder {
	t.Helper()
	return closing(t, in(t, p.server, func() (*Ladder, error) { return OpenLadder(o) }))
}

func TestConformOnVeth(t *testing.T) {
	for name, c := range map[string]struct {
		server    string
		queue     int
		change    func(t *testing.T, o *LadderOptions)
		datagrams int
		mtu       int
	}{
		"IPv4":           {server: "10.77.0.1", datagrams: 100_000},
		"IPv4, queue 1":  {server: "10.77.0.1", queue: 1},
		"IPv6":           {server: "fd77::1", datagrams: 20_000},
		"frames of 2048": {server: "10.77.0.1", change: func(_ *testing.T, o *LadderOptions) { o.Port.FrameBytes = 2048 }},
		"few frames": {server: "10.77.0.1", change: func(_ *testing.T, o *LadderOptions) {
			o.Port.Frames, o.Port.MaxBatch = 64, 16
		}},
		"busy polling": {server: "10.77.0.1", change: func(_ *testing.T, o *LadderOptions) { o.Port.BusyPollMicros = 20 }},
		"jumbo":        {server: "10.77.0.1", mtu: 9000},
		"jumbo, IPv6":  {server: "fd77::1", mtu: 9000},
		"generic":      {server: "10.77.0.1", change: func(_ *testing.T, o *LadderOptions) { o.Rungs = []port.Rung{port.RungXDPGeneric} }},
		// Over veth generic XDP sees queue 0 only.
		"generic, IPv6": {server: "fd77::1", change: func(_ *testing.T, o *LadderOptions) {
			o.Rungs = []port.Rung{port.RungXDPGeneric}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			mtu := c.mtu
			if mtu == 0 {
				mtu = 1500
			}
			net := newTopology(t, 2, mtu)
			porttest.Conform(t, func(t *testing.T) porttest.Setup {
				o := ladderOptions(port.RungXDPCopy)
				if c.change != nil {
					c.change(t, &o)
				}
				l := net.open(t, o)
				peer := dialQueue(t, net.client, c.server, l, c.queue)
				return porttest.Setup{Port: l.Ports[c.queue], Peer: peer, Datagrams: c.datagrams}
			})
		})
	}
}

// slabFile is 8 MiB on tmpfs or hugetlbfs, and a mapping of it, as a shard's slabs are.
func slabFile(t *testing.T, folder string) *Slabs {
	t.Helper()
	f, err := os.CreateTemp(folder, "gnt-xsk-slabs-*")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Cleanup(func() { _ = os.Remove(f.Name()) })
	const bytes = 8 << 20
	if err := f.Truncate(bytes); err != nil {
		t.Fatal(err)
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mapped) })
	return &Slabs{Path: f.Name(), Bytes: mapped}
}

// TestConformFromSlabs sends tails by descriptor, out of a second mapping of the slabs.
func TestConformFromSlabs(t *testing.T) {
	if err := tailsSupported(runningKernel()); err != nil {
		t.Skip("missing: ", err)
	}
	for name, server := range map[string]string{"IPv4": "10.77.0.1", "IPv6": "fd77::1"} {
		t.Run(name, func(t *testing.T) {
			net := newTopology(t, 1, 1500)
			slabs := slabFile(t, "/dev/shm")
			porttest.Conform(t, func(t *testing.T) porttest.Setup {
				o := ladderOptions(port.RungXDPCopy)
				o.Customize = func(_ int, o *PortOptions) { o.Slabs = slabs }
				l := net.open(t, o)
				if c := l.Ports[0].Caps(); c.MaxSegments != 2 || c.ZeroCopyTail {
					t.Fatalf("capabilities %+v", c)
				}
				peer := dialQueue(t, net.client, server, l, 0)
				return porttest.Setup{Port: l.Ports[0], Peer: peer, Tails: slabs.Bytes, Datagrams: 20_000}
			})
		})
	}
}

// TestConformInPlace sends replies out of the slabs in one descriptor, on 2 MiB pages,
// where packets may cross borders of 4 KiB.
func TestConformInPlace(t *testing.T) {
	giveBack, err := alloc.BorrowHugePages(16 << 20)
	if err != nil {
		t.Skip("missing: ", err)
	}
	defer giveBack()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "hugetlbfs", 0, "pagesize=2M"); err != nil {
		t.Skip("missing: hugetlbfs: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	for name, server := range map[string]string{"IPv4": "10.77.0.1", "IPv6": "fd77::1"} {
		t.Run(name, func(t *testing.T) {
			net := newTopology(t, 1, 1500)
			slabs := slabFile(t, dir)
			slabs.Huge, slabs.OneDescriptor = true, true
			porttest.Conform(t, func(t *testing.T) porttest.Setup {
				o := ladderOptions(port.RungXDPCopy)
				o.Customize = func(_ int, o *PortOptions) { o.Slabs = slabs }
				l := net.open(t, o)
				if c := l.Ports[0].Caps(); c.MaxSegments != 1 || c.InPlaceBytes == 0 {
					t.Fatalf("capabilities %+v", c)
				}
				peer := dialQueue(t, net.client, server, l, 0)
				return porttest.Setup{Port: l.Ports[0], Peer: peer, Tails: slabs.Bytes, Datagrams: 5_000}
			})
		})
	}
}

// TestConformWithVLAN: the peer is a raw socket of this package on the other end,
// because not every kernel has VLAN interfaces. It checks every byte of the headers.
func TestConformWithVLAN(t *testing.T) {
	for name, c := range map[string]struct{ server, client string }{
		"IPv4": {"10.77.0.1", "10.77.0.2"},
		"IPv6": {"fd77::1", "fd77::2"},
	} {
		t.Run(name, func(t *testing.T) {
			net := newTopology(t, 1, 1500)
			porttest.Conform(t, func(t *testing.T) porttest.Setup {
				l := net.open(t, ladderOptions(port.RungXDPCopy))
				return porttest.Setup{Port: l.Ports[0], Peer: newRawPeer(t, net, c.server, c.client, 7)}
			})
		})
	}
}

// TestConformOnLoopback: generic XDP, and the replies of an AF_XDP socket look to
// the kernel like spoofed ones, which it must be told to take.
func TestConformOnLoopback(t *testing.T) {
	ns := newNamespace(t)
	net := &topology{t: t, server: ns, client: ns}
	net.ip(ns, "link set lo up")
	in(t, ns, func() (struct{}, error) {
		for file, value := range map[string]string{"accept_local": "1", "route_localnet": "1", "rp_filter": "0"} {
			for _, which := range []string{"all", "lo"} {
				if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+which+"/"+file, []byte(value), 0o644); err != nil {
					return struct{}{}, err
				}
			}
		}
		return struct{}{}, nil
	})
	porttest.Conform(t, func(t *testing.T) porttest.Setup {
		o := ladderOptions(port.RungXDPGeneric)
		o.Interface = "lo"
		l := net.open(t, o)
		return porttest.Setup{Port: l.Ports[0], Peer: dialQueue(t, ns, "127.0.0.1", l, 0)}
	})
}

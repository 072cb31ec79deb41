package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	bottleneckBits  = 100e6
	bufferBytes     = 128 << 10
	burstBytes      = 3200 // of the token bucket: two frames
	framingBytes    = 24   // preamble, checksum and gap, which the kernel does not count
	servers         = 16
	clientAddress   = "10.78.0.101"
	neighborAddress = "10.78.0.102"
	dataPort        = 9800
)

func serverAddress(n int) string { return fmt.Sprintf("10.78.0.%d", n+1) }

// network is the lab's namespaces and links.
type network struct {
	servers, fabric, client, neighbor space
	bottleneck                        int // index of the interface in fabric
}

// space is a named network namespace.
type space struct {
	name   string
	handle netns.NsHandle
}

func newNetwork() (_ *network, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root: run this as root")
	}
	n := &network{}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	for _, s := range []struct {
		space *space
		name  string
	}{{&n.servers, "s"}, {&n.fabric, "w"}, {&n.client, "c"}, {&n.neighbor, "n"}} {
		if *s.space, err = newSpace("gnt-incast-" + strconv.Itoa(os.Getpid()) + "-" + s.name); err != nil {
			return nil, err
		}
	}
	addresses := make([]string, servers)
	for i := range addresses {
		addresses[i] = serverAddress(i)
	}
	for _, s := range []struct {
		space     space
		port      string
		addresses []string
	}{{n.servers, "s0", addresses}, {n.client, "c0", []string{clientAddress}}, {n.neighbor, "n0", []string{neighborAddress}}} {
		if err := n.attach(s.space, s.port, s.addresses); err != nil {
			return nil, fmt.Errorf("incast: %s: %w", s.port, err)
		}
	}
	return n, n.fabric.do(n.join)
}

func (n *network) close() error {
	return errors.Join(n.servers.remove(), n.client.remove(), n.neighbor.remove(), n.fabric.remove())
}

// attach joins a namespace to the switch.
func (n *network) attach(s space, port string, addresses []string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Namespace = port, netlink.NsFd(n.fabric.handle)
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(s.handle)}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	return s.do(func() error {
		dev, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, a := range addresses {
			parsed, err := netlink.ParseAddr(a + "/24")
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(dev, parsed); err != nil {
				return err
			}
		}
		// What a card would cut into frames is cut before it leaves: the token bucket
		// counts and drops frames.
		if err := netlink.LinkSetGSOMaxSegs(dev, 1); err != nil {
			return err
		}
		return upAll("lo", "eth0")
	})
}

// join makes the two bridges and the bottleneck between them.
func (n *network) join() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "up"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "down"}); err != nil {
		return fmt.Errorf("incast: bottleneck: %w", err)
	}
	for bridge, ports := range map[string][]string{"far": {"s0", "up"}, "near": {"down", "c0", "n0"}} {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = bridge
		b := &netlink.Bridge{LinkAttrs: attrs}
		if err := netlink.LinkAdd(b); err != nil {
			return fmt.Errorf("incast: bridge %s: %w", bridge, err)
		}
		for _, port := range ports {
			dev, err := netlink.LinkByName(port)
			if err != nil {
				return fmt.Errorf("incast: %s: %w", port, err)
			}
			if err := netlink.LinkSetMaster(dev, b); err != nil {
				return fmt.Errorf("incast: %s into bridge %s: %w", port, bridge, err)
			}
			if port == "up" {
				n.bottleneck = dev.Attrs().Index
			}
		}
	}
	if err := addBucket(n.bottleneck); err != nil {
		return err
	}
	return upAll("lo", "s0", "up", "down", "c0", "n0", "far", "near")
}

// addBucket puts the token bucket on an interface. Package netlink's own knows
// nothing of framing.
func addBucket(index int) error {
	const tickNanos = 64
	options := nl.TcTbfQopt{
		Rate:   nl.TcRateSpec{Rate: bottleneckBits / 8, Overhead: framingBytes},
		Limit:  bufferBytes,
		Buffer: uint32(burstBytes * 8 * 1e9 / int64(bottleneckBits) / tickNanos),
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("tbf")))
	attr := nl.NewRtAttr(nl.TCA_OPTIONS, nil)
	attr.AddRtAttr(nl.TCA_TBF_PARMS, options.Serialize())
	req.AddData(attr)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("incast: token bucket (needs the kernel's sch_tbf): %w", err)
	}
	return nil
}

// counted is what went through the bottleneck so far, and what it dropped.
type counted struct {
	packets, dropped uint64
	bytes            uint64 // with framing
}

func (c counted) minus(o counted) counted {
	return counted{c.packets - o.packets, c.dropped - o.dropped, c.bytes - o.bytes}
}

// lost is the share of packets dropped.
func (c counted) lost() float64 { return float64(c.dropped) / max(1, float64(c.packets+c.dropped)) }

func (n *network) count() (c counted, err error) {
	err = n.fabric.do(func() error {
		dev, err := netlink.LinkByIndex(n.bottleneck)
		if err != nil {
			return err
		}
		list, err := netlink.QdiscList(dev)
		if err != nil {
			return err
		}
		for _, q := range list {
			if s := q.Attrs().Statistics; q.Type() == "tbf" && s != nil {
				c = counted{uint64(s.Basic.Packets), uint64(s.Queue.Drops), s.Basic.Bytes + framingBytes*uint64(s.Basic.Packets)}
				return nil
			}
		}
		return errors.New("there is no token bucket")
	})
	if err != nil {
		return c, fmt.Errorf("incast: count at the bottleneck: %w", err)
	}
	return c, nil
}

func upAll(names ...string) error {
	for _, name := range names {
		dev, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("incast: %s: %w", name, err)
		}
		if err := netlink.LinkSetUp(dev); err != nil {
			return fmt.Errorf("incast: %s up: %w", name, err)
		}
	}
	return nil
}

func newSpace(name string) (s space, err error) {
	s = space{name: name, handle: netns.None()}
	err = onOwnThread(func() error {
		home, err := netns.Get()
		if err != nil {
			return err
		}
		defer home.Close()
		if s.handle, err = netns.NewNamed(name); err != nil {
			return err
		}
		return netns.Set(home)
	})
	if err != nil {
		return s, fmt.Errorf("incast: namespace %s: %w", name, err)
	}
	return s, nil
}

func (s space) remove() error {
	if s.name == "" {
		return nil
	}
	if s.handle.IsOpen() {
		_ = s.handle.Close()
	}
	if err := netns.DeleteNamed(s.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("incast: remove namespace %s: %w", s.name, err)
	}
	return nil
}

// do runs f inside the namespace, on a thread that ends with it.
func (s space) do(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(s.handle); err != nil {
			return fmt.Errorf("incast: enter namespace %s: %w", s.name, err)
		}
		return f()
	})
}

// start starts a command there, with precedence over others' programs.
func (s space) start(cmd *exec.Cmd) error {
	return s.do(func() error {
		precede() // this thread, which ends with do
		return cmd.Start()
	})
}

func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		done <- f()
	}()
	return <-done
}

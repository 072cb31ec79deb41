package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"gannet/test/lab/space"
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
	servers, fabric, client, neighbor space.Space
	bottleneck                        int // index of the interface in fabric
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
		space *space.Space
		name  string
	}{{&n.servers, "s"}, {&n.fabric, "w"}, {&n.client, "c"}, {&n.neighbor, "n"}} {
		if *s.space, err = space.New("gnt-incast-" + strconv.Itoa(os.Getpid()) + "-" + s.name); err != nil {
			return nil, err
		}
	}
	addresses := make([]string, servers)
	for i := range addresses {
		addresses[i] = serverAddress(i)
	}
	for _, s := range []struct {
		space     space.Space
		port      string
		addresses []string
	}{{n.servers, "s0", addresses}, {n.client, "c0", []string{clientAddress}}, {n.neighbor, "n0", []string{neighborAddress}}} {
		if err := n.attach(s.space, s.port, s.addresses); err != nil {
			return nil, fmt.Errorf("incast: %s: %w", s.port, err)
		}
	}
	return n, n.fabric.Do(n.join)
}

func (n *network) close() error {
	return errors.Join(n.servers.Remove(), n.client.Remove(), n.neighbor.Remove(), n.fabric.Remove())
}

// attach joins a namespace to the switch.
func (n *network) attach(s space.Space, port string, addresses []string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Namespace = port, n.fabric.Link()
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: s.Link()}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	return s.Do(func() error {
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
	err = n.fabric.Do(func() error {
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

// start starts a command there, with precedence over others' programs.
func start(s space.Space, cmd *exec.Cmd) error {
	return s.Do(func() error {
		precede() // this thread, which ends with Do
		return cmd.Start()
	})
}

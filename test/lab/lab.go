package lab

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/vishvananda/netlink"

	"gannet/test/lab/space"
)

// Addresses and names of the two ends.
const (
	ServerAddr   = "10.77.0.1"
	ClientAddr   = "10.77.0.2"
	ServerDevice = "gnt0"
	ClientDevice = "gnt1"
)

// ErrNotRoot is returned where namespaces cannot be made.
var ErrNotRoot = errors.New("network namespaces need root: run this as root")

// Lab is one pair of namespaces.
type Lab struct {
	Server, Client NS
}

// labs counts those of this process, to name each one's namespaces.
var labs atomic.Int64

// NS is one of the namespaces.
type NS struct{ space.Space }

// Config describes the link.
type Config struct {
	Queues int // receive and transmit queues of each end; 0 = 1
	MTU    int // 0 = 1500
}

// New makes the namespaces and the link.
func New(cfg Config) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	prefix := "gnt-lab-" + strconv.Itoa(os.Getpid())
	if n := labs.Add(1); n > 1 {
		prefix += "-" + strconv.FormatInt(n, 10)
	}
	l := &Lab{}
	var err error
	if l.Server.Space, err = space.New(prefix + "-s"); err != nil {
		return nil, err
	}
	if l.Client.Space, err = space.New(prefix + "-c"); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := l.link(cfg); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close removes the namespaces, and with them the link.
func (l *Lab) Close() error {
	return errors.Join(l.Server.Remove(), l.Client.Remove())
}

func (l *Lab) link(cfg Config) error {
	queues, mtu := max(cfg.Queues, 1), cfg.MTU
	if mtu == 0 {
		mtu = 1500
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = ServerDevice, mtu
	attrs.NumRxQueues, attrs.NumTxQueues = queues, queues
	attrs.Namespace = l.Server.Link()
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: ClientDevice, PeerNamespace: l.Client.Link(),
		PeerNumRxQueues: uint32(queues), PeerNumTxQueues: uint32(queues), PeerMTU: uint32(mtu),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("lab: veth pair: %w", err)
	}
	if err := l.Server.Do(func() error { return up(ServerDevice, ServerAddr) }); err != nil {
		return err
	}
	return l.Client.Do(func() error { return up(ClientDevice, ClientAddr) })
}

func up(device, addr string) error {
	for _, name := range []string{"lo", device} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("lab: %s: %w", name, err)
		}
		if name == device {
			parsed, err := netlink.ParseAddr(addr + "/24")
			if err != nil {
				return fmt.Errorf("lab: %w", err)
			}
			if err := netlink.AddrAdd(link, parsed); err != nil {
				return fmt.Errorf("lab: address of %s: %w", name, err)
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("lab: %s up: %w", name, err)
		}
	}
	return nil
}

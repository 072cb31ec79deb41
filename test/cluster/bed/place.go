package bed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gannet/test/lab/space"
)

const (
	netnsDir   = "/run/netns"
	bridgeName = "br0"
	deviceName = "eth0" // of every place
	clientAddr = "10.79.0.1"
	prefixBits = "/16"
)

// place is a network namespace with, but for the switch itself, one cable to the
// switch.
type place struct {
	space.Space
	port string // its end of the cable at the switch
}

func newPlace(name string) (*place, error) {
	s, err := space.New(name)
	if err != nil {
		return nil, fmt.Errorf("bed: %w", err)
	}
	return &place{Space: s}, nil
}

// remove ends what runs in the namespace and removes it. Its cable goes first: the
// kernel takes a namespace apart some time after its name is gone, and the next one
// wants the same port.
func (p *place) remove() error {
	err := p.killAll()
	if p.port != "" && outside.wire != nil {
		err = errors.Join(err, outside.wire.Do(func() error { return unplug(p.port) }))
	}
	return errors.Join(err, p.Remove())
}

// processes are the ids of all that run in the namespace.
func (p *place) processes() ([]int, error) {
	var want unix.Stat_t
	if err := unix.Fstat(p.Handle(), &want); err != nil {
		return nil, fmt.Errorf("bed: %s: %w", p.Name(), err)
	}
	spaces, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, space := range spaces {
		var is unix.Stat_t
		if unix.Stat(space, &is) != nil || is.Ino != want.Ino || is.Dev != want.Dev {
			continue // gone, or elsewhere
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(space))))
		if err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// signal sends a signal to all that run in the namespace.
func (p *place) signal(sig unix.Signal) error {
	pids, err := p.processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("bed: signal %v to %d in %s: %w", sig, pid, p.Name(), err)
		}
	}
	return nil
}

const (
	killLongest = 10 * time.Second
	killPause   = 2 * time.Millisecond
)

// killAll returns when nothing runs in the namespace any more.
func (p *place) killAll() error {
	for range killLongest / killPause {
		pids, err := p.processes()
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
		time.Sleep(killPause)
	}
	return fmt.Errorf("bed: processes in %s do not end", p.Name())
}

// makeBridge makes the switch, on a thread in its namespace.
func makeBridge() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridgeName
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("bed: bridge: %w", err)
	}
	bypassFirewall()
	return linkUp(bridgeName)
}

// bypassFirewall keeps frames that cross the bridge out of the host's firewall: no
// switch has one. Without br_netfilter there is nothing to keep them from.
func bypassFirewall() {
	for _, table := range []string{"iptables", "ip6tables", "arptables"} {
		_ = os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-"+table, []byte("0"), 0) // see above
	}
}

// plug lays a cable from the place to a port of the switch.
func (p *place) plug(port, addr string) error {
	p.port = port
	return errors.Join(outside.wire.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = port
		if err := unplug(port); err != nil { // of a process that was killed
			return err
		}
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: deviceName, PeerNamespace: p.Link()}
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("bed: cable to %s: %w", p.Name(), err)
		}
		if err := setMaster(port, true); err != nil {
			return err
		}
		return linkUp(port)
	}), p.Do(func() error {
		link, err := netlink.LinkByName(deviceName)
		if err != nil {
			return fmt.Errorf("bed: %s: %w", p.Name(), err)
		}
		parsed, err := netlink.ParseAddr(addr + prefixBits)
		if err != nil {
			return fmt.Errorf("bed: %w", err)
		}
		if err := netlink.AddrAdd(link, parsed); err != nil {
			return fmt.Errorf("bed: address of %s: %w", p.Name(), err)
		}
		return errors.Join(linkUp("lo"), linkUp(deviceName))
	}))
}

// unplug removes a cable, if it is there.
func unplug(port string) error {
	link, err := netlink.LinkByName(port)
	if gone := (netlink.LinkNotFoundError{}); errors.As(err, &gone) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil {
		return fmt.Errorf("bed: unplug %s: %w", port, err)
	}
	return nil
}

func linkUp(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("bed: %s: %w", name, err)
	}
	return netlink.LinkSetUp(link)
}

// setMaster makes a port part of the bridge, or takes it out: then its cable has a
// carrier still, and goes nowhere.
func setMaster(port string, part bool) error {
	link, err := netlink.LinkByName(port)
	if err != nil {
		return fmt.Errorf("bed: port %s: %w", port, err)
	}
	if !part {
		return netlink.LinkSetNoMaster(link)
	}
	bridge, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("bed: bridge: %w", err)
	}
	return netlink.LinkSetMaster(link, bridge)
}

package weather

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Sky says what happens to packets, in both directions. Shares are between 0 and 1.
// The zero value is fine weather.
type Sky struct {
	Lose    float64
	Repeat  float64
	Reorder float64 // packets that let some of their successors pass
	// LongestBytes is the longest IP packet that comes through; 0 = all that the
	// devices take.
	LongestBytes int
}

// Space runs a function inside a network namespace, as lab.NS does.
type Space interface{ Do(f func() error) error }

// End is one end of the path.
type End struct {
	Space   Space
	Address string // of the other end's packets; it exists there already
}

// Path is a path under weather.
type Path struct {
	sky     atomic.Pointer[Sky]
	files   []*os.File
	pumping sync.WaitGroup

	// Counters of both directions.
	Carried, Lost, Repeated, Reordered, TooLong atomic.Uint64
}

const (
	deviceName = "gnt-weather"
	// queuePackets is the devices' queue: bursts of some long values fit.
	queuePackets = 20_000
	// aheadMost is how many successors pass a packet that is held back, at most.
	aheadMost = 8
	// heldLongest is how long a packet is held back when there are none.
	heldLongest = time.Millisecond
)

// Open leads the packets from a to b's address, and back, through a path of its own.
// The namespaces own the devices: when they go, so do these.
func Open(a, b End, mtu int, seed uint64) (_ *Path, err error) {
	p := &Path{}
	p.sky.Store(&Sky{})
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	for _, e := range []struct {
		at Space
		to string
	}{{a.Space, b.Address}, {b.Space, a.Address}} {
		f, err := openDevice(e.at, e.to, mtu)
		if err != nil {
			return nil, fmt.Errorf("weather: %w", err)
		}
		p.files = append(p.files, f)
	}
	for i, from := range p.files {
		m := &pump{path: p, from: from, to: p.files[1-i], random: rand.New(rand.NewPCG(seed, uint64(i)))}
		p.pumping.Go(m.run)
	}
	return p, nil
}

// Set changes the weather from the next packet on.
func (p *Path) Set(s Sky) { p.sky.Store(&s) }

// Close ends the path: packets take the link again that joins the namespaces.
func (p *Path) Close() error {
	var errs []error
	for _, f := range p.files {
		errs = append(errs, f.Close())
	}
	p.pumping.Wait()
	p.files = nil
	return errors.Join(errs...)
}

// openDevice makes a TUN device in a namespace, and a route to an address over it.
func openDevice(at Space, to string, mtu int) (f *os.File, err error) {
	err = at.Do(func() error {
		f, err = openTUN()
		if err != nil {
			return err
		}
		return route(to, mtu)
	})
	if err != nil && f != nil {
		err = errors.Join(err, f.Close())
	}
	return f, err
}

func openTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun (needs the kernel's TUN driver): %w", err)
	}
	req, err := unix.NewIfreq(deviceName)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, errors.Join(fmt.Errorf("make TUN device: %w", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), deviceName), nil // non-blocking: deadlines work
}

func route(to string, mtu int) error {
	dev, err := netlink.LinkByName(deviceName)
	if err != nil {
		return fmt.Errorf("TUN device: %w", err)
	}
	if err := netlink.LinkSetTxQLen(dev, queuePackets); err != nil {
		return fmt.Errorf("TUN device's queue: %w", err)
	}
	if err := netlink.LinkSetMTU(dev, mtu); err != nil {
		return fmt.Errorf("TUN device's MTU: %w", err)
	}
	if err := netlink.LinkSetUp(dev); err != nil {
		return fmt.Errorf("TUN device up: %w", err)
	}
	dst, err := netlink.ParseIPNet(to + "/32")
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: dev.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("route to %s: %w", to, err)
	}
	return nil
}

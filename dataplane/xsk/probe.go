package xsk

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"gannet/dataplane/port"
)

// Report is what an interface says of itself. Nothing is attached or bound to find
// it out: attaching resets some cards.
type Report struct {
	Interface string
	Driver    string
	Kernel    string
	MTU       int
	Up        bool
	Queues    int // receive queues in use
	MaxQueues int // as the driver would allow
	Features  Features
	ProgramID uint32 // of an XDP program that is attached; 0 = none
	Rungs     []RungReport
}

// Features are the driver's, as the kernel's netdev family tells them.
type Features struct {
	Known               bool // false before Linux 6.3: then a rung must be tried
	Native              bool
	Redirect            bool
	ZeroCopy            bool
	MultiBuffer         bool
	ZeroCopyMaxSegments int // descriptors a packet in zero-copy; 1 = no XDP_USE_SG
}

// RungReport says whether a rung should work. Err is nil when nothing is known to
// stand against it.
type RungReport struct {
	Rung port.Rung
	Err  error
}

// Probe looks at an interface.
func Probe(name string) (Report, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return Report{}, fmt.Errorf("probe %s: %w", name, err)
	}
	r := Report{
		Interface: name, Kernel: runningKernel().String(), MTU: link.MTU, Up: link.Flags&net.FlagUp != 0,
		Driver: driverOf(name), Queues: rxQueues(name), MaxQueues: maxRxQueues(name),
	}
	if r.Features, err = readFeatures(link.Index); err != nil {
		return r, fmt.Errorf("probe %s: XDP features: %w", name, err)
	}
	if l, err := netlink.LinkByIndex(link.Index); err == nil && l.Attrs().Xdp != nil && l.Attrs().Xdp.Attached {
		r.ProgramID = l.Attrs().Xdp.ProgId
	}
	socket := socketAllowed()
	for _, rung := range allRungs {
		r.Rungs = append(r.Rungs, RungReport{rung, r.judge(rung, socket)})
	}
	return r, nil
}

// judge says what stands against a rung.
func (r *Report) judge(rung port.Rung, socket error) error {
	switch {
	case socket != nil:
		return socket
	case r.ProgramID != 0:
		return fmt.Errorf("%s already has XDP program %d: stop its owner, or `ip link set dev %s xdp off`: %w", r.Interface, r.ProgramID, r.Interface, ErrBusy)
	case !r.Up:
		return fmt.Errorf("%s is down: `ip link set dev %s up`", r.Interface, r.Interface)
	case rung == port.RungXDPGeneric || !r.Features.Known:
		return nil
	case !r.Features.Native || !r.Features.Redirect:
		return &UnsupportedError{Feature: "native XDP on " + r.Interface, Needs: "another driver than " + r.driverName()}
	case rung == port.RungXDPZeroCopy && !r.Features.ZeroCopy:
		return &UnsupportedError{Feature: "zero-copy on " + r.Interface, Needs: "another driver than " + r.driverName()}
	case r.MTU > singleBufferMTU && !r.Features.MultiBuffer:
		return &UnsupportedError{Feature: fmt.Sprintf("XDP with an MTU of %d on %s", r.MTU, r.Interface), Needs: fmt.Sprintf("an MTU of at most %d", singleBufferMTU)}
	}
	return nil
}

func (r *Report) driverName() string {
	if r.Driver == "" {
		return "this one"
	}
	return r.Driver
}

// driverOf is empty for interfaces without a driver's name, such as lo.
func driverOf(name string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}

// Queues is the number of receive queues that an interface uses.
func Queues(name string) int { return rxQueues(name) }

// rxQueues is the number of receive queues in use. Interfaces that do not say have 1.
func rxQueues(name string) int {
	c, err := readChannels(name)
	if err != nil {
		return 1
	}
	return max(1, int(c.rxCount+c.combinedCount))
}

func maxRxQueues(name string) int {
	c, err := readChannels(name)
	if err != nil {
		return 1
	}
	return max(1, int(c.maxRx), int(c.maxCombined))
}

// socketAllowed tries the one thing that needs no interface.
func socketAllowed() error {
	s := &Socket{fd: -1}
	err := s.create()
	return errors.Join(err, s.Close())
}

// The kernel's generic netlink family "netdev" (since Linux 6.3).
const (
	netdevCommandGet      = 1
	netdevAttrIfindex     = 1
	netdevAttrFeatures    = 3
	netdevAttrZCSegments  = 4
	featureBasic          = 1 << 0
	featureRedirect       = 1 << 1
	featureZeroCopy       = 1 << 3
	featureReceiveBuffers = 1 << 5
)

// genericHeader is struct genlmsghdr: command, version, and two reserved bytes, which
// the kernel wants to be 0. (nl.Genlmsg leaves to chance what they are.)
type genericHeader [nl.SizeofGenlmsg]byte

func (h genericHeader) Len() int          { return len(h) }
func (h genericHeader) Serialize() []byte { return h[:] }

// readFeatures asks the kernel. A kernel without the family leaves them unknown.
func readFeatures(ifindex int) (Features, error) {
	family, err := netlink.GenlFamilyGet("netdev")
	if errors.Is(err, unix.ENOENT) {
		return Features{}, nil
	}
	if err != nil {
		return Features{}, fmt.Errorf("find the netlink family netdev: %w", err)
	}
	request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	request.AddData(genericHeader{netdevCommandGet, 1})
	request.AddData(nl.NewRtAttr(netdevAttrIfindex, nl.Uint32Attr(uint32(ifindex))))
	messages, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return Features{}, os.NewSyscallError("netdev get", err)
	}
	if len(messages) == 0 || len(messages[0]) < nl.SizeofGenlmsg {
		return Features{}, errors.New("netdev get: empty answer")
	}
	return parseFeatures(messages[0][nl.SizeofGenlmsg:])
}

func parseFeatures(attributes []byte) (Features, error) {
	list, err := nl.ParseRouteAttr(attributes)
	if err != nil {
		return Features{}, fmt.Errorf("netdev get: %w", err)
	}
	f := Features{Known: true, ZeroCopyMaxSegments: 1}
	for _, a := range list {
		switch {
		case a.Attr.Type == netdevAttrFeatures && len(a.Value) >= 8:
			bits := nativeOrder.Uint64(a.Value)
			f.Native, f.Redirect = bits&featureBasic != 0, bits&featureRedirect != 0
			f.ZeroCopy, f.MultiBuffer = bits&featureZeroCopy != 0, bits&featureReceiveBuffers != 0
		case a.Attr.Type == netdevAttrZCSegments && len(a.Value) >= 4:
			f.ZeroCopyMaxSegments = int(nativeOrder.Uint32(a.Value))
		}
	}
	return f, nil
}

package xsk

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"gannet/bpf"
	"gannet/dataplane/port"
)

// Program is what brings packets to the sockets: *bpf.Steer.
type Program interface {
	Attach(ifindex int, mode bpf.Mode) error
	RegisterSocket(queue, fd int) error
	Close() error
}

// LadderOptions says what to open.
type LadderOptions struct {
	Interface string
	// Rungs to try, in this order; nil = zero-copy, copy, generic.
	Rungs []port.Rung
	// Queues of the interface to serve, from 0 on; 0 = all. Packets on queues that
	// are not served go to the kernel.
	Queues int
	// Steer configures the program; Queues and Frags are set by the ladder.
	Steer bpf.SteerConfig
	// Port is the pattern for all ports; interface, queue, rung, binding, local ports
	// and metadata are set by the ladder. MultiBuffer is added when the MTU needs it.
	Port PortOptions
	// Customize, when set, changes the options of one queue's port: memory node, slabs.
	Customize func(queue int, o *PortOptions)
	// Load makes the program; nil = bpf.LoadSteer.
	Load func(bpf.SteerConfig) (Program, error)

	zeroCopySegments int // descriptors a packet that the driver says it takes in zero-copy; 0 = unknown
}

// Step is what became of one rung.
type Step struct {
	Rung port.Rung
	Err  error  // why not; nil for the rung that was taken
	Note string // what the rung that was taken goes without, and why
}

func (s Step) String() string {
	switch {
	case s.Err != nil:
		return fmt.Sprintf("%s: %v", s.Rung, s.Err)
	case s.Note != "":
		return fmt.Sprintf("%s: taken, %s", s.Rung, s.Note)
	}
	return s.Rung.String() + ": taken"
}

// Ladder is a node's open ports on one interface.
type Ladder struct {
	Ports   []*Port // by queue
	Rung    port.Rung
	Steps   []Step // in the order in which they were tried
	Program Program

	note string // what the rung goes without
}

// A LadderError says why no rung works.
type LadderError struct {
	Interface string
	Steps     []Step
}

func (e *LadderError) Error() string {
	lines := make([]string, len(e.Steps))
	for i, s := range e.Steps {
		lines[i] = s.String()
	}
	return fmt.Sprintf("no AF_XDP rung works on %s: %s", e.Interface, strings.Join(lines, "; "))
}

// Unwrap gives the errors of all steps to errors.Is.
func (e *LadderError) Unwrap() []error {
	errs := make([]error, len(e.Steps))
	for i, s := range e.Steps {
		errs[i] = s.Err
	}
	return errs
}

const ethernetAddressBytes = 6

var allRungs = []port.Rung{port.RungXDPZeroCopy, port.RungXDPCopy, port.RungXDPGeneric}

// OpenLadder takes the first rung on which everything works: program, and a port for
// each queue. A rung on which anything fails is left without a trace.
func OpenLadder(o LadderOptions) (*Ladder, error) {
	link, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return nil, fmt.Errorf("xsk: interface %s: %w", o.Interface, err)
	}
	if o.Queues == 0 {
		o.Queues = rxQueues(o.Interface)
	}
	if o.Load == nil {
		o.Load = loadSteer
	}
	if len(o.Rungs) == 0 {
		o.Rungs = allRungs
	}
	if len(o.Steer.Address) == 0 && len(link.HardwareAddr) == ethernetAddressBytes {
		o.Steer.Address = link.HardwareAddr
	}
	if features, err := readFeatures(link.Index); err == nil && features.Known {
		o.zeroCopySegments = features.ZeroCopyMaxSegments
	}
	return o.climb(link)
}

func loadSteer(c bpf.SteerConfig) (Program, error) {
	s, err := bpf.LoadSteer(c)
	if err != nil {
		return nil, err // not a nil *Steer in a Program
	}
	return s, nil
}

func (o *LadderOptions) climb(link *net.Interface) (*Ladder, error) {
	var steps []Step
	for _, rung := range o.Rungs {
		if !slices.Contains(allRungs, rung) {
			return nil, fmt.Errorf("xsk: %s is no rung of AF_XDP", rung)
		}
		l, note, err := o.tryRung(link, rung)
		steps = append(steps, Step{rung, err, note})
		if err == nil {
			l.Steps = steps
			return l, nil
		}
	}
	return nil, &LadderError{o.Interface, steps}
}

// tryRung opens a rung; where only the sending from slabs fails, without that.
func (o *LadderOptions) tryRung(link *net.Interface, rung port.Rung) (*Ladder, string, error) {
	if err := knownToLack(link, rung); err != nil {
		return nil, "", err
	}
	l, err := o.openRung(link, rung, true)
	if err == nil {
		return l, l.note, nil
	}
	if !errors.Is(err, errSlabs) {
		return nil, "", err
	}
	note := "tails are copied: " + err.Error()
	l, err = o.openRung(link, rung, false)
	return l, note, err
}

// knownToLack spares the attempt at zero-copy where the driver itself says that it
// has none. To find out by a bind means to register all slabs first, for which the
// kernel clears 35 MB of its own memory a GB: more than a second of a warm restart.
func knownToLack(link *net.Interface, rung port.Rung) error {
	if rung != port.RungXDPZeroCopy {
		return nil
	}
	features, err := readFeatures(link.Index)
	if err != nil || !features.Known || features.ZeroCopy {
		return nil // the bind will tell
	}
	r := Report{Interface: link.Name, Driver: driverOf(link.Name)}
	return &UnsupportedError{Feature: "zero-copy on " + link.Name, Needs: "another driver than " + r.driverName()}
}

// errSlabs marks failures of ports that were to send from slabs.
var errSlabs = errors.New("sending from slabs")

func (o *LadderOptions) openRung(link *net.Interface, rung port.Rung, slabs bool) (_ *Ladder, err error) {
	l := &Ladder{Rung: rung}
	defer func() {
		if err != nil {
			_ = l.Close()
		}
	}()
	pattern := o.pattern(link, rung)
	steer := o.Steer
	steer.Queues, steer.Frags = o.Queues, pattern.MultiBuffer
	if l.Program, err = o.Load(steer); err != nil {
		return nil, err
	}
	mode := bpf.Native
	if rung == port.RungXDPGeneric {
		mode = bpf.Generic
	}
	if err := l.Program.Attach(link.Index, mode); err != nil {
		return nil, err
	}
	for q := range o.Queues {
		if err := l.openQueue(o, pattern, q, slabs); err != nil {
			return nil, err
		}
	}
	for q, p := range l.Ports {
		if err := l.Program.RegisterSocket(q, p.FD()); err != nil {
			return nil, fmt.Errorf("register the socket of queue %d: %w", q, err)
		}
	}
	return l, nil
}

// Longest MTU for which a packet stays in one buffer: a page, less headroom and the
// kernel's bookkeeping.
const singleBufferMTU = 3498

func (o *LadderOptions) pattern(link *net.Interface, rung port.Rung) PortOptions {
	p := o.Port
	p.Interface, p.Rung, p.Metadata = o.Interface, rung, true
	p.PortBase, p.Shards = o.Steer.PortBase, o.Steer.Shards
	p.Bind = BindCopy
	if rung == port.RungXDPZeroCopy {
		p.Bind = BindZeroCopy
	}
	room := orElse(p.FrameBytes, defaultFrameBytes) - dataOffsetBytes - ethernetBytes - vlanBytes
	if link.MTU > min(singleBufferMTU, room) && link.Flags&net.FlagLoopback == 0 {
		p.MultiBuffer = true
	}
	return p
}

func (l *Ladder) openQueue(o *LadderOptions, pattern PortOptions, queue int, slabs bool) error {
	pattern.Queue = queue
	if o.Customize != nil {
		o.Customize(queue, &pattern)
	}
	if !slabs {
		pattern.Slabs = nil
	}
	l.limitSlabs(&pattern, o.zeroCopySegments)
	p, err := Open(pattern)
	if err != nil && pattern.Slabs != nil && errors.Is(err, ErrUnsupported) {
		return fmt.Errorf("%w: %w", errSlabs, err)
	}
	if err != nil {
		return err
	}
	l.Ports = append(l.Ports, p)
	return nil
}

// limitSlabs fits the use of slabs to what the driver takes: without packets of
// several descriptors only replies in place are left, and these need 2 MiB pages.
func (l *Ladder) limitSlabs(p *PortOptions, segments int) {
	if p.Slabs == nil || p.Bind != BindZeroCopy || segments != 1 {
		return
	}
	if !p.Slabs.Huge {
		l.note = fmt.Sprintf("values are copied: %s takes one descriptor a packet, and %s is not on 2 MiB pages (mount hugetlbfs there)", p.Interface, p.Slabs.Path)
		p.Slabs = nil
		return
	}
	one := *p.Slabs
	one.OneDescriptor = true
	p.Slabs = &one
}

// Close detaches the program, then closes the ports: no packet is redirected to a
// socket that is gone.
func (l *Ladder) Close() error {
	var errs []error
	if l.Program != nil {
		errs = append(errs, l.Program.Close())
		l.Program = nil
	}
	for _, p := range l.Ports {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

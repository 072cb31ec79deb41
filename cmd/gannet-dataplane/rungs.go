package main

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"gannet/bpf"
	"gannet/config"
	"gannet/dataplane/port"
	"gannet/dataplane/xsk"
)

// A node changes its rung while it serves, and keeps its items. It climbs anew, from
// the top, when the interface has changed under it (gone down or up, other queues,
// another MTU or address, another device of the name), when descriptors turned out
// invalid, and now and then when a better rung was refused because something else held
// the queue.
// Where no AF_XDP rung works it serves by kernel sockets, and it looks again when the
// interface changes.
//
// Its housekeeping sees to it, once a second and at every message of the kernel about
// links. The steps: each loop gives its port up (dataplane/portchange.go), the XDP
// program is detached, the ladder climbed, each loop given its new port.
type rungs struct {
	events   chan struct{} // something about links; holds one
	down     atomic.Bool   // the interface was seen down since
	seen     linkState     // when the ladder was climbed last
	distrust bool          // of zero-copy: descriptors were invalid
	retryAt  time.Time     // climb again, for a better rung; zero = no reason to
	backoff  time.Duration
	verdicts map[bpf.Reason]uint64 // of the programs before
}

// linkState is what the ladder depends on.
type linkState struct {
	index, mtu, queues int
	up                 bool
	address            string // the XDP program leaves frames to another to the kernel
}

const (
	firstRetry = 5 * time.Second
	lastRetry  = 5 * time.Minute
)

// usesInterface says whether AF_XDP is wanted.
func (n *node) usesInterface() bool {
	return n.cfg.Datapath != config.DatapathUDP && n.cfg.Interface != "" &&
		(n.cfg.Interface != "lo" || n.cfg.Datapath == config.DatapathXDP)
}

// look asks for the state of the interface. One that is not there is down.
func (n *node) look() linkState {
	link, err := net.InterfaceByName(n.cfg.Interface)
	if err != nil {
		return linkState{}
	}
	return linkState{
		index: link.Index, mtu: link.MTU, up: link.Flags&net.FlagUp != 0, queues: xsk.Queues(n.cfg.Interface),
		address: link.HardwareAddr.String(),
	}
}

// followLinks passes the kernel's messages about the interface on until done is
// closed.
func (n *node) followLinks(done <-chan struct{}) {
	updates := make(chan netlink.LinkUpdate, 16)
	if err := netlink.LinkSubscribe(updates, done); err != nil {
		n.log.Warn("cannot follow the interface's events; looking once a second", "error", err)
		return
	}
	for u := range updates {
		if u.Link == nil || u.Link.Attrs().Name != n.cfg.Interface {
			continue
		}
		if u.IfInfomsg.Flags&unix.IFF_UP == 0 {
			n.rungs.down.Store(true)
		}
		select {
		case n.rungs.events <- struct{}{}:
		default:
		}
	}
}

// checkRung changes the rung when there is a reason to.
func (n *node) checkRung(now time.Time) {
	if n.climber == nil {
		return
	}
	state, why := n.look(), n.reasonToClimb(now)
	if why == "" {
		return
	}
	n.log.Warn("changing the rung of the datapath", "interface", n.cfg.Interface, "because", why, "rung", n.datapath.rung.String())
	n.rungs.seen = state
	err := n.climber.do(func() error { return n.changeRung(state.up) })
	n.rungs.down.Store(false) // what the change itself brought about
	if err != nil {
		n.log.Error("the node has no datapath; trying again", "error", err)
	}
	n.planRetry(now, err)
}

// reasonToClimb returns "" when all is as it was.
func (n *node) reasonToClimb(now time.Time) string {
	r, state := &n.rungs, n.look()
	onXDP := n.datapath.rung != port.RungUDP
	flapped := r.down.Swap(false)
	switch invalid := n.invalidDescriptors(); {
	case n.datapath.rung == port.RungXDPZeroCopy && invalid > 0:
		r.distrust = true
		return fmt.Sprintf("the kernel found %d descriptors invalid, and has swallowed their packets", invalid)
	case onXDP && !state.up:
		return "the interface is down"
	case onXDP && flapped:
		return "the interface was down"
	case state.up && state != r.seen:
		return fmt.Sprintf("the interface has changed: %+v, it was %+v", state, r.seen)
	case !r.retryAt.IsZero() && now.After(r.retryAt) && state.up:
		return "a better rung may be free by now"
	}
	return ""
}

// invalidDescriptors adds up tx_invalid_descs of all sockets.
func (n *node) invalidDescriptors() (sum uint64) {
	for _, p := range n.datapath.ports {
		if x, ok := p.(interface{ InvalidSent() uint64 }); ok {
			sum += x.InvalidSent()
		}
	}
	return sum
}

// planRetry decides whether to climb again without a reason from outside: when a
// queue was taken, or when nothing at all worked.
func (n *node) planRetry(now time.Time, err error) {
	r := &n.rungs
	if err == nil && !errors.Is(n.datapath.refusal, xsk.ErrBusy) && !errors.Is(n.datapath.refusal, unix.EBUSY) {
		r.retryAt, r.backoff = time.Time{}, 0
		return
	}
	r.backoff = min(max(2*r.backoff, firstRetry), lastRetry)
	r.retryAt = now.Add(r.backoff)
}

// changeRung exchanges the ports of all loops. It runs with the privileges that
// sockets and programs need. From kernel sockets it climbs beside them; AF_XDP
// sockets must be gone first, because a hardware queue takes one.
func (n *node) changeRung(up bool) error {
	old := n.datapath
	if old.rung != port.RungUDP {
		if err := n.leave(old); err != nil {
			n.log.Warn("left a rung", "rung", old.rung.String(), "error", err)
		}
	}
	next, err := n.climbTo(up)
	if err != nil {
		return err
	}
	if old.rung == port.RungUDP && next.rung == port.RungUDP && len(old.ports) > 0 {
		old.refusal, old.whyNot = next.refusal, next.whyNot
		return n.publishInfo()
	}
	n.datapath = next
	for i, loop := range n.loops {
		if e := loop.ChangePort(next.ports[i], n.stampOf(i)); e != nil {
			err = errors.Join(err, e)
			continue
		}
		loop.UseHot(n.hotTable(i))
	}
	n.log.Info("datapath", "rung", next.rung.String(), "why_not_better", next.whyNot)
	return errors.Join(err, n.publishInfo())
}

// climbTo opens the best rung there is. Kernel sockets that serve already stay.
func (n *node) climbTo(up bool) (*datapath, error) {
	if up {
		d, err := n.openXDP()
		if err == nil {
			return d, nil
		}
		return n.fallTo(err)
	}
	return n.fallTo(errLinkDown)
}

var errLinkDown = errors.New("xdp: the interface is down")

func (n *node) fallTo(why error) (*datapath, error) {
	if n.datapath.rung == port.RungUDP && len(n.datapath.ports) > 0 {
		return &datapath{rung: port.RungUDP, refusal: why, whyNot: reasonsOf(why)}, nil
	}
	d, err := n.openUDP()
	if err != nil {
		return nil, errors.Join(why, err)
	}
	d.refusal, d.whyNot = why, reasonsOf(why)
	return d, nil
}

// leave takes the ports of an AF_XDP rung from the loops, then its program away.
func (n *node) leave(old *datapath) error {
	var errs []error
	for _, loop := range n.loops {
		errs = append(errs, loop.ChangePort(nil, nil))
	}
	n.keepVerdicts()
	if old.steer != nil {
		errs = append(errs, old.steer.Close())
	}
	n.datapath = &datapath{rung: port.RungUDP}
	return errors.Join(errs...)
}

// stampOf tells the XDP program that a shard is alive; nil where there is none.
func (n *node) stampOf(shard int) func(int64) {
	steer := n.datapath.steer
	if steer == nil {
		return nil
	}
	return func(nowNanos int64) { steer.Stamp(shard, nowNanos) }
}

// publishInfo puts the shards' rung on the board.
func (n *node) publishInfo() error {
	return n.board.Node().SetInfo(n.info())
}

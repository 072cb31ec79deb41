package client

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"gannet/wire"
)

// IncastMode is how GetMulti keeps the replies of many nodes from overrunning the
// last switch's buffer in front of this machine.
type IncastMode uint8

const (
	// IncastGrants tells each node when to answer and how fast, so that replies
	// arrive one after the other at nearly the link's speed, and no queue builds up
	// for others to wait in.
	IncastGrants IncastMode = iota
	// IncastWindow lets WindowBytes of values be under way at once. It needs nothing
	// of the nodes, and keeps the queue in front of the link as long as the window.
	IncastWindow
	// IncastNone asks for everything at once.
	IncastNone
)

// WindowBytes is the window of IncastWindow.
const WindowBytes = 128 << 10

// DefaultLinkBits is the link's speed in bit/s where the interface does not tell.
const DefaultLinkBits = 10e9

// WithIncast chooses how multi-gets are kept from overrunning the link. The
// default is IncastGrants.
func WithIncast(mode IncastMode) Option {
	return func(s *settings) error {
		if mode > IncastNone {
			return fmt.Errorf("%w: incast mode %d: give IncastGrants, IncastWindow or IncastNone", ErrBadRequest, mode)
		}
		s.incast = mode
		return nil
	}
}

// WithLinkSpeed sets the speed of the narrowest link in front of this machine, by
// which replies are scheduled. Without it the interface that the nodes are reached
// by tells its own; give it where a switch, a hypervisor or a container's limit lets
// less through. Nodes bring down a client that says more than it can take.
func WithLinkSpeed(bitsPerSecond int64) Option {
	return func(s *settings) error {
		if bitsPerSecond < 1e6 || bitsPerSecond > 1e12 {
			return fmt.Errorf("%w: link of %d bit/s: give 1e6 to 1e12", ErrBadRequest, bitsPerSecond)
		}
		s.linkBits = bitsPerSecond
		return nil
	}
}

const (
	// frameBytes is what Ethernet, IPv4 and UDP add to a datagram, with preamble,
	// checksum and gap.
	frameBytes = 14 + 4 + 8 + 12 + 20 + 8
	// linkShare is how much of the link is given out. The rest is for everybody
	// else's packets, and for clocks that differ.
	linkShare = 0.98
	// freeReplyBytes is how much may be asked for without a schedule: any switch has
	// room for it.
	freeReplyBytes = 16 << 10
	// windowCallBytes bounds what one datagram asks for under IncastWindow.
	windowCallBytes = WindowBytes / 8
	mostLead        = time.Millisecond
)

// incast is what a client's multi-gets share.
type incast struct {
	sizes  sizes
	window *semaphore.Weighted

	mu       sync.Mutex
	calendar calendar // guarded by mu
}

func (t *incast) init() { t.window = semaphore.NewWeighted(WindowBytes) }

// slot is the part of the link's time that one datagram's replies have. The zero
// value is none: they come as they may.
type slot struct {
	startNanos  int64 // when the replies begin to arrive
	endNanos    int64
	lastNanos   int64 // the end of the multi-get's last slot
	offsetNanos int64 // as granted: from the request's arrival to the reply's departure
	rateKbit    uint32
}

// calendar gives out the time of a link, slot by slot. It is pure: nothing in it
// reads a clock. Slots never overlap.
type calendar struct {
	bitsPerSecond int64
	freeNanos     int64
	open          int // reservations not yet released
}

// reserve takes the link for so many bytes, as soon as it is free.
func (c *calendar) reserve(earliestNanos int64, bytes int) (startNanos, endNanos int64) {
	startNanos = max(earliestNanos, c.freeNanos)
	c.freeNanos = startNanos + (int64(bytes)*8*1e9+c.bitsPerSecond-1)/c.bitsPerSecond
	c.open++
	return startNanos, c.freeNanos
}

// release ends n reservations. When none is open nothing is on its way any more, and
// what is left of the last slot is free.
func (c *calendar) release(n int, nowNanos int64) {
	c.open -= n
	if c.open == 0 {
		c.freeNanos = min(c.freeNanos, nowNanos)
	}
}

// schedule gives each call of a multi-get its slot.
func (m *multi) schedule(calls []*multiCall) {
	t := &m.client.incast
	total, nodes := 0, map[*node]struct{}{}
	for _, mc := range calls {
		mc.replyBytes = mc.expectedBytes()
		total += mc.replyBytes
		nodes[mc.call.node()] = struct{}{}
	}
	for _, mc := range calls {
		mc.call.multi = true
		mc.call.expected = uint32(min(total, 1<<32-1))
		mc.call.fanOut = uint16(min(len(nodes), 1<<16-1))
	}
	if m.client.settings.incast != IncastGrants || total < freeReplyBytes {
		return
	}
	now := m.client.nowNanos()
	lead := min(calls[0].call.node().leastNanos.Load(), int64(mostLead))
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, mc := range calls {
		mc.call.slot = t.reserve(mc.call.node(), now+lead, mc.replyBytes)
	}
	for _, mc := range calls {
		mc.call.slot.lastNanos = calls[len(calls)-1].call.slot.endNanos
	}
}

// reserve makes a slot for replies of so many bytes on the wire. The caller holds mu.
func (t *incast) reserve(n *node, earliestNanos int64, bytes int) slot {
	if t.calendar.bitsPerSecond == 0 {
		t.calendar.bitsPerSecond = int64(linkShare * float64(n.linkBits()))
	}
	var s slot
	s.startNanos, s.endNanos = t.calendar.reserve(earliestNanos, bytes)
	// Nodes count payload alone.
	payload := int64(n.partPayloadBytes())
	s.rateKbit = uint32(max(1, t.calendar.bitsPerSecond*payload/(payload+frameBytes)/1000))
	return s
}

// unschedule gives the calls' slots back.
func (m *multi) unschedule(calls []*multiCall) {
	t, n := &m.client.incast, 0
	for _, mc := range calls {
		n += mc.call.slots()
	}
	if n == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calendar.release(n, m.client.nowNanos())
}

// noteLeast follows the shortest round trips: down at once, up slowly, as paths change.
func (n *node) noteLeast(nanos int64) {
	least := n.leastNanos.Load()
	if least != 0 && nanos > least {
		nanos = least + (nanos-least)/256
	}
	n.leastNanos.Store(max(nanos, 1))
}

// slots is how many reservations the call has made.
func (c *call) slots() int {
	if c.slot.rateKbit == 0 {
		return 0
	}
	return 1 + c.reslots
}

// grant writes what the call's replies may do into its header. What is asked for
// again gets a slot of its own. The caller holds c.mu.
func (c *call) grant(h *wire.RequestHeader, t *target, nowNanos int64) {
	if !c.multi {
		return
	}
	h.ExpectedBytes, h.FanOut = c.expected, c.fanOut
	if c.slot.rateKbit == 0 {
		return
	}
	rtt := t.node.leastNanos.Load()
	if c.sends() > 0 {
		c.reslot(t, nowNanos+min(rtt, int64(mostLead)))
	}
	c.slot.offsetNanos = max(0, c.slot.startNanos-nowNanos-rtt)
	h.GrantOffsetMicros = uint32(min(c.slot.offsetNanos/1000, int64(time.Second/time.Microsecond)))
	h.GrantRateKbit = c.slot.rateKbit
}

// reslot reserves a slot for what is still missing.
func (c *call) reslot(t *target, earliestNanos int64) {
	in := &c.client.incast
	in.mu.Lock()
	defer in.mu.Unlock()
	c.slot = in.reserve(t.node, earliestNanos, c.missingBytes(t.node))
	c.reslots++
}

// missingBytes is about what the answers still to come take on the wire.
func (c *call) missingBytes(n *node) (total int) {
	for i := range c.ops {
		switch op := &c.ops[i]; {
		case op.done:
		case op.parts != nil && op.parts.begun:
			total += n.wireBytes(op.parts.missingUnits * unitBytes)
		default:
			total += n.wireBytes(c.client.incast.sizes.expect(op.ask.Key))
		}
	}
	return total
}

// slackNanos is how long to wait past the end of the call's slot, for what was lost at
// its end: what is missing before that is asked for as soon as the end is here. The
// slot is the zero value when there is none.
func (c *call) slackNanos(silences int) (s slot, slackNanos int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slot.rateKbit == 0 {
		return c.slot, 0
	}
	rtt, lag := &c.node().rtt, &c.node().lag
	slack := max(int64(rtt.min), rtt.smoothed.Load()+4*rtt.deviation.Load(), lag.smoothed.Load()+4*lag.deviation.Load())
	// A node that was told to be slower than the grant shows it by its gaps.
	slack = min(max(slack, 4*c.node().paceNanos.Load()), int64(rtt.max))
	return c.slot, slack << min(silences, 8)
}

// againNanos is when silence becomes a reason to send again. With a slot that is never
// before the multi-get's last one is over: what is asked for again has to wait for that
// anyway, and a node that was only late has answered by then, mostly.
func (c *call) againNanos(silences int) int64 {
	if s, slack := c.slackNanos(silences); s.rateKbit != 0 {
		return max(s.lastNanos, max(s.endNanos, c.progressNanos())+slack)
	}
	return c.progressNanos() + int64(c.node().rtt.timeout(silences)+time.Duration(len(c.ops)-1)*operationAllowance)
}

// slotNanos is how long from now the call's slot lasts, and those of the multi-get
// after it.
func (c *call) slotNanos(nowNanos int64) int64 {
	if c.slot.rateKbit == 0 {
		return 0
	}
	return max(0, max(c.slot.endNanos, c.slot.lastNanos)-nowNanos)
}

// noteGap follows the distances between the datagrams of a reply. The caller holds mu.
func (c *call) noteGap(nowNanos int64) {
	if c.multi && c.replyNanos > c.targets[0].sentNanos {
		pace := &c.targets[0].node.paceNanos
		pace.Store(max(pace.Load()*15/16, nowNanos-c.replyNanos))
	}
}

// learnSizes takes note of what the call's answers were like, and of how late the last
// one was.
func (m *multi) learnSizes(mc *multiCall) {
	if c := mc.call; c.slot.rateKbit != 0 && c.sends() == 1 && c.left == 0 {
		c.node().lag.observe(time.Duration(max(0, m.client.nowNanos()-c.slot.endNanos)))
	}
	for i := range mc.call.ops {
		op := &mc.call.ops[i]
		if op.done && op.failure == nil {
			m.client.incast.sizes.observe(op.ask.Key, len(op.value))
		}
	}
}

// expectedBytes is what the call's replies take on the wire, by what was learned.
func (mc *multiCall) expectedBytes() int {
	c, total, n := mc.call, frameBytes+wire.ReplyHeaderBytes, mc.call.node()
	for i := range c.ops {
		total += n.wireBytes(c.client.incast.sizes.expect(c.ops[i].ask.Key))
	}
	return total
}

// full says whether one more key should go into a datagram of its own.
func (mc *multiCall) full(key string) bool {
	c := mc.call.client
	return c.settings.incast == IncastWindow && mc.valueBytes+c.incast.sizes.expect([]byte(key)) > windowCallBytes
}

// admit waits for room in the window and takes it; the function returned gives it
// back.
func (m *multi) admit(ctx context.Context, mc *multiCall) (leave func(), err error) {
	if m.client.settings.incast != IncastWindow {
		return func() {}, nil
	}
	weight := int64(min(max(mc.valueBytes, 1), WindowBytes))
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(0, m.deadlineNanos-m.client.nowNanos())))
	defer cancel()
	if err := m.client.incast.window.Acquire(ctx, weight); err != nil {
		return nil, newTimeout(ctx, ErrTimeout, false)
	}
	return func() { m.client.incast.window.Release(weight) }, nil
}

// partPayloadBytes is how long a datagram with one part of a long value is.
func (n *node) partPayloadBytes() int {
	const head = wire.ReplyHeaderBytes + wire.ReplyOpHeaderBytes
	return head + max(unitBytes, (n.payloadBytes()-head)&^(unitBytes-1))
}

// wireBytes is what a value takes on the wire: in parts of its own when it is long,
// else beside others.
func (n *node) wireBytes(valueBytes int) int {
	const head = wire.ReplyHeaderBytes + wire.ReplyOpHeaderBytes
	if head+valueBytes <= n.payloadBytes() {
		// Datagrams are shared; their own headers count by how full each is.
		return (valueBytes + wire.ReplyOpHeaderBytes) * (n.payloadBytes() + frameBytes) / (n.payloadBytes() - wire.ReplyHeaderBytes)
	}
	room := n.partPayloadBytes() - head
	parts := (valueBytes + room - 1) / room
	return valueBytes + parts*(head+frameBytes)
}

// linkBits is the speed of the link that the node's replies come in by.
func (n *node) linkBits() int64 {
	if n.client.settings.linkBits != 0 {
		return n.client.settings.linkBits
	}
	if bits := interfaceBits(n.addr.String()); bits > 0 {
		return bits
	}
	return DefaultLinkBits
}

// interfaceBits asks the system for the speed of the interface that packets to an
// address leave by; 0 = it does not know. Nothing is sent.
func interfaceBits(address string) int64 {
	probe, err := net.Dial("udp", address)
	if err != nil {
		return 0
	}
	defer probe.Close()
	local, ok := probe.LocalAddr().(*net.UDPAddr)
	if !ok {
		return 0
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return 0
	}
	for i := range interfaces {
		if hasAddress(&interfaces[i], local.IP) {
			return sysfsBits(interfaces[i].Name)
		}
	}
	return 0
}

func hasAddress(dev *net.Interface, ip net.IP) bool {
	addrs, err := dev.Addrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}

// sysfsBits reads an interface's speed; 0 where the driver knows none.
func sysfsBits(name string) int64 {
	text, err := os.ReadFile("/sys/class/net/" + name + "/speed")
	if err != nil {
		return 0
	}
	megabits, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || megabits <= 0 {
		return 0
	}
	return megabits * 1e6
}

package client

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gannet/wire"
)

// maxJumboPayload fits 9,000-byte frames over IPv4, the longest that cards and
// switches agree on.
const maxJumboPayload = 9000 - 28

const (
	// probeTries is how often one length is tried: a datagram that is lost by chance
	// must not be taken for one that is too long.
	probeTries = 3
	// probeGrainBytes is how near the search comes to the longest length.
	probeGrainBytes = unitBytes / 2
	// blackHoleSilences is how many timeouts in a row, without a long datagram from the
	// node between them, make the client go back to datagrams that fit everywhere.
	blackHoleSilences = 2

	probeLeastWait = 20 * time.Millisecond
	probeAgainMin  = 10 * time.Second
	probeAgainMost = 10 * time.Minute
)

// pathMTU is what a client knows of the way to a node: how long datagrams may be
// beyond what fits everywhere.
//
// Lengths are proved, never assumed: a PING of that length, which no router may cut
// into fragments, is answered with an echo of its padding, so that the way back is
// tried as well. Nothing waits for a proof; until there is one, datagrams are as
// long as [DefaultMaxPayload]. A proved length is dropped at once when the node falls
// silent, and proved anew, because the way may lead through a narrower link by now
// that swallows what is too long and tells nobody.
type pathMTU struct {
	provedBytes atomic.Int32 // 0 = none
	silences    atomic.Int32 // in a row, while a length is proved
	roomBytes   atomic.Int32 // of the sockets' buffers; 0 = not known yet, -1 = no more than usual
	running     atomic.Bool  // the prober; it ends with the client or with the node's membership
	ended       atomic.Bool  // the node has left the ring
	poke        chan struct{}
}

func (p *pathMTU) init() { p.poke = make(chan struct{}, 1) }

// prod has the prober look again now.
func (p *pathMTU) prod() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// silent is told of each timeout.
func (p *pathMTU) silent() {
	if p.provedBytes.Load() != 0 && p.silences.Add(1) >= blackHoleSilences {
		p.silences.Store(0)
		p.provedBytes.Store(0)
		p.prod()
	}
}

// carried is told of each datagram longer than usual that came through.
func (p *pathMTU) carried() {
	if p.silences.Load() != 0 {
		p.silences.Store(0)
	}
}

// limitBytes is the longest datagram for now, either way.
func (n *node) limitBytes() int {
	return max(n.client.settings.maxPayloadBytes, int(n.path.provedBytes.Load()))
}

// bufferBytes is how long a reply the node's sockets have room for. It is decided by
// the first of them, from the interface that it leaves by.
func (n *node) bufferBytes(udp *net.UDPConn) int {
	room := n.path.roomBytes.Load()
	if room == 0 {
		room = -1
		if n.client.settings.probePath {
			if local := localPayload(udp, n.addr.Addr()); local > DefaultMaxPayload {
				room = int32(min(local, maxJumboPayload))
			}
		}
		n.path.roomBytes.Store(room)
	}
	return max(n.client.settings.maxPayloadBytes, int(room))
}

// mayBeLong says whether the way to the node could take longer datagrams than usual,
// as far as its two ends go.
func (n *node) mayBeLong() bool {
	info := n.info.Load()
	return n.path.roomBytes.Load() > DefaultMaxPayload && info != nil && info.MaxPayloadBytes > DefaultMaxPayload
}

// beginProbing sees to it that the way to a node that has just said HELLO is tried,
// where trying can bring anything.
func (n *node) beginProbing() {
	if !n.mayBeLong() {
		return
	}
	if n.path.running.Swap(true) {
		n.path.prod()
		return
	}
	if !n.client.trackWorker() {
		return
	}
	go func() {
		defer n.client.readers.Done()
		n.keepProbing()
	}()
}

// keepProbing tries the way now, whenever it is asked to, and now and then while it
// is narrower than its ends.
func (n *node) keepProbing() {
	for pause := probeAgainMin; !n.path.ended.Load(); pause = min(2*pause, probeAgainMost) {
		n.tryPath()
		timer := time.NewTimer(pause)
		select {
		case <-n.client.closing:
			timer.Stop()
			return
		case <-n.path.poke:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// tryPath finds the longest datagram that comes through and publishes it.
func (n *node) tryPath() {
	if !n.mayBeLong() {
		n.path.provedBytes.Store(0) // the node was started anew, on a narrower interface
		return
	}
	p, err := n.newProber()
	if err != nil {
		return // as long as usual it is
	}
	defer p.close()
	n.path.provedBytes.Store(int32(search(DefaultMaxPayload, p.most, p.carries)))
}

// search returns the longest length between least and most that is carried, within
// the grain; 0 when only least is. The longest is tried first: it mostly is the answer.
func search(least, most int, carries func(bytes int) bool) (longest int) {
	if most > least && carries(most) {
		return most
	}
	for low, high := least, most; high-low > probeGrainBytes; {
		middle := (low + high) / 2
		if carries(middle) {
			low, longest = middle, middle
		} else {
			high = middle
		}
	}
	return longest
}

// prober is the socket that a way is tried over.
type prober struct {
	node     *node
	conn     *conn // of which no reader is running
	most     int
	datagram []byte
	reply    []byte
	control  [128]byte
}

func (n *node) newProber() (*prober, error) {
	udp, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(n.addr))
	if err != nil {
		return nil, err
	}
	if err := neverFragment(udp, n.addr.Addr()); err != nil {
		udp.Close()
		return nil, err
	}
	p := &prober{node: n, conn: &conn{client: n.client, node: n, udp: udp}}
	if !n.client.track(p.conn) {
		udp.Close()
		return nil, ErrClosed
	}
	p.most = min(localPayload(udp, n.addr.Addr()), int(n.path.roomBytes.Load()), int(n.info.Load().MaxPayloadBytes))
	p.reply = make([]byte, p.most+1)
	return p, nil
}

func (p *prober) close() {
	p.conn.udp.Close()
	p.node.client.untrack(p.conn)
}

// carries says whether a datagram of so many bytes arrives, and one of that length
// comes back.
func (p *prober) carries(bytes int) bool {
	for try := range probeTries {
		select {
		case <-p.node.client.closing:
			return false
		default:
		}
		id := p.build(bytes)
		if _, err := p.conn.udp.Write(p.datagram); err != nil {
			return false // over the interface's own limit, or the node is not there
		}
		wait := max(probeLeastWait, p.node.rtt.timeout(try))
		if p.await(id, bytes, time.Now().Add(wait)) {
			return true
		}
	}
	return false
}

// build makes a PING of so many bytes, or a few less. What is echoed has room in a
// reply of that length.
func (p *prober) build(bytes int) (id uint64) {
	n, now := p.node, p.node.client.nowNanos()
	header := n.header(0, 0, 0, now, now+int64(time.Second))
	header.RequestID, header.MaxReplyBytes = n.client.nextIDs(1), uint16(bytes)
	p.datagram = wire.AppendRequest(p.datagram[:0], &header)
	padding := (bytes - len(p.datagram) - wire.OpHeaderBytes) &^ (wire.AlignBytes - 1)
	p.datagram = wire.AppendOp(p.datagram, 0, &wire.Op{Code: wire.Ping, Value: make([]byte, padding)})
	return header.RequestID
}

// await reads until the echo has come, whole and in one piece.
func (p *prober) await(id uint64, bytes int, until time.Time) bool {
	var reply wire.Reply
	if p.conn.udp.SetReadDeadline(until) != nil {
		return false
	}
	for {
		got, control, _, _, err := p.conn.udp.ReadMsgUDPAddrPort(p.reply, p.control[:])
		if err != nil {
			return false
		}
		if wire.ParseReply(p.reply[:got], &reply) != wire.ReasonNone || reply.RequestID != id || reply.SessionID != p.node.client.session {
			continue
		}
		return got >= len(p.datagram)-wire.AlignBytes && !inFragments(p.control[:control]) && p.echoes(&reply)
	}
}

// echoes says whether the answer is what was sent.
func (p *prober) echoes(reply *wire.Reply) bool {
	ops := reply.Ops()
	var answer wire.ReplyOp
	return ops.Next(&answer) && answer.Code == wire.Ping && answer.Status == wire.StatusOK && answer.Intact()
}

// neverFragment makes the kernel send datagrams whole or not at all, and tell of those
// received that came in fragments.
func neverFragment(udp *net.UDPConn, to netip.Addr) error {
	if to.Is4() || to.Is4In6() {
		return setOptions(udp, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE, unix.IP_RECVFRAGSIZE)
	}
	return setOptions(udp, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE, unix.IPV6_RECVFRAGSIZE)
}

func setOptions(udp *net.UDPConn, level, discover, how, fragments int) (err error) {
	raw, err := udp.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), level, discover, how); err == nil {
			err = unix.SetsockoptInt(int(fd), level, fragments, 1)
		}
	})
	if failed != nil {
		return failed
	}
	return err
}

// inFragments looks for the kernel's word that a datagram came in fragments.
func inFragments(control []byte) bool {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return true
	}
	for _, m := range messages {
		if (m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVFRAGSIZE) ||
			(m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVFRAGSIZE) {
			return true
		}
	}
	return false
}

// localPayload is the longest payload that the interface towards an address takes;
// 0 when the kernel does not say.
func localPayload(udp *net.UDPConn, to netip.Addr) (bytes int) {
	raw, err := udp.SyscallConn()
	if err != nil {
		return 0
	}
	level, option, headers := unix.IPPROTO_IP, unix.IP_MTU, 28
	if !to.Is4() && !to.Is4In6() {
		level, option, headers = unix.IPPROTO_IPV6, unix.IPV6_MTU, 48
	}
	_ = raw.Control(func(fd uintptr) {
		if mtu, err := unix.GetsockoptInt(int(fd), level, option); err == nil {
			bytes = mtu - headers
		}
	})
	return max(bytes, 0)
}

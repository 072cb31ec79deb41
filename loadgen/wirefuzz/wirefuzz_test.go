package wirefuzz

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"gannet/checksum"
	"gannet/wire"
)

func TestGeneratorReachesEveryReason(t *testing.T) {
	g := NewGenerator(1)
	buf := make([]byte, maxPayloadBytes)
	var reasons [wire.ReasonCount]int
	var opcodes [wire.OpcodeCount]int
	var request wire.Request
	for i := range uint64(50_000) {
		b, reason := g.Mutated(buf, i)
		if got := wire.ParseRequest(b, &request); got != reason || got == wire.ReasonNone {
			t.Fatalf("%x: said to be %v, is %v", b, reason, got)
		}
		reasons[reason]++
		if at := wire.RequestHeaderBytes; len(b) > at && b[at] < wire.OpcodeCount {
			opcodes[b[at]]++
		}
	}
	for reason := range wire.ReasonCount {
		if wanted := reason != wire.ReasonNone && !unreachable(reason); (reasons[reason] != 0) != wanted {
			t.Errorf("%v: %d datagrams", reason, reasons[reason])
		}
	}
	for code := wire.Get; code < wire.OpcodeCount; code++ {
		if opcodes[code] == 0 {
			t.Errorf("%v was never mutated", code)
		}
	}
}

func TestGarbageIsBroken(t *testing.T) {
	g := NewGenerator(2)
	buf := make([]byte, maxPayloadBytes)
	reasons := map[wire.Reason]int{}
	for range 20_000 {
		b, reason := g.Garbage(buf)
		if got := wire.ParseRequest(b, new(wire.Request)); got != reason || got == wire.ReasonNone {
			t.Fatalf("%x: said to be %v, is %v", b, reason, got)
		}
		reasons[reason]++
	}
	if len(reasons) < 8 {
		t.Errorf("garbage reaches %v only", reasons)
	}
}

func TestGeneratorIsDeterministic(t *testing.T) {
	a, b, other := NewGenerator(7), NewGenerator(7), NewGenerator(8)
	sum := func(g *Generator) (crc uint32) {
		buf := make([]byte, maxPayloadBytes)
		for i := range uint64(2_000) {
			garbage, _ := g.Garbage(buf)
			crc = checksum.UpdateCRC(crc, garbage)
			mutated, _ := g.Mutated(buf, i)
			crc = checksum.UpdateCRC(crc, mutated)
			crc = checksum.UpdateCRC(crc, g.Good(buf, i))
		}
		return crc
	}
	if x, y := sum(a), sum(b); x != y {
		t.Errorf("one seed gave %#x and %#x", x, y)
	}
	if sum(NewGenerator(7)) == sum(other) {
		t.Error("two seeds gave the same")
	}
}

func TestGoodIsGood(t *testing.T) {
	g := NewGenerator(3)
	buf := make([]byte, maxPayloadBytes)
	for i := range uint64(20_000) {
		b := g.Good(buf, i)
		if reason := wire.ParseRequest(b, new(wire.Request)); reason != wire.ReasonNone || len(b) > maxPayloadBytes {
			t.Fatalf("%x: %v", b, reason)
		}
	}
}

// fakeNode is the least that the fuzzer takes for a node, with faults to be found.
type fakeNode struct {
	conn       *net.UDPConn
	dieAfter   int64 // datagrams; 0 never
	generous   bool  // answers unproven sources with values
	gullible   bool  // lets broken datagrams change the sentinel
	forgetful  bool  // another boot id each time
	crashAt    int64 // broken datagrams; 0 never: then it starts again, warm
	datagrams  atomic.Int64
	wrong      atomic.Int64
	value      []byte
	version    wire.Version
	boots      uint64
	puts       int
	writer     wire.ReplyWriter
	replyFrame [wire.MaxDatagramBytes]byte
}

func start(t *testing.T, n *fakeNode, address string) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		t.Skipf("no socket on %s: %v", address, err)
	}
	n.conn = conn
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		n.serve()
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func (n *fakeNode) serve() {
	buf := make([]byte, wire.MaxDatagramBytes)
	var request wire.Request
	for {
		length, from, err := n.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if n.dieAfter != 0 && n.datagrams.Add(1) > n.dieAfter {
			continue
		}
		reason := wire.ParseRequest(buf[:length], &request)
		if reply := n.answer(reason, &request, cookie(from)); reply != nil {
			_, _ = n.conn.WriteToUDPAddrPort(reply, from)
		}
	}
}

func cookie(from netip.AddrPort) uint64 {
	return 1<<32 | uint64(crc32.ChecksumIEEE([]byte(from.String())))
}

func (n *fakeNode) answer(reason wire.Reason, r *wire.Request, cookie uint64) []byte {
	if reason != wire.ReasonNone && n.wrong.Add(1) == n.crashAt {
		n.puts = 0
	}
	if !r.HeaderRead() {
		return nil
	}
	header := r.ReplyHeader()
	n.writer.Begin(n.replyFrame[:], &header, false)
	proven := r.Cookie == cookie
	op := wire.ReplyOp{Status: reason.Status()}
	var ask wire.Op
	if reason == wire.ReasonNone {
		ops := r.Ops()
		ops.Next(&ask)
		op.Code = ask.Code
		n.carryOut(&ask, &op, proven, cookie)
	} else {
		if n.gullible {
			n.version++
		}
		if !proven {
			return nil
		}
	}
	n.writer.Append(&op)
	return n.replyFrame[:n.writer.Finish()]
}

func (n *fakeNode) carryOut(ask *wire.Op, op *wire.ReplyOp, proven bool, cookie uint64) {
	switch {
	case ask.Code == wire.Hello:
		if n.forgetful {
			n.boots++
		}
		op.Token, op.Value = cookie, make([]byte, wire.HelloReplyBytes)
		(&wire.HelloReply{Shards: 1, BootID: n.boots}).Put(op.Value)
	case ask.Code == wire.Ping:
	case !proven && !(n.generous && ask.Code == wire.Get):
		op.Status, op.Token = wire.StatusCookieRequired, cookie
	case ask.Code == wire.Put && ask.Flags&wire.OpSegment == 0:
		n.puts++
		if string(ask.Key) == SentinelKey {
			n.value = append([]byte(nil), ask.Value...)
			n.version++
			op.Version = n.version
		}
	case ask.Code == wire.Stats:
		op.Value = fmt.Appendf(nil, `{"puts":%d}`, n.puts)
	case ask.Code == wire.Get && ask.Flags&wire.OpSegment == 0:
		op.Version, op.Value = n.version, n.value
	}
	op.TotalBytes, op.CRC = uint32(len(op.Value)), checksum.CRC(op.Value)
}

const testCount = 6_400

func TestRunOfAGoodNode(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		node := &fakeNode{}
		target := start(t, node, address)
		result, err := Run(context.Background(), target, testCount, 1)
		if err != nil {
			t.Fatal(err)
		}
		if !result.Lived() || !result.Quiet() {
			t.Errorf("%s: %+v", address, result)
		}
		if result.Broken != testCount || result.Probes == 0 || result.Proven.Replies == 0 || result.Unproven.Replies == 0 {
			t.Errorf("%s: sent %d broken, %d probes; %+v", address, result.Broken, result.Probes, result)
		}
		if result.Proven.BadReplies+result.Unproven.BadReplies != 0 {
			t.Errorf("%s: replies that do not parse: %+v", address, result)
		}
		var sent int64
		for _, n := range result.Reasons {
			sent += n
		}
		if got := node.wrong.Load(); got != sent || sent != result.Broken+result.Probes/4 {
			t.Errorf("%s: the node saw %d malformed datagrams, sent were %d", address, got, sent)
		}
		if missing := result.Missing(); len(missing) != 0 {
			t.Errorf("%s: no datagram was malformed by reason of %v", address, missing)
		}
	}
}

func TestRunFindsFaults(t *testing.T) {
	for name, c := range map[string]struct {
		node *fakeNode
		bad  func(*Result) bool
	}{
		"amplification":  {&fakeNode{generous: true}, func(r *Result) bool { return !r.Quiet() && r.Unproven.Amplified > 0 }},
		"state changed":  {&fakeNode{gullible: true}, func(r *Result) bool { return r.Alive && !r.SentinelIntact }},
		"node restarted": {&fakeNode{forgetful: true}, func(r *Result) bool { return r.Alive && r.BootChanged }},
		"data plane restarted": {&fakeNode{crashAt: 1000}, func(r *Result) bool {
			return r.Alive && r.SentinelIntact && r.Restarts == 1 && !r.Lived()
		}},
		"node fell silent": {&fakeNode{dieAfter: 1000}, func(r *Result) bool { return !r.Alive && r.LongestSilence >= patience }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := Run(context.Background(), start(t, c.node, "127.0.0.1:0"), testCount, 1)
			if err != nil || !c.bad(&result) {
				t.Errorf("not found: %v, %+v", err, result)
			}
		})
	}
}

func TestRunWithoutANode(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, conn.LocalAddr().(*net.UDPAddr).AddrPort(), 100, 1); !errors.Is(err, ErrNoHello) {
		t.Errorf("error %v", err)
	}
}

package control

import (
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"gannet/wire"
)

var quiet = slog.New(slog.DiscardHandler)

func request(op wire.Op) []byte {
	h := wire.RequestHeader{RequestID: 77, SessionID: 88, KeyHash: wire.KeyHash(op.Key)}
	return wire.AppendOp(wire.AppendRequest(nil, &h), 0, &op)
}

func TestDeadManAnswersUnavailableAndNeverMore(t *testing.T) {
	buf := make([]byte, 2*wire.MinReplyBytes)
	for name, op := range map[string]wire.Op{
		"get":   {Code: wire.Get, Key: []byte("k")},
		"put":   {Code: wire.Put, Key: []byte("k"), Value: make([]byte, 1000)},
		"hello": {Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)},
	} {
		asked := request(op)
		answer := unavailable(asked, buf)
		if answer == nil || len(answer) > len(asked) {
			t.Errorf("%s: %d bytes answered with %d", name, len(asked), len(answer))
			continue
		}
		var r wire.Reply
		if reason := wire.ParseReply(answer, &r); reason != wire.ReasonNone || r.RequestID != 77 || r.SessionID != 88 {
			t.Errorf("%s: reply is %v, request id %d", name, reason, r.RequestID)
		}
		var got wire.ReplyOp
		if ops := r.Ops(); !ops.Next(&got) || got.Status != wire.StatusUnavailable || got.Code != op.Code {
			t.Errorf("%s: answered %v", name, got)
		}
	}
}

func TestDeadManIsSilentToWhatIsNoRequest(t *testing.T) {
	good := request(wire.Op{Code: wire.Get, Key: []byte("k")})
	buf := make([]byte, 2*wire.MinReplyBytes)
	reply := append([]byte(nil), unavailable(good, buf)...)
	for n := range good {
		if unavailable(good[:n], buf) != nil {
			t.Fatalf("the first %d bytes of a request are answered", n)
		}
	}
	if unavailable(reply, buf) != nil {
		t.Fatal("a reply is answered: two nodes could play ping-pong")
	}
}

func TestDeadManHoldsPortsAndLetsGo(t *testing.T) {
	d := NewDeadMan(quiet)
	addr := netip.MustParseAddr("127.0.0.1")
	base := freePorts(t, 2)
	if err := d.Hold(addr, base, 2); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, base+1)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(request(wire.Op{Code: wire.Get, Key: []byte("k")})); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	if n, err := conn.Read(buf); err != nil || n != wire.MinReplyBytes {
		t.Fatalf("%d bytes, %v", n, err)
	}
	d.Release()
	if d.Answered() != 1 {
		t.Errorf("%d answers counted", d.Answered())
	}
	if err := d.Hold(addr, base, 2); err != nil {
		t.Fatalf("ports were not let go: %v", err)
	}
	d.Release()
}

// freePorts finds n free neighbouring UDP ports below those that the system gives to
// sockets that ask for none.
func freePorts(t *testing.T, n int) uint16 {
	t.Helper()
search:
	for range 100 {
		base := 12000 + rand.IntN(18000)
		for i := range n {
			next, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: base + i})
			if err != nil {
				continue search
			}
			defer next.Close()
		}
		return uint16(base)
	}
	t.Fatal("no free ports")
	return 0
}

package gomsg_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"gannet/benchmarks/gomsg"
	"gannet/wire"
)

// start serves on a free port of loopback and returns a socket that talks to it.
func start(t *testing.T) net.Conn {
	t.Helper()
	s, err := gomsg.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.Port())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

// ask sends one request and returns the operations of n replies to it.
func ask(t *testing.T, conn net.Conn, ops []wire.Op, replies int) []wire.ReplyOp {
	t.Helper()
	request := wire.AppendRequest(nil, &wire.RequestHeader{RequestID: 7, KeyHash: wire.KeyHash(ops[0].Key)})
	for i := range ops {
		request = wire.AppendOp(request, 0, &ops[i])
	}
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	var all []wire.ReplyOp
	for range replies {
		buf := make([]byte, 2048)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var reply wire.Reply
		if reason := wire.ParseReply(buf[:n], &reply); reason != wire.ReasonNone || reply.RequestID != 7 {
			t.Fatalf("reply: %v, request id %d", reason, reply.RequestID)
		}
		var op wire.ReplyOp
		for each := reply.Ops(); each.Next(&op); {
			all = append(all, op)
		}
	}
	return all
}

func TestStoresAndAnswers(t *testing.T) {
	conn := start(t)
	value := bytes.Repeat([]byte{5}, 1000)
	key := []byte("0123456789abcdef")
	if got := ask(t, conn, []wire.Op{{Code: wire.Get, Key: key}}, 1); got[0].Status != wire.StatusMiss {
		t.Errorf("before: %+v", got)
	}
	if got := ask(t, conn, []wire.Op{{Code: wire.Put, Key: key, Value: value}}, 1); got[0].Status != wire.StatusOK {
		t.Errorf("put: %+v", got)
	}
	got := ask(t, conn, []wire.Op{{Code: wire.Get, Key: key}}, 1)
	if got[0].Status != wire.StatusOK || !bytes.Equal(got[0].Value, value) || !got[0].Intact() {
		t.Errorf("get: %+v", got)
	}
	if got := ask(t, conn, []wire.Op{{Code: wire.Delete, Key: key}}, 1); got[0].Status != wire.StatusUnsupported {
		t.Errorf("delete: %+v", got)
	}
}

// TestManyKeysTakeSeveralDatagrams: every key is answered once, however many
// datagrams that takes.
func TestManyKeysTakeSeveralDatagrams(t *testing.T) {
	conn := start(t)
	var gets []wire.Op
	for i := range 16 {
		key := []byte{'k', byte('a' + i)}
		ask(t, conn, []wire.Op{{Code: wire.Put, Key: key, Value: bytes.Repeat([]byte{byte(i)}, 100)}}, 1)
		gets = append(gets, wire.Op{Code: wire.Get, Key: key})
	}
	got := ask(t, conn, gets, 2) // 16 × 152 bytes do not fit 1,472
	if len(got) != 16 {
		t.Fatalf("%d operations answered", len(got))
	}
	for i, op := range got {
		if int(op.Index) != i || len(op.Value) != 100 || op.Value[0] != byte(i) || !op.Intact() {
			t.Errorf("operation %d: %+v", i, op)
		}
	}
}

func TestHello(t *testing.T) {
	conn := start(t)
	got := ask(t, conn, []wire.Op{{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)}}, 1)
	hello, ok := wire.ParseHelloReply(got[0].Value)
	if !ok || hello.Shards != 1 || got[0].Token == 0 {
		t.Errorf("%+v, %+v", got[0], hello)
	}
	if addr, _ := conn.RemoteAddr().(*net.UDPAddr); int(hello.BasePort) != addr.Port {
		t.Errorf("base port %d, listens on %d", hello.BasePort, addr.Port)
	}
}

package clienttest

import (
	"net"
	"testing"

	"gannet/checksum"
	"gannet/wire"
)

// Canned is the cheapest node there can be: it answers every GET with the same
// value and allocates nothing, so that a test can count what its client does.
type Canned struct {
	sock   *net.UDPConn
	answer wire.ReplyOp
	hello  wire.ReplyOp
}

// NewCanned starts a node that ends with the test.
func NewCanned(t testing.TB, value []byte) *Canned {
	t.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatalf("start a canned node: %v", err)
	}
	c := &Canned{sock: sock}
	c.answer = wire.ReplyOp{
		Code: wire.Get, Version: 1, TTLSeconds: wire.NoTTL,
		Value: value, TotalBytes: uint32(len(value)), CRC: checksum.CRC(value),
	}
	hello := wire.HelloReply{Shards: 1, BasePort: uint16(sock.LocalAddr().(*net.UDPAddr).Port), MaxValueBytes: wire.MaxValueBytes}
	b := make([]byte, wire.HelloReplyBytes)
	hello.Put(b)
	c.hello = wire.ReplyOp{Code: wire.Hello, Value: b, TotalBytes: uint32(len(b)), CRC: checksum.CRC(b)}
	ended := make(chan struct{})
	go func() { c.serve(); close(ended) }()
	t.Cleanup(func() { sock.Close(); <-ended })
	return c
}

// Addr is the node's address, for client.Open.
func (c *Canned) Addr() string { return c.sock.LocalAddr().String() }

func (c *Canned) serve() {
	in, out := make([]byte, 2048), make([]byte, 2048)
	var request wire.Request
	var writer wire.ReplyWriter
	for {
		n, from, err := c.sock.ReadFromUDPAddrPort(in)
		if err != nil {
			return
		}
		if wire.ParseRequest(in[:n], &request) != wire.ReasonNone {
			continue
		}
		header := request.ReplyHeader()
		writer.Begin(out[:request.ReplyRoomBytes()], &header, false)
		answer := &c.answer
		switch wire.Opcode(in[wire.RequestHeaderBytes]) {
		case wire.Hello:
			answer = &c.hello
		case wire.Ring:
			answer = &wire.ReplyOp{Code: wire.Ring, Status: wire.StatusMiss}
		}
		writer.Append(answer)
		if _, err := c.sock.WriteToUDPAddrPort(out[:writer.Finish()], from); err != nil {
			return
		}
	}
}

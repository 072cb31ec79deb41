package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"gannet/board"
	"gannet/wire"
)

// client is one socket of the client's namespace. It asks one thing at a time.
type client struct {
	conn    *net.UDPConn
	header  wire.RequestHeader
	request []byte
	reply   []byte
}

const replyWait = 2 * time.Second

// dial opens a socket and gets it a cookie.
func (n *node) dial(to netip.AddrPort) (c *client, err error) {
	c = &client{reply: make([]byte, 2048)}
	err = n.lab.Client.Do(func() error {
		c.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open a socket to %v: %w", to, err)
	}
	c.header = wire.RequestHeader{SessionID: uint64(time.Now().UnixNano()), MaxReplyBytes: 1452}
	op, err := c.ask(&wire.Op{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)})
	if err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	c.header.Cookie = op.Token
	return c, nil
}

func (c *client) close() { _ = c.conn.Close() }

// ask sends an operation and returns its answer.
func (c *client) ask(op *wire.Op) (answer wire.ReplyOp, err error) {
	payload, err := c.exchange(op)
	if err != nil {
		return answer, err
	}
	var reply wire.Reply
	if reason := wire.ParseReply(payload, &reply); reason != wire.ReasonNone {
		return answer, fmt.Errorf("reply does not parse: %v", reason)
	}
	ops := reply.Ops()
	ops.Next(&answer)
	return answer, nil
}

// exchange sends an operation, again when it is lost, and returns the reply with
// the same request id.
func (c *client) exchange(op *wire.Op) ([]byte, error) {
	c.header.RequestID++
	c.build(op, 1)
	return c.repeat(op)
}

// repeat sends what is built until it is answered.
func (c *client) repeat(op *wire.Op) ([]byte, error) {
	for range 5 {
		if _, err := c.conn.Write(c.request); err != nil {
			return nil, fmt.Errorf("send: %w", err)
		}
		payload, err := c.receive()
		if err == nil || !errors.Is(err, errNoReply) {
			return payload, err
		}
	}
	return nil, fmt.Errorf("%v of %q: %w", op.Code, op.Key, errNoReply)
}

// build writes the datagram that asks for an operation, so many times.
func (c *client) build(op *wire.Op, times int) {
	c.header.KeyHash = 0
	if len(op.Key) > 0 {
		c.header.KeyHash = wire.KeyHash(op.Key)
	}
	c.request = wire.AppendRequest(c.request[:0], &c.header)
	for range times {
		c.request = wire.AppendOp(c.request, 0, op)
	}
}

var errNoReply = errors.New("no reply in time")

func (c *client) receive() ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(replyWait)); err != nil {
		return nil, err
	}
	for {
		got, err := c.conn.Read(c.reply)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return nil, errNoReply
		}
		if err != nil {
			return nil, fmt.Errorf("receive: %w", err)
		}
		if got >= wire.ReplyHeaderBytes && binary.LittleEndian.Uint64(c.reply[wire.OffsetRequestID:]) == c.header.RequestID {
			return c.reply[:got], nil
		}
	}
}

// get is a GET padded for a value of that many bytes.
func get(key []byte, valueBytes int) *wire.Op {
	return &wire.Op{Code: wire.Get, Key: key, Value: make([]byte, padding(len(key), valueBytes))}
}

// errNeverHot says that a key did not become hot, whatever was done.
var errNeverHot = errors.New("the key is asked for all the time, and was not published")

// heat asks for a key until the kernel answers: many times in a datagram, for the
// shard to take note of it, and alone.
func (n *node) heat(c *client, op *wire.Op) error {
	before := n.answered()
	many := wire.Op{Code: wire.Get, Key: op.Key, Flags: wire.OpNoValue}
	for range 10_000 {
		c.header.RequestID++
		c.build(&many, 10)
		if _, err := c.repeat(&many); err != nil {
			return err
		}
		if _, err := c.exchange(op); err != nil {
			return err
		}
		if n.answered() > before {
			return nil
		}
	}
	return fmt.Errorf("%q: %w (published %d)", op.Key, errNeverHot, n.counter(board.CountKernelPublished))
}

package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"gannet/test/cluster/bed"
	"gannet/wire"
)

// asker asks one node, whoever leads the key, by plain datagrams. It belongs to one
// goroutine.
type asker struct {
	conn     net.Conn
	cookie   uint64
	id       uint64
	request  []byte
	incoming [2048]byte
}

const askerSession = 0x61736b6572 // any but 0

func newAsker(n *bed.Node) (*asker, error) {
	conn, err := net.Dial("udp", net.JoinHostPort(n.Addr, strconv.Itoa(bed.DataPort)))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", n.Name, err)
	}
	return &asker{conn: conn}, nil
}

func (a *asker) close() { _ = a.conn.Close() }

const askLongest = 100 * time.Millisecond

var errAskerSilent = errors.New("the node does not answer")

// get asks for a key's version, at least minimum. Of nodes with one shard.
func (a *asker) get(key string, minimum wire.Version, epoch uint32) (wire.ReplyOp, error) {
	for range 10 {
		answer, err := a.try(key, minimum, epoch)
		switch {
		case err != nil:
			return answer, err
		case answer.Status == wire.StatusCookieRequired:
			a.cookie = answer.Token
		default:
			return answer, nil
		}
	}
	return wire.ReplyOp{}, errors.New("the node takes none of its cookies")
}

func (a *asker) try(key string, minimum wire.Version, epoch uint32) (wire.ReplyOp, error) {
	a.id++
	header := wire.RequestHeader{
		KeyHash: wire.KeyHash([]byte(key)), RequestID: a.id, SessionID: askerSession, Cookie: a.cookie, MinVersion: minimum, Epoch: epoch,
	}
	a.request = wire.AppendRequest(a.request[:0], &header)
	a.request = wire.AppendOp(a.request, 0, &wire.Op{Code: wire.Get, Flags: wire.OpNoValue, Key: []byte(key)})
	if _, err := a.conn.Write(a.request); err != nil {
		return wire.ReplyOp{}, err
	}
	if err := a.conn.SetReadDeadline(time.Now().Add(askLongest)); err != nil {
		return wire.ReplyOp{}, err
	}
	for {
		n, err := a.conn.Read(a.incoming[:])
		if err != nil {
			return wire.ReplyOp{}, errors.Join(errAskerSilent, err)
		}
		var reply wire.Reply
		if wire.ParseReply(a.incoming[:n], &reply) != wire.ReasonNone || reply.RequestID != a.id {
			continue // of an earlier question
		}
		var op wire.ReplyOp
		ops := reply.Ops()
		if !ops.Next(&op) {
			return op, errors.New("a reply without an operation")
		}
		return op, nil
	}
}

func keyHash(key string) uint64 { return wire.KeyHash([]byte(key)) }

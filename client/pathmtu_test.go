package client_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"gannet/client"
	"gannet/client/clienttest"
	"gannet/wire"
)

// narrowed loses what is longer than the limits, and remembers the longest datagrams
// that came through with a value's parts.
type narrowed struct {
	request, reply             atomic.Int64 // limits in bytes
	longestRequest, longestGet atomic.Int64
	swallowed                  atomic.Int64
}

func narrowPath(s *clienttest.Server, requestBytes, replyBytes int64) *narrowed {
	p := &narrowed{}
	p.request.Store(requestBytes)
	p.reply.Store(replyBytes)
	s.SetFaults(clienttest.Faults{Request: p.takesRequest, Reply: p.takesReply})
	return p
}

func (p *narrowed) takesRequest(r *wire.Request) bool {
	if int64(r.LengthBytes) > p.request.Load() {
		p.swallowed.Add(1)
		return false
	}
	var op wire.Op
	if ops := r.Ops(); ops.Next(&op) && op.Code == wire.Put {
		p.longestRequest.Store(max(p.longestRequest.Load(), int64(r.LengthBytes)))
	}
	return true
}

func (p *narrowed) takesReply(reply []byte) bool {
	if int64(len(reply)) > p.reply.Load() {
		p.swallowed.Add(1)
		return false
	}
	if wire.Opcode(reply[wire.ReplyHeaderBytes+wire.ReplyOpOffsetOpcode]) == wire.Get {
		p.longestGet.Store(max(p.longestGet.Load(), int64(len(reply))))
	}
	return true
}

// untilLong reads until a reply longer than usual comes.
func (p *narrowed) untilLong(t *testing.T, c *client.Client, value []byte) {
	t.Helper()
	for end := time.Now().Add(time.Minute); p.longestGet.Load() <= client.DefaultMaxPayload; {
		readBack(t, c, value)
		if time.Now().After(end) {
			t.Fatal("no reply was ever longer than usual")
		}
	}
}

func readBack(t *testing.T, c *client.Client, value []byte) {
	t.Helper()
	if item := must[client.Item](t)(c.Get(ctx, "k")); !bytes.Equal(item.Value, value) {
		t.Fatal("wrong value")
	}
}

const jumbo = 9000 - 28

// TestJumboWhereThePathTakesIt: both ways get long datagrams, of up to what comes
// through, whatever that is.
func TestJumboWhereThePathTakesIt(t *testing.T) {
	for name, row := range map[string]struct{ path, least int64 }{
		"whole":  {jumbo, 8 << 10},
		"narrow": {4000, 3 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := pair(t, clienttest.Config{Echo: true})
			p := narrowPath(s, row.path, row.path)
			value := bytesOf(100_000, 1)
			must[client.Version](t)(c.Put(ctx, "k", value))
			// A reply that is late makes the client go back to short ones for a while.
			for end := time.Now().Add(time.Minute); time.Now().Before(end) && (p.longestGet.Load() < row.least || p.longestRequest.Load() < row.least); {
				must[client.Version](t)(c.Put(ctx, "k", value))
				readBack(t, c, value)
			}
			if got, put := p.longestGet.Load(), p.longestRequest.Load(); got < row.least || put < row.least {
				t.Errorf("the longest datagrams of %d were %d bytes of a GET, %d of a PUT, want at least %d", row.path, got, put, row.least)
			}
		})
	}
}

// TestPathNarrowOneWay: what the way back does not take is never asked for, though
// the way there takes it.
func TestPathNarrowOneWay(t *testing.T) {
	for name, limits := range map[string][2]int64{"there": {1472, jumbo}, "back": {jumbo, 1472}} {
		t.Run(name, func(t *testing.T) {
			s, c := pair(t, clienttest.Config{Echo: true})
			p := narrowPath(s, limits[0], limits[1])
			value := bytesOf(100_000, 1)
			must[client.Version](t)(c.Put(ctx, "k", value))
			for p.swallowed.Load() < 6 { // the probes of two lengths
				readBack(t, c, value)
			}
			must[client.Version](t)(c.Put(ctx, "k", value))
			if got, put := p.longestGet.Load(), p.longestRequest.Load(); got > client.DefaultMaxPayload || put > client.DefaultMaxPayload {
				t.Errorf("%d bytes of a GET and %d of a PUT were sent over a path that takes 1,472 one way", got, put)
			}
		})
	}
}

// TestPathBecomesNarrow: a link on the way is replaced by one that swallows long
// datagrams; reads and writes under way go on.
func TestPathBecomesNarrow(t *testing.T) {
	for _, code := range []wire.Opcode{wire.Get, wire.Put} {
		t.Run(code.String(), func(t *testing.T) {
			s, c := pair(t, clienttest.Config{Echo: true})
			p := narrowPath(s, jumbo, jumbo)
			value := bytesOf(100_000, 1)
			must[client.Version](t)(c.Put(ctx, "k", value))
			p.untilLong(t, c, value)
			p.request.Store(1472)
			p.reply.Store(1472)
			before := p.swallowed.Load()
			if code == wire.Put {
				value = bytesOf(100_000, 2)
				must[client.Version](t)(c.Put(ctx, "k", value))
			}
			readBack(t, c, value)
			if p.swallowed.Load() == before {
				t.Error("nothing long was sent: the fault never fired")
			}
		})
	}
}

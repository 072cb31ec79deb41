package dataplane

import (
	"testing"

	"gannet/checksum"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/wire"
)

// FuzzLoop sends any datagram to a loop, once as it is and once with a good cookie
// in its place. Whatever it is: no frame is lost, an unproven sender gets no more
// than it sent, and replies parse.
func FuzzLoop(f *testing.F) {
	h := wire.RequestHeader{RequestID: 1, SessionID: 2}
	for _, ops := range [][]wire.Op{
		{get("k")},
		{get("k"), get("long"), get("none")},
		{put("k", "v"), get("k"), {Code: wire.Incr, Key: []byte("n"), Arg: 1}},
		{{Code: wire.Put, Key: []byte("up"), Flags: wire.OpSegment, Value: make([]byte, 1024), TotalBytes: 5000, Transfer: 1}},
		{{Code: wire.Get, Key: []byte("long"), Flags: wire.OpSegment, OffsetBytes: 1024, TotalBytes: 3000}},
		{{Code: wire.CAS, Key: []byte("k"), Arg: 1, TTLSeconds: 10, SoftSeconds: 5}},
		{{Code: wire.Stats}, get("k")},
		{{Code: wire.Ping}},
		{{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)}},
	} {
		f.Add(datagram(h, ops...))
	}
	paced := h
	paced.GrantOffsetMicros, paced.GrantRateKbit, paced.BudgetMicros, paced.Flags = 100, 1000, 50, wire.FlagStages
	f.Add(datagram(paced, get("long")))
	r := newRig(f, rigOptions{port: porttest.Options{Frames: 512, MaxSegments: 2, LateFlushes: 1, Replies: 1 << 14}})
	r.storeLong("long", pattern(20_000))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1900 {
			return
		}
		r.t = t
		r.inject(b)
		r.settleAll()
		if bytes := r.takeBytes(); bytes > len(b) && !r.cookies.Valid(cookieOf(b), r.from.IP, r.from.Port, r.now) {
			t.Fatalf("%d bytes for an unproven sender's %d", bytes, len(b))
		}
		if len(b) < wire.RequestHeaderBytes {
			return
		}
		b = append([]byte(nil), b...)
		storeUint64(b[wire.OffsetCookie:], r.cookies.Make(r.from.IP, r.from.Port, r.now))
		r.inject(b)
		r.settleAll()
		r.take()
	})
}

func cookieOf(b []byte) (cookie uint64) {
	if len(b) >= wire.RequestHeaderBytes {
		for i := range 8 {
			cookie |= uint64(b[wire.OffsetCookie+i]) << (8 * i)
		}
	}
	return cookie
}

func storeUint64(b []byte, v uint64) {
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
}

// settleAll runs the loop until nothing is held, paced replies included.
func (r *rig) settleAll() {
	r.t.Helper()
	for i := 0; ; i++ {
		r.turns()
		if r.loop.heldFrames() == 0 {
			return
		}
		if i > 1000 {
			r.t.Fatalf("%d frames are held for ever", r.loop.heldFrames())
		}
		r.now += 100e6
	}
}

func (r *rig) takeBytes() (bytes int) {
	for {
		b, _, ok := r.port.Take()
		if !ok {
			return bytes
		}
		bytes += len(b)
	}
}

// sumPort checks the payload sum of everything that is sent.
type sumPort struct {
	*porttest.Memory
	t        testing.TB
	payloads map[port.Frame][]byte
	checked  int
}

func (p *sumPort) Recv(rx []port.Rx) int {
	n := p.Memory.Recv(rx)
	for i := range rx[:n] {
		p.payloads[rx[i].Frame] = rx[i].Payload
	}
	return n
}

func (p *sumPort) Lease(like port.Frame) (port.Rx, bool) {
	rx, ok := p.Memory.Lease(like)
	p.payloads[rx.Frame] = rx.Payload
	return rx, ok
}

func (p *sumPort) Send(tx []port.Tx) int {
	for i := range tx {
		t := &tx[i]
		whole := append(append([]byte(nil), p.payloads[t.Frame][:t.Bytes]...), t.Tail...)
		// 0 and 0xFFFF are the same number in one's complement.
		if want := checksum.Sum(whole); !t.HasSum || t.PayloadSum%0xFFFF != want%0xFFFF {
			p.t.Errorf("payload sum of %d bytes is %#x, want %#x", len(whole), t.PayloadSum, want)
		}
		p.checked++
	}
	return p.Memory.Send(tx)
}

func TestPayloadSumsAreRight(t *testing.T) {
	for _, segments := range []int{1, 2} {
		r := newRig(t, rigOptions{port: porttest.Options{Strict: true, MaxSegments: segments}})
		p := &sumPort{Memory: r.port, t: t, payloads: map[port.Frame][]byte{}}
		r.loop.port = p
		for _, n := range []int{1, 7, 1023, 1025, 1360, 5001, 40_000} {
			r.storeLong("k", pattern(n))
			r.ask(get("k"))
			h := r.header()
			h.Flags |= wire.FlagStages
			r.inject(datagram(h, get("k"), get("none"), wire.Op{Code: wire.Get, Key: []byte("k"), Flags: wire.OpNoValue}))
			r.turns()
			r.take()
		}
		r.do(wire.Op{Code: wire.Stats})
		r.do(wire.Op{Code: wire.Hello, Value: make([]byte, wire.MinHelloPadBytes)})
		if p.checked < 100 {
			t.Errorf("only %d datagrams were checked", p.checked)
		}
	}
}

func TestAnUnprovenSendersReplyIsBoundedByItsRequest(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.inject(datagram(r.header(), get("k")))
	r.loop.begin(r.now)
	r.loop.recv()
	in := &r.loop.batch[0]
	r.loop.open(in, false)
	if r.loop.reply.limit != len(in.rx.Payload) {
		t.Errorf("%d bytes of room for a reply to %d", r.loop.reply.limit, len(in.rx.Payload))
	}
	r.loop.close()
	r.loop.batchSize = 0
	r.turns()
}

package bench

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"

	"gannet/loadgen/values"
	"gannet/wire"
)

// memory is a transport that keeps what is sent.
type memory struct {
	sent    [][]byte
	streams bool
	full    bool
}

func (m *memory) open(netip.AddrPort, uint16) (int, error) { return 0, nil }
func (m *memory) flush() error                             { return nil }
func (m *memory) receive() (int, error)                    { return 0, nil }
func (m *memory) message(int) (int, []byte)                { return 0, nil }
func (m *memory) consume(int, int)                         {}
func (m *memory) wait(int64) error                         { return nil }
func (m *memory) stream() bool                             { return m.streams }
func (m *memory) maxPayload() int                          { return 1472 }
func (m *memory) close() error                             { return nil }

func (m *memory) buffer(int) []byte {
	if m.full {
		return nil
	}
	m.sent = append(m.sent, make([]byte, 8192))
	return m.sent[len(m.sent)-1]
}

func (m *memory) commit(_, n int) { m.sent[len(m.sent)-1] = m.sent[len(m.sent)-1][:n] }

// bare is a worker with one lane, whose requests are on their way.
func bare(p Protocol, each, requests int, write bool) (*worker, *memory) {
	o := Options{Protocol: p, Keys: 1000, KeysPerRequest: each, ValueSize: Fixed(50)}.withDefaults()
	m := &memory{streams: p.stream()}
	s := &session{opt: o, target: target{shards: 1, maxPayload: 1472}}
	l := &lane{pending: newPending(64, each, true), session: 7}
	l.meet(&o, &greeting{})
	if p == Echo {
		l.header = nil
	}
	w := &worker{
		opt: &s.opt, transport: m, codec: s.codec(), lanes: []*lane{l}, byShard: []lanes{{all: []*lane{l}}}, text: keyText{o.KeyBytes},
		phase: phaseAround, window: span{0, 1}, latency: newHistogram(), stop: new(atomic.Bool), limit: requests,
	}
	for i := range requests {
		w.draft.keys, w.draft.write = w.draft.keys[:0], write
		for k := range each {
			w.draft.keys = append(w.draft.keys, uint32(i*each+k))
		}
		w.send(0)
	}
	return w, m
}

// FuzzAnswers: whatever a server says, the generator neither crashes nor counts an
// operation twice.
func FuzzAnswers(f *testing.F) {
	hash := keyText{16}.hash(0)
	value := values.Append(nil, hash, 50)
	key := keyText{16}.append(nil, 0)
	f.Add(byte(0), false, []byte("VALUE "+string(key)+" 0 50\r\n"+string(value)+"\r\nEND\r\n"))
	f.Add(byte(0), true, []byte("STORED\r\nSTORED\r\nSERVER_ERROR out of memory\r\n"))
	f.Add(byte(1), false, append([]byte{0, 0, 0, 0, 0, 2, 0, 0}, "VALUE "+string(key)+" 0 50\r\n"...))
	f.Add(byte(1), false, append([]byte{0, 1, 0, 0, 0, 1, 0, 0}, "END\r\n"...))
	f.Add(byte(2), false, []byte("$50\r\n"+string(value)+"\r\n$-1\r\n-ERR no\r\n$3\r\n"))
	f.Add(byte(2), true, []byte("+OK\r\n+OK\r\n-OOM\r\n"))
	reply := make([]byte, wire.MinReplyBytes)
	binary.LittleEndian.PutUint16(reply, wire.Magic)
	f.Add(byte(3), false, reply)
	f.Add(byte(4), false, append(binary.LittleEndian.AppendUint64(nil, echoHead), make([]byte, 42)...))
	protocols := []Protocol{MemcachedTCP, MemcachedUDP, Redis, Gannet, Echo}
	f.Fuzz(func(t *testing.T, protocol byte, write bool, answer []byte) {
		p := protocols[int(protocol)%len(protocols)]
		each := 3
		if p == Echo || p == MemcachedUDP && write {
			each = 1
		}
		const requests = 4
		w, _ := bare(p, each, requests, write)
		for rest := answer; len(rest) > 0; {
			n := w.codec.decode(w, w.lanes[0], rest)
			if n < 0 || n > len(rest) {
				t.Fatalf("%d bytes read of %d", n, len(rest))
			}
			if n == 0 {
				break
			}
			rest = rest[n:]
		}
		c := &w.counts[phaseWindow]
		if c.keys > uint64(requests*each) || c.replies+uint64(w.open) != requests || w.lanes[0].pending.open != w.open {
			t.Fatalf("of %d requests %d answered, %d open; %d operations", requests, c.replies, w.open, c.keys)
		}
		if c.hits > 0 && p != Echo && !containsValue(answer) {
			t.Fatalf("%d hits in %q", c.hits, answer)
		}
	})
}

// containsValue looks for any value that was asked for.
func containsValue(answer []byte) bool {
	for number := range uint32(12) {
		want := string(values.Append(nil, keyText{16}.hash(number), 50))
		for at := 0; at+len(want) <= len(answer); at++ {
			if string(answer[at:at+len(want)]) == want {
				return true
			}
		}
	}
	return false
}

// TestCodecsAllocateNothing: the steady state of a request is free of garbage.
func TestCodecsAllocateNothing(t *testing.T) {
	for _, p := range []Protocol{Gannet, MemcachedTCP, MemcachedUDP, Redis, Echo} {
		for _, write := range []bool{false, true} {
			if p == Echo && write {
				continue
			}
			w, _ := bare(p, 1, 1, write)
			room := make([]byte, 8192)
			l := w.lanes[0]
			_, s := l.pending.oldest()
			n := testing.AllocsPerRun(100, func() {
				if w.codec.encode(room, l, 0, s, l.pending.keysOf(0, 1), 0) == 0 {
					t.Error("no room")
				}
			})
			if n != 0 {
				t.Errorf("%s, write %v: %v allocations a request", p, write, n)
			}
		}
	}
}

// TestNoRoomIsNoRequest: what cannot be sent now leaves no trace.
func TestNoRoomIsNoRequest(t *testing.T) {
	w, m := bare(Gannet, 1, 1, false)
	m.full = true
	w.draft.keys = append(w.draft.keys[:0], 5)
	if w.send(0) || w.open != 1 || w.counts[phaseWindow].requests != 1 || w.lanes[0].pending.next != 1 {
		t.Errorf("%d open, %+v", w.open, w.counts[phaseWindow])
	}
}

func BenchmarkGannetRequest(b *testing.B) {
	w, _ := bare(Gannet, 1, 1, false)
	room := make([]byte, 2048)
	l := w.lanes[0]
	_, s := l.pending.oldest()
	b.ReportAllocs()
	for b.Loop() {
		w.codec.encode(room, l, 0, s, l.pending.keysOf(0, 1), 0)
	}
}

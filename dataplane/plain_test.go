package dataplane

import (
	"bytes"
	"fmt"
	"testing"

	"gannet/board"
	"gannet/dataplane/port"
	"gannet/shard"
	"gannet/wire"
)

// replies serves one datagram on the plain road, or on the general one, and returns
// the bytes sent.
func (r *rig) replies(datagram []byte, plain bool) (all [][]byte) {
	r.t.Helper()
	r.inject(datagram)
	l := r.loop
	l.begin(r.now)
	l.recv()
	l.parse()
	l.guard()
	l.getCount, l.pendings = 0, 0
	l.gather(&l.batch[0])
	for i := range l.pending[:l.pendings] {
		if !plain {
			l.pending[i].plain = false
		}
	}
	l.answerGets()
	l.send()
	r.turns()
	for {
		b, _, ok := r.port.Take()
		if !ok {
			return all
		}
		all = append(all, b)
	}
}

// counted is what a road has added to the counters that GETs have.
func (r *rig) counted(serve func()) (added [5]uint64) {
	ids := [...]board.Counter{board.CountGets, board.CountDatagramsOut, board.CountBytesOut, board.CountValueBytesCopied}
	for i, id := range ids {
		added[i] -= r.loop.counts.n[id]
	}
	added[4] -= r.loop.counts.status[wire.StatusOK]
	serve()
	for i, id := range ids {
		added[i] += r.loop.counts.n[id]
	}
	added[4] += r.loop.counts.status[wire.StatusOK]
	return added
}

// TestThePlainRoadAnswersAsTheGeneralOneDoes compares the two byte for byte, and what
// they count.
func TestThePlainRoadAnswersAsTheGeneralOneDoes(t *testing.T) {
	r := newRig(t, rigOptions{})
	var keys []string
	for _, n := range []int{0, 1, 7, 8, 100, 127, 128, 129, 512, 1023, 1024, 1025, 1300, 1360, 1361, 3000} {
		key := fmt.Sprint("key-", n)
		w := shard.Write{Op: shard.Put, Hash: wire.KeyHash([]byte(key)), Key: []byte(key), Value: pattern(n)}
		if n%2 == 0 {
			w.TTLSeconds = 100
		}
		if r.store.Write(&w, r.now); w.Status != shard.OK {
			t.Fatal(w.Status)
		}
		keys = append(keys, key)
	}
	keys = append(keys, "absent")
	for first := range keys {
		for last := first; last < min(first+5, len(keys)); last++ {
			var ops []wire.Op
			for _, k := range keys[first : last+1] {
				ops = append(ops, get(k))
			}
			d := datagram(r.header(), ops...)
			var a, b [][]byte
			counted := r.counted(func() { a = r.replies(d, true) })
			if want := r.counted(func() { b = r.replies(d, false) }); counted != want {
				t.Fatalf("keys %d to %d: counted %v, want %v", first, last, counted, want)
			}
			if len(a) != len(b) {
				t.Fatalf("keys %d to %d: %d datagrams, want %d", first, last, len(a), len(b))
			}
			for i := range a {
				if !bytes.Equal(a[i], b[i]) {
					t.Fatalf("keys %d to %d: datagram %d\n%x, want\n%x", first, last, i, a[i], b[i])
				}
			}
		}
	}
}

// TestAProofIsOnePeers: an address that shares the place of a proven one is not
// proven by its cookie.
func TestAProofIsOnePeers(t *testing.T) {
	r := newRig(t, rigOptions{})
	h := r.header()
	other := r.from
	for other.Port++; r.loop.proofs.of(&other) != r.loop.proofs.of(&r.from); other.Port++ {
	}
	r.mustStatus(wire.StatusMiss, get("k"))
	if !r.loop.proofs.of(&r.from).holds(&r.from, h.Cookie, r.now) {
		t.Fatal("the proof was not kept")
	}
	r.from = other
	r.port.Inject(datagram(h, get("k")), other)
	r.turns()
	if a := r.take(); len(a) != 1 || a[0].ops[0].Status != wire.StatusCookieRequired {
		t.Fatalf("a stranger with another one's cookie got %+v", a)
	}
}

// TestAProofEnds: what is remembered does not outlive its time.
func TestAProofEnds(t *testing.T) {
	from := port.Addr{Port: 1}
	p := proof{from: from, cookie: 5, untilNanos: 100}
	if !p.holds(&from, 5, 99) || p.holds(&from, 5, 100) || p.holds(&from, 6, 99) || (&proof{untilNanos: 100}).holds(&port.Addr{}, 0, 1) {
		t.Error("a proof holds when it does not, or not when it does")
	}
}

package replication

import (
	"net/netip"
	"reflect"
	"testing"

	"gannet/ring"
)

func testRing(t testing.TB, epoch uint32, states ...ring.State) *ring.Ring {
	t.Helper()
	spec := ring.Spec{Epoch: epoch, Replicas: 2}
	for i, s := range states {
		spec.Members = append(spec.Members, ring.Member{
			ID: uint64(i + 1), Name: string(rune('a' + i)), Zone: string(rune('x' + i%3)), State: s, Shards: 1, Weight: 1,
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 9800),
		})
	}
	r, err := ring.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func samples(t testing.TB) []Message {
	rec := NewRecord(testRing(t, 7, ring.Active, ring.Active, ring.Returning), 99, []uint64{2, 1})
	rec.Blank = []uint64{5}
	some := []ring.Range{{From: 1, To: 5}, {From: 9, To: ^uint64(0)}}
	return []Message{
		Beat{3},
		GrantAsk{3, 12345},
		Grant{3, 12345},
		RingNews{rec},
		Redo{8},
		Open{3, 77, []Span{{1, 2}, {3, 4}}},
		Resume{3, 77, []uint64{4, 5}, some, 2, true},
		Start{3, 77, []uint64{4, 5}, some, true},
		Batch{3, 77, 1, 4, 9, 2, []byte("payload")},
		Hints{3, 1, 6, []byte("hints")},
		Ack{3, 77, 1, 9},
		Release{3, []uint64{8, 9}},
		Begin{3, 11, some, []uint64{5, 6}},
		Ready{3, 11, 5555, []uint64{1, 2}},
		Part{3, 11, 4, 5555, true, []uint64{6}, 2, []byte("part")},
		PartAck{3, 11, 4, 6666},
		Report{1, 2, 3, 4, []Accusation{{9, Silence, true}, {8, Refused, false}}, WishJoin, true},
	}
}

// plain takes the derived part out, which DeepEqual cannot look into.
func plain(m Message) any {
	if news, ok := m.(RingNews); ok {
		return []any{news.Record.Ring.AppendEncode(nil), news.Record.Revision, news.Record.PrevVoters, news.Record.Blank}
	}
	return m
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	for _, m := range samples(t) {
		raw := AppendMessage(nil, m)
		got, err := DecodeMessage(raw)
		if err != nil {
			t.Errorf("%T: %v", m, err)
			continue
		}
		if !reflect.DeepEqual(plain(got), plain(m)) {
			t.Errorf("%T came back as %+v, was %+v", m, got, m)
		}
		for cut := range raw {
			if _, err := DecodeMessage(raw[:cut]); err == nil {
				t.Errorf("%T cut to %d of %d bytes was taken", m, cut, len(raw))
			}
		}
		if _, err := DecodeMessage(append(raw, 0)); err == nil {
			t.Errorf("%T with a byte too many was taken", m)
		}
	}
}

func TestRecordComesBackWithEtcdsRevision(t *testing.T) {
	rec := NewRecord(testRing(t, 7, ring.Active, ring.Active), 99, []uint64{1, 2})
	got, err := DecodeRecord(rec.AppendEncode(nil), 123)
	if err != nil || got.Revision != 123 || got.Epoch() != 7 || len(got.PrevVoters) != 2 || len(got.Voters()) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range samples(f) {
		f.Add(AppendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := DecodeMessage(raw)
		if err != nil {
			return
		}
		again, err := DecodeMessage(AppendMessage(nil, m))
		if err != nil || !reflect.DeepEqual(plain(again), plain(m)) {
			t.Fatalf("%+v came back as %+v, %v", m, again, err)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	rec := NewRecord(testRing(f, 7, ring.Active, ring.Active), 99, []uint64{1, 2})
	f.Add(rec.AppendEncode(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		rec, err := DecodeRecord(raw, 5)
		if err != nil {
			return
		}
		if _, err := DecodeRecord(rec.AppendEncode(nil), 5); err != nil {
			t.Fatal(err)
		}
	})
}

// What a node remembers is read back by the next process: damage is an error.
func FuzzRestore(f *testing.F) {
	n := newTestNode(f, 1)
	n.Step(1e9, RecordSeen{Record: NewRecord(testRing(f, 1, ring.Active, ring.Active), 3, nil), Linear: true})
	f.Add(n.appendState(nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		node, err := NewNode(Config{}, Origin{Self: 1, Life: 2, Shards: 1, Remembered: raw}, 0)
		if err == nil {
			node.Step(1, Tick{})
		}
	})
}

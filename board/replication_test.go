package board

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func randomSpans(n int, seed uint64) []Span {
	r := rand.New(rand.NewPCG(seed, 0))
	out := make([]Span, n)
	for i := range out {
		out[i] = Span{r.Uint64(), r.Uint64()}
	}
	return out
}

func TestReplicationCarriesItsLists(t *testing.T) {
	b := newTestBoard(t, Spec{Shards: 2})
	o := again(t, b)
	var lists SpanLists
	if o.Replication().Read(&lists) || o.Replication().Generation() != 0 {
		t.Fatal("spans before any were published")
	}
	for i, n := range []int{0, 1, 3, MaxSpans} {
		held, degraded, lacking, spare := randomSpans(n, 1), randomSpans(MaxSpans-n, 2), randomSpans(n/2+1, 3), randomSpans(n, 4)
		if !b.Replication().Publish(held, degraded, lacking, spare) {
			t.Fatalf("%d spans do not fit", n)
		}
		ok := o.Replication().Read(&lists)
		if !ok || !slices.Equal(lists.Held, held) || !slices.Equal(lists.Degraded, degraded) || !slices.Equal(lists.Lacking, lacking) ||
			!slices.Equal(lists.Spare, spare) || o.Replication().Generation() != uint64(i+1) {
			t.Fatalf("%d held spans came as %d, with %d, %d and %d others", n, len(lists.Held), len(lists.Degraded), len(lists.Lacking), len(lists.Spare))
		}
	}
	if b.Replication().Publish(nil, nil, nil, make([]Span, MaxSpans+1)) {
		t.Error("more spans than there is room for were taken")
	}
	b.Replication().SetSync(7)
	b.Replicated(1).Set(9)
	if o.Replication().SyncNanos() != 7 || o.Replicated(1).Upto() != 9 || o.Replicated(0).Upto() != 0 {
		t.Error("the words are not what was set")
	}
}

func TestDropCarriesSpans(t *testing.T) {
	q := NewQueue(1 << 16)
	want := randomSpans(100, 3)
	versions := []uint64{4, 5}
	m := DropMutation(want, versions)
	if !q.PushMutation(&m) {
		t.Fatal("no room")
	}
	var got Mutation
	if ok, err := q.PeekMutation(&got); !ok || err != nil || got.Kind != MutationDrop {
		t.Fatalf("%v, %v: kind %d", ok, err, got.Kind)
	}
	if spans, upto := got.Drop(nil, nil); !slices.Equal(spans, want) || !slices.Equal(upto, versions) {
		t.Fatalf("%d spans, versions %v", len(spans), upto)
	}
	if spans, _ := (&Mutation{Kind: MutationDrop, Value: []byte{255, 255, 255, 255, 0, 0, 0, 0, 1}}).Drop(nil, nil); len(spans) != 0 {
		t.Error("a length beyond the value was believed")
	}
}

func TestReferences(t *testing.T) {
	m := Mutation{Kind: MutationReference}
	for hash := range uint64(5) {
		m.Value = AppendReference(m.Value, hash<<40)
	}
	if m.References() != 5 || m.ReferenceHash(4) != 4<<40 {
		t.Errorf("%d references, the last %x", m.References(), m.ReferenceHash(4))
	}
}

func TestInSpansIsALinearSearchThatIsFaster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var spans []Span
		at := uint64(0)
		for range rapid.IntRange(0, 20).Draw(t, "spans") {
			from := at + rapid.Uint64Range(0, 3).Draw(t, "gap")
			to := from + rapid.Uint64Range(0, 3).Draw(t, "length")
			spans, at = append(spans, Span{from, to}), to+1
		}
		hash := rapid.Uint64Range(0, at+2).Draw(t, "hash")
		want := slices.ContainsFunc(spans, func(s Span) bool { return s.From <= hash && hash <= s.To })
		if got := InSpans(spans, hash); got != want {
			t.Fatalf("%d in %v: %v", hash, spans, got)
		}
	})
}

func TestMutationsTravel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sent []Mutation
		var b []byte
		for range rapid.IntRange(0, 10).Draw(t, "mutations") {
			m := Mutation{
				Kind:    MutationKind(rapid.IntRange(1, int(MutationExpire)).Draw(t, "kind")),
				Version: rapid.Uint64().Draw(t, "version"), Hash: rapid.Uint64().Draw(t, "hash"),
				TTLSeconds: rapid.Uint32().Draw(t, "ttl"), Key: rapid.SliceOf(rapid.Byte()).Draw(t, "key"),
				Value: rapid.SliceOf(rapid.Byte()).Draw(t, "value"),
			}
			sent, b = append(sent, m), m.Append(b)
		}
		whole := b
		for i := range sent {
			var got Mutation
			var err error
			if b, err = NextMutation(b, &got); err != nil {
				t.Fatal(err)
			}
			if got.Kind != sent[i].Kind || got.Version != sent[i].Version || !slices.Equal(got.Key, sent[i].Key) || !slices.Equal(got.Value, sent[i].Value) {
				t.Fatalf("%+v came as %+v", sent[i], got)
			}
		}
		if len(b) != 0 {
			t.Fatalf("%d bytes are left", len(b))
		}
		if len(whole) > 0 {
			cut := whole[:rapid.IntRange(0, len(whole)-1).Draw(t, "cut")]
			var got Mutation
			for err := error(nil); len(cut) > 0 && err == nil; {
				cut, err = NextMutation(cut, &got) // must not panic, nor read beyond
			}
		}
	})
}

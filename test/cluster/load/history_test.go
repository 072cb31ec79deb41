package load

import (
	"net/netip"
	"testing"

	"gannet/client"
	"gannet/ring"
)

const ms = int64(1e6)

func version(epoch uint32, sequence uint64) client.Version {
	return client.Version(uint64(epoch)<<40 | sequence)
}

func write(key, number uint32, dueMillis, doneMillis int64, outcome Outcome) Record {
	return Record{Kind: Write, Key: key, Number: number, Due: dueMillis * ms, Done: doneMillis * ms, Outcome: outcome, Version: version(1, uint64(number))}
}

func read(key, number uint32, dueMillis int64) Record {
	return Record{Kind: Read, Key: key, Number: number, Due: dueMillis * ms, Done: (dueMillis + 1) * ms, Outcome: Hit}
}

func miss(key uint32, dueMillis int64) Record {
	return Record{Kind: Read, Key: key, Due: dueMillis * ms, Done: (dueMillis + 1) * ms, Outcome: Miss}
}

func remove(key, number uint32, dueMillis, doneMillis int64) Record {
	r := write(key, number, dueMillis, doneMillis, Acked)
	r.Kind = Delete
	return r
}

func TestLossesAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		ops                []Record
		lost, back, behind int
	}{
		"found again":                {[]Record{write(0, 2, 10, 11, Acked), read(0, 2, 500)}, 0, 0, 0},
		"older value at the end":     {[]Record{write(0, 2, 10, 11, Acked), read(0, 1, 500)}, 1, 0, 1},
		"gone at the end":            {[]Record{write(0, 2, 10, 11, Acked), miss(0, 500)}, 1, 0, 1},
		"behind, then found":         {[]Record{write(0, 2, 10, 11, Acked), read(0, 1, 500), read(0, 2, 600)}, 0, 0, 1},
		"a follower lags a moment":   {[]Record{write(0, 2, 10, 11, Acked), read(0, 1, 20), write(0, 3, 30, 31, Acked), read(0, 3, 500)}, 0, 0, 1},
		"lost before the next write": {[]Record{write(0, 2, 10, 11, Acked), read(0, 1, 400), write(0, 3, 900, 901, Acked), read(0, 3, 1400)}, 1, 0, 1},
		"a miss shows no loss yet":   {[]Record{write(0, 2, 10, 11, Acked), miss(0, 400), write(0, 3, 900, 901, Acked), read(0, 3, 1400)}, 0, 0, 1},
		"an unknown one came later":  {[]Record{write(0, 2, 10, 11, Acked), write(0, 3, 20, 900, Unknown), read(0, 3, 1400)}, 0, 0, 0},
		"a refused one did not":      {[]Record{write(0, 2, 10, 11, Acked), write(0, 3, 20, 900, Refused), read(0, 3, 1400)}, 1, 0, 1},
		"deleted":                    {[]Record{remove(0, 2, 10, 11), miss(0, 500)}, 0, 0, 0},
		"a deleted key came back":    {[]Record{remove(0, 2, 10, 11), read(0, 1, 500)}, 1, 1, 1},
	} {
		h := NewHistory([][]Record{c.ops}, 1)
		lost := h.LostWrites()
		if len(lost) != c.lost || Resurrections(lost) != c.back || h.StaleReads() != c.behind {
			t.Errorf("%s: lost %v (%d back), behind %d; want %d (%d), %d", name, lost, Resurrections(lost), h.StaleReads(), c.lost, c.back, c.behind)
		}
	}
}

func TestFailuresAreCounted(t *testing.T) {
	failed := read(0, 0, 10)
	failed.Outcome = Failed
	slow := read(0, 1, 20)
	slow.Done += 80 * ms
	h := NewHistory([][]Record{{failed, slow, read(0, 1, 30), write(0, 2, 40, 41, Refused)}}, 1)
	answered, sent := h.AnsweredWithin(50e6, 0, 100*ms)
	if h.FailedReads(0, 100*ms) != 1 || h.FailedWrites(0, 100*ms) != 1 || answered != 1 || sent != 3 {
		t.Errorf("failed %d reads, %d writes; %d of %d in time", h.FailedReads(0, 100*ms), h.FailedWrites(0, 100*ms), answered, sent)
	}
	if h.FailedReads(11*ms, 100*ms) != 0 {
		t.Error("a failure outside of the span is counted")
	}
}

// one is a grouping of one range led by 7.
func one() *Ranges { return &Ranges{group: []int{0}, leaders: []uint64{7}} }

func ack(epoch uint32, dueMillis, doneMillis int64) Record {
	r := write(0, 1, dueMillis, doneMillis, Acked)
	r.Version = version(epoch, uint64(dueMillis))
	return r
}

func TestRangesShowWhenWritesAreBack(t *testing.T) {
	h := NewHistory([][]Record{{ack(1, 0, 1), ack(1, 99, 103), ack(2, 110, 400), ack(2, 420, 421)}}, 1)
	if led := one().Led(7); len(led) != 1 || len(one().Led(8)) != 0 {
		t.Errorf("led: %v", led)
	}
	if took, ok := h.Back(one(), []int{0}, 100*ms); !ok || int64(took) != 300*ms {
		t.Errorf("back after %v, %v", took, ok)
	}
	if _, ok := h.Back(one(), []int{0}, 500*ms); ok {
		t.Error("back without a write")
	}
	if last := h.LastOld(one(), []int{0}, 100*ms); last != 103*ms {
		t.Errorf("last old acknowledgement at %d", last)
	}
	if gap := h.Gap(one(), []int{0}, 100*ms, 430*ms); int64(gap) != 297*ms {
		t.Errorf("gap %v", gap)
	}
}

func TestStaleAcknowledgements(t *testing.T) {
	for name, c := range map[string]struct {
		ops  []Record
		want int
	}{
		"in order":            {[]Record{ack(1, 0, 1), ack(2, 10, 11), ack(2, 20, 21)}, 0},
		"old after new":       {[]Record{ack(2, 0, 1), ack(1, 10, 11)}, 1},
		"they crossed":        {[]Record{ack(1, 0, 20), ack(2, 10, 11)}, 0},
		"not the last before": {[]Record{ack(3, 0, 1), ack(2, 5, 6), ack(2, 10, 11)}, 2},
	} {
		if got := NewHistory([][]Record{c.ops}, 1).StaleAcks(one()); got != c.want {
			t.Errorf("%s: %d stale, want %d", name, got, c.want)
		}
	}
}

func TestRangesOfARing(t *testing.T) {
	spec := ring.Spec{Epoch: 1, Replicas: 2}
	for i, name := range []string{"a", "b", "c"} {
		spec.Members = append(spec.Members, ring.Member{
			ID: uint64(i + 1), Name: name, Zone: name, Weight: 1, Shards: 1, State: ring.Active, Addr: netip.AddrPortFrom(netip.IPv6Loopback(), uint16(9800+i)),
		})
	}
	r, err := ring.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	g := RangesOf(r, 5000)
	if len(g.leaders) != 6 || len(g.Led(1)) != 2 {
		t.Errorf("%d ranges, %d of node 1; want 6 and 2", len(g.leaders), len(g.Led(1)))
	}
}

func TestValuesAreTold(t *testing.T) {
	value := make([]byte, 1000)
	fillValue(value, 5, 9)
	if n, err := readValue(value, 5, 1000); err != nil || n != 9 {
		t.Errorf("number %d, %v", n, err)
	}
	if _, err := readValue(value, 6, 1000); err == nil {
		t.Error("another key's value was taken")
	}
	if i, ok := keyIndex(Key(12345)); !ok || i != 12345 || len(Key(12345)) != 16 {
		t.Errorf("key %q", Key(12345))
	}
}

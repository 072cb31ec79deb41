package control

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"time"

	"gannet/ring"
)

var testSelf = ring.Member{ID: 1 << 63, Name: "a", Addr: netip.MustParseAddrPort("10.0.0.1:9800"), Shards: 2, Weight: 1}

func encoded(t *testing.T, r ringRecord) []byte {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestNextRing(t *testing.T) {
	mine, moved := recordOf(testSelf), recordOf(testSelf)
	moved.Addr = "10.0.0.2:9800"
	for name, c := range map[string]struct {
		raw     []byte
		atLeast uint32
		epoch   uint32
		changed bool
	}{
		"nothing there":              {nil, 0, 1, true},
		"nothing there, but served":  {nil, 9, 9, true},
		"as it should be":            {encoded(t, ringRecord{4, []memberRecord{mine}}), 4, 4, false},
		"another address":            {encoded(t, ringRecord{4, []memberRecord{moved}}), 4, 5, true},
		"older than what was served": {encoded(t, ringRecord{4, []memberRecord{mine}}), 7, 7, true},
		"without members":            {encoded(t, ringRecord{Epoch: 3}), 0, 4, true},
	} {
		got, changed, err := nextRing(c.raw, testSelf, c.atLeast)
		if err != nil || got.Epoch != c.epoch || changed != c.changed {
			t.Errorf("%s: epoch %d changed %v error %v, want %d %v", name, got.Epoch, changed, err, c.epoch, c.changed)
			continue
		}
		if r, err := got.ring(); err != nil || r.Owner(0).ID != testSelf.ID || r.Owner(0).Addr != testSelf.Addr {
			t.Errorf("%s: not a ring of this node: %v", name, err)
		}
	}
}

func TestNextRingRefusesAnotherNodesRing(t *testing.T) {
	other := recordOf(testSelf)
	other.ID, other.Name = 5, "b"
	var foreign *ForeignRingError
	if _, _, err := nextRing(encoded(t, ringRecord{4, []memberRecord{other}}), testSelf, 0); !errors.As(err, &foreign) || foreign.Name != "b" {
		t.Errorf("another node's ring: %v", err)
	}
	if _, _, err := nextRing([]byte("{"), testSelf, 0); err == nil {
		t.Error("damaged record accepted")
	}
}

func TestRestartsWaitLongerAndForget(t *testing.T) {
	var r restarts
	if d := r.next(time.Hour); d != 0 {
		t.Errorf("after a sound life: %v", d)
	}
	last := time.Duration(0)
	for range 20 {
		d := r.next(0)
		if d < last || d > restartLongest || d == 0 {
			t.Fatalf("wait %v after %v", d, last)
		}
		last = d
	}
	if last != restartLongest {
		t.Errorf("waits end at %v", last)
	}
	if d := r.next(restartSound); d != 0 {
		t.Errorf("after a sound life: %v", d)
	}
}

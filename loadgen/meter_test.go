package loadgen

import "testing"

// TestMeterCountsAcrossRestarts: a counter that falls has begun anew.
func TestMeterCountsAcrossRestarts(t *testing.T) {
	m := meter{}
	m.take(nodeStats{Evictions: 100})
	m.evictions = 0 // as newMeter does: what was before does not count
	for _, evictions := range []uint64{100, 130, 5, 5, 25} {
		m.take(nodeStats{Evictions: evictions})
	}
	if m.evictions != 30+5+20 {
		t.Errorf("%d evictions, want 30 before the restart and 25 after", m.evictions)
	}
}

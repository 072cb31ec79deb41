package control

import "testing"

// TestReadyWaitsForTheFirstWrite, and for no other.
func TestReadyWaitsForTheFirstWrite(t *testing.T) {
	const ms = int64(1e6)
	var o opening
	for i, step := range []struct {
		now, fence int64
		held       float64
		ready      bool
	}{
		{1000 * ms, 0, 0, false},
		{1010 * ms, 1010 * ms, 0, false}, // a fence that ends now
		{1020 * ms, 1200 * ms, 0.25, false},
		{1030 * ms, 1210 * ms, 0, true},
		{2000 * ms, 1210 * ms, 0, true}, // it has lapsed: reads go on
		{9000 * ms, 0, 1, true},
	} {
		if why := o.closed(step.now, step.fence, step.held); (why == "") != step.ready {
			t.Errorf("step %d: %q, want ready %t", i, why, step.ready)
		}
	}
}

// TestReadyWithoutAFence: a node that nobody grants one serves reads in the end.
func TestReadyWithoutAFence(t *testing.T) {
	var o opening
	const start = int64(77e9)
	if o.closed(start, 0, 0) == "" || o.closed(start+openingLongest, 0, 0) == "" {
		t.Error("a node that has had no time for a fence is ready")
	}
	if why := o.closed(start+openingLongest+1, 0, 0); why != "" {
		t.Errorf("not ready for ever: %s", why)
	}
}

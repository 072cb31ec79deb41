package ringcheck

import (
	"os"
	"testing"
)

// full: FULL=1 takes the counts that the goals are stated for.
var full = os.Getenv("FULL") != ""

func count(small, large int) int {
	if full {
		return large
	}
	return small
}

// TestShares holds evenness and movement against their goals, which are the same for
// few sets as for many.
func TestShares(t *testing.T) {
	for _, c := range []struct{ members, sets int }{
		{3, count(100, 1000)}, {16, count(100, 1000)}, {100, count(10, 100)}, {300, count(10, 1000)}, {500, count(2, 100)},
	} {
		f, err := Measure(1, c.members, c.sets)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d members, %d sets\n plain     %v\n corrected %v\n changed   %v\n join      %v\n leave     %v",
			c.members, c.sets, f.Plain, f.Corrected, f.Changed, f.Join, f.Leave)
		judge(t, f)
		if f.Corrected.P99 > 1.10 {
			t.Errorf("%d members: p99 of max/mean is %.4f, want at most 1.10", c.members, f.Corrected.P99)
		}
	}
}

func TestChurn(t *testing.T) {
	for _, c := range []struct{ members, changes int }{{16, count(300, 5000)}, {300, count(20, 1000)}} {
		f, err := Churn(2, c.members, c.changes)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d members at first, %d changes\n changed   %v\n join      %v\n leave     %v",
			c.members, c.changes, f.Changed, f.Join, f.Leave)
		judge(t, f)
	}
}

func judge(t *testing.T, f Figures) {
	t.Helper()
	if f.Changed.P99 > 1.10 {
		t.Errorf("%d members: after changes p99 of max/mean is %.4f, want at most 1.10", f.Members, f.Changed.P99)
	}
	for name, moved := range map[string]Distribution{"join": f.Join, "leave": f.Leave} {
		if moved.Mean > 1.10 || moved.P99 > 1.25 {
			t.Errorf("%d members: a %s moves %v of the ideal, want mean 1.10 and p99 1.25 at most", f.Members, name, moved)
		}
	}
}

// TestPlainPoints holds plain points against what theory gives for 256 of them.
func TestPlainPoints(t *testing.T) {
	f, err := Measure(3, 16, 200)
	if err != nil {
		t.Fatal(err)
	}
	if f.Plain.Mean < 1.09 || f.Plain.Mean > 1.13 {
		t.Errorf("plain max/mean of 16 is %.4f, want about 1.11", f.Plain.Mean)
	}
}

func TestLookup(t *testing.T) {
	for _, members := range []int{3, 16, 100, 500} {
		f, err := Lookup(4, members, 3)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d members, %d points: owner %.1f ns, pair %.1f ns, %d allocations in a million",
			f.Members, f.Points, f.OwnerNanos, f.PairNanos, f.AllocationsPerMillion)
		if f.AllocationsPerMillion > 100 { // the runtime's own
			t.Errorf("%d allocations in a million lookups", f.AllocationsPerMillion)
		}
	}
}

func TestSameSeedSameFigures(t *testing.T) {
	a, errA := Measure(9, 16, 10)
	b, errB := Measure(9, 16, 10)
	if errA != nil || errB != nil || a != b {
		t.Errorf("%+v, %v\n%+v, %v", a, errA, b, errB)
	}
}

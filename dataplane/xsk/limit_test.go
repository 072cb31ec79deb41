package xsk

import (
	"strings"
	"testing"
)

// TestLimitSlabs: what a driver takes decides how slabs are used.
func TestLimitSlabs(t *testing.T) {
	for name, c := range map[string]struct {
		segments  int
		huge      bool
		bind      Bind
		want, one bool
	}{
		"several descriptors":             {8, false, BindZeroCopy, true, false},
		"several, huge pages":             {8, true, BindZeroCopy, true, false},
		"one, huge pages":                 {1, true, BindZeroCopy, true, true},
		"one, small pages":                {1, false, BindZeroCopy, false, false},
		"unknown: the bind will tell":     {0, false, BindZeroCopy, true, false},
		"copying: the kernel takes tails": {1, false, BindCopy, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var l Ladder
			given := &Slabs{Path: "slabs", Huge: c.huge}
			p := PortOptions{Options: Options{Interface: "eth9", Bind: c.bind, Slabs: given}}
			l.limitSlabs(&p, c.segments)
			if (p.Slabs != nil) != c.want || c.want && p.Slabs.OneDescriptor != c.one || given.OneDescriptor {
				t.Errorf("got %+v", p.Slabs)
			}
			if noted := strings.Contains(l.note, "hugetlbfs"); noted == c.want {
				t.Errorf("note %q", l.note)
			}
		})
	}
}

package client

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is the slow twin of an assembly: the parts of the newest version, kept
// one by one.
type model struct {
	version uint64
	parts   map[int][]byte
	total   int
}

func (m *model) accept(p part) {
	if m.parts == nil || p.version > m.version {
		*m = model{version: p.version, parts: map[int][]byte{}, total: p.totalBytes}
	}
	if p.version == m.version {
		m.parts[p.offsetBytes] = p.data
	}
}

// value puts the parts in a row; ok is false when there is a hole.
func (m *model) value() (value []byte, ok bool) {
	var offsets []int
	for at := range m.parts {
		offsets = append(offsets, at)
	}
	slices.Sort(offsets)
	for _, at := range offsets {
		if at > len(value) {
			return nil, false
		}
		value = append(value[:at], m.parts[at]...)
	}
	return value, m.parts != nil && len(value) == m.total
}

// TestAssemblyAgainstModel feeds parts of two versions in any order, some twice.
func TestAssemblyAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := map[uint64][]byte{}
		for version := uint64(1); version <= 2; version++ {
			values[version] = rapid.SliceOfN(rapid.Byte(), 0, 6*unitBytes).Draw(t, "value")
		}
		var a assembly
		var m model
		var got []byte
		for range rapid.IntRange(1, 40).Draw(t, "parts") {
			version := rapid.Uint64Range(1, 2).Draw(t, "version")
			value := values[version]
			from := rapid.IntRange(0, units(len(value))).Draw(t, "from") * unitBytes
			from = min(from, max(len(value)-1, 0)/unitBytes*unitBytes)
			to := min(from+rapid.IntRange(1, 3).Draw(t, "units")*unitBytes, len(value))
			p := part{version: version, totalBytes: len(value), offsetBytes: from, data: value[from:to]}
			got, _ = a.accept(&p, got)
			m.accept(p)
			want, whole := m.value()
			if a.complete() != whole {
				t.Fatalf("complete: %v, the model says %v", a.complete(), whole)
			}
			if whole && !bytes.Equal(got, want) {
				t.Fatal("the value differs from the model's")
			}
		}
		checkGaps(t, &a)
	})
}

// checkGaps: the gaps are exactly the units that are not there.
func checkGaps(t *rapid.T, a *assembly) {
	missing := map[int]bool{}
	for unit := range units(a.totalBytes) {
		if a.have[unit/64]&(1<<(unit%64)) == 0 {
			missing[unit] = true
		}
	}
	if len(missing) != a.missingUnits {
		t.Fatalf("%d units are missing, counted are %d", len(missing), a.missingUnits)
	}
	for from := 0; ; {
		offset, length, ok := a.gap(from)
		if !ok {
			break
		}
		for unit := offset / unitBytes; unit < units(offset+length); unit++ {
			if !missing[unit] {
				t.Fatalf("unit %d is in a gap and yet here", unit)
			}
			delete(missing, unit)
		}
		if offset+length > a.totalBytes {
			t.Fatalf("a gap ends at %d of %d", offset+length, a.totalBytes)
		}
		from = offset + length
	}
	if len(missing) != 0 {
		t.Fatalf("no gap names units %v", missing)
	}
}

// TestAssemblyRefuses: what lies off the grid or outside the value changes
// nothing and costs nothing.
func TestAssemblyRefuses(t *testing.T) {
	unit := make([]byte, unitBytes)
	for name, p := range map[string]part{
		"beyond the end":   {1, 1500, 1024, unit},
		"off the grid":     {1, 5000, 512, unit},
		"short in between": {1, 5000, 1024, unit[:100]},
		"nothing":          {1, 5000, 1024, nil},
		"huge":             {1, maxAssembledBytes + 1, 0, unit},
	} {
		var a assembly
		if value, fresh := a.accept(&p, nil); fresh || a.begun || value != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	var a assembly
	first := part{2, 5000, 0, unit}
	value, _ := a.accept(&first, nil)
	for name, p := range map[string]part{
		"older version": {1, 5000, 1024, unit},
		"other length":  {2, 6000, 1024, unit},
		"seen before":   first,
	} {
		if _, fresh := a.accept(&p, value); fresh || a.missingUnits != 4 {
			t.Errorf("%s: counted", name)
		}
	}
}

func FuzzAssembly(f *testing.F) {
	f.Add(uint64(1), 3000, 1024, 1024)
	f.Add(uint64(9), 1<<20, 1<<20-1024, 1024)
	f.Fuzz(func(t *testing.T, version uint64, total, offset, length int) {
		if total < 0 || offset < 0 || length < 0 || length > 1<<17 {
			t.Skip("the wire's fields are unsigned, and a datagram ends somewhere")
		}
		var a assembly
		p := part{version, total, offset, make([]byte, length)}
		value, fresh := a.accept(&p, nil)
		if fresh && (len(value) != total || len(value) > maxAssembledBytes) {
			t.Fatalf("a part of %+v made %d bytes", p, len(value))
		}
	})
}

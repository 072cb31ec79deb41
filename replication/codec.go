package replication

import (
	"encoding/binary"
	"errors"

	"gannet/ring"
)

// A message is its kind (one byte) and its fields in the order of their declaration,
// little-endian; a list is its length as u32 and its elements; a ring is its own
// encoding with its length. What frames messages on a stream gives their length.

// ErrDecode says that bytes are no message, or one of a newer version.
var ErrDecode = errors.New("replication: not a message, or damaged, or of another version")

type encoder struct{ b []byte }

func (e *encoder) u8(v uint8)   { e.b = append(e.b, v) }
func (e *encoder) u16(v uint16) { e.b = binary.LittleEndian.AppendUint16(e.b, v) }
func (e *encoder) u32(v uint32) { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *encoder) u64(v uint64) { e.b = binary.LittleEndian.AppendUint64(e.b, v) }
func (e *encoder) i64(v int64)  { e.u64(uint64(v)) }

func (e *encoder) bool(v bool) {
	if v {
		e.u8(1)
	} else {
		e.u8(0)
	}
}

func (e *encoder) u64s(v []uint64) {
	e.u32(uint32(len(v)))
	for _, x := range v {
		e.u64(x)
	}
}

func (e *encoder) ranges(v []ring.Range) {
	e.u32(uint32(len(v)))
	for _, g := range v {
		e.u64(g.From)
		e.u64(g.To)
	}
}

func (e *encoder) spans(v []Span) {
	e.u32(uint32(len(v)))
	for _, s := range v {
		e.u64(s.Oldest)
		e.u64(s.Newest)
	}
}

func (e *encoder) accusations(v []Accusation) {
	e.u32(uint32(len(v)))
	for _, a := range v {
		e.u64(a.Suspect)
		e.u8(uint8(a.Sign))
		e.bool(a.Alive)
	}
}

func (e *encoder) bytes(v []byte) {
	e.u32(uint32(len(v)))
	e.b = append(e.b, v...)
}

func (e *encoder) record(r *Record) {
	e.i64(r.Revision)
	e.u64s(r.Blank)
	e.u64s(r.PrevVoters)
	if r.Ring == nil {
		e.bytes(nil)
		return
	}
	e.bytes(r.Ring.AppendEncode(nil))
}

// decoder reads; after the first thing that does not fit it reads zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u8() uint8 {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if v := d.take(2); v != nil {
		return binary.LittleEndian.Uint16(v)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if v := d.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if v := d.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) i64() int64 { return int64(d.u64()) }

func (d *decoder) bool() bool {
	v := d.u8()
	d.bad = d.bad || v > 1
	return v == 1
}

// count reads the length of a list whose elements have at least so many bytes: a lie
// costs no memory.
func (d *decoder) count(elementBytes int) int {
	n := int(d.u32())
	if d.bad || n > len(d.b)/elementBytes {
		d.bad = true
		return 0
	}
	return n
}

func (d *decoder) u64s() []uint64 {
	n := d.count(8)
	if n == 0 {
		return nil
	}
	v := make([]uint64, n)
	for i := range v {
		v[i] = d.u64()
	}
	return v
}

func (d *decoder) ranges() []ring.Range {
	n := d.count(16)
	if n == 0 {
		return nil
	}
	v := make([]ring.Range, n)
	for i := range v {
		v[i] = ring.Range{From: d.u64(), To: d.u64()}
		d.bad = d.bad || v[i].From > v[i].To || i > 0 && v[i].From <= v[i-1].To
	}
	return v
}

// rangeSet is ranges for one's own state.
func (d *decoder) rangeSet() RangeSet { return NewRangeSet(d.ranges()) }

func (d *decoder) spans() []Span {
	n := d.count(16)
	if n == 0 {
		return nil
	}
	v := make([]Span, n)
	for i := range v {
		v[i] = Span{d.u64(), d.u64()}
	}
	return v
}

func (d *decoder) accusations() []Accusation {
	n := d.count(10)
	if n == 0 {
		return nil
	}
	v := make([]Accusation, n)
	for i := range v {
		v[i] = Accusation{d.u64(), Sign(d.u8()), d.bool()}
		d.bad = d.bad || v[i].Sign != Silence && v[i].Sign != Refused
	}
	return v
}

func (d *decoder) bytes() []byte {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	return d.take(n)
}

func (d *decoder) record() Record {
	revision, blank, voters, raw := d.i64(), d.u64s(), d.u64s(), d.bytes()
	if d.bad || raw == nil {
		d.bad = true
		return Record{}
	}
	r, err := ring.Decode(raw)
	if err != nil {
		d.bad = true
		return Record{}
	}
	rec := NewRecord(r, revision, voters)
	rec.Blank = blank
	return rec
}

func (d *decoder) end() error {
	if d.bad || len(d.b) != 0 {
		return ErrDecode
	}
	return nil
}

// AppendEncode appends what DecodeRecord reads: the value of the ring's key in etcd.
// The revision is etcd's own business, and left out.
func (r *Record) AppendEncode(dst []byte) []byte {
	e, bare := encoder{dst}, *r
	bare.Revision = 0
	e.record(&bare)
	return e.b
}

// DecodeRecord reads the value of the ring's key, which stands under this revision.
func DecodeRecord(b []byte, revision int64) (Record, error) {
	d := decoder{b: b}
	rec := d.record()
	if err := d.end(); err != nil {
		return Record{}, err
	}
	rec.Revision = revision
	return rec, nil
}

package load

import (
	"context"
	"errors"
	"fmt"

	"gannet/client"
)

// Kind is what an operation does.
type Kind uint8

// The kinds.
const (
	Read Kind = iota
	Write
	Delete
)

// Outcome is what came of it.
type Outcome uint8

// The outcomes. Hit and Miss are of reads; Acked, Refused and Unknown of writes.
const (
	Pending Outcome = iota
	Hit
	Miss
	Acked   // also a delete that found nothing
	Refused // a write that was not carried out, for certain
	Unknown // a write that may have been carried out, or may yet be
	Failed  // a read without an answer
	Wrong   // a read of a broken or foreign value
)

// Record is one operation. Times are nanoseconds since Start. Due counts: between it
// and Begun the load itself was late, and as a user would wait, it waited.
type Record struct {
	Due, Begun, Done int64
	Version          client.Version // of the item read, or of the write; 0: none
	Key              uint32
	Number           uint32 // of the write that was made or seen
	Kind             Kind
	Outcome          Outcome
	Degraded         bool
}

func (r *Record) String() string {
	kind := [...]string{Read: "read", Write: "write", Delete: "delete"}[r.Kind]
	outcome := [...]string{"pending", "hit", "miss", "acknowledged", "refused", "unknown", "failed", "wrong"}[r.Outcome]
	s := fmt.Sprintf("%s %s, number %d, version %v", kind, outcome, r.Number, r.Version)
	if r.Degraded {
		s += ", degraded"
	}
	return s
}

func outcomeOfRead(err error) Outcome {
	switch {
	case err == nil:
		return Hit
	case errors.Is(err, client.ErrMiss):
		return Miss
	}
	return Failed
}

// outcomeOfWrite: a client that gives up says when it does not know.
func outcomeOfWrite(err error) Outcome {
	switch {
	case err == nil, errors.Is(err, client.ErrNotFound):
		return Acked
	case errors.Is(err, client.ErrOutcomeUnknown), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Unknown
	}
	return Refused
}

const chunkRecords = 1 << 15

// records grow without being moved: who does an operation holds its record.
type records struct{ chunks [][]Record }

func (r *records) next() *Record {
	last := len(r.chunks) - 1
	if last < 0 || len(r.chunks[last]) == chunkRecords {
		r.chunks = append(r.chunks, make([]Record, 0, chunkRecords))
		last++
	}
	c := &r.chunks[last]
	*c = append(*c, Record{})
	return &(*c)[len(*c)-1]
}

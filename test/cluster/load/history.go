package load

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"gannet/client"
)

// History is all operations of a load. Spans are in nanoseconds since Start; an
// operation is in a span when it was due in it.
type History struct {
	chunks  [][]Record
	byKey   [][]*Record // of each key, in the order in which they were due
	Errors  map[string]int
	Skipped int // operations that were not sent: too many were under way
}

// NewHistory makes a history of records; keys are from 0 to keys − 1.
func NewHistory(chunks [][]Record, keys int) *History {
	h := &History{chunks: chunks, byKey: make([][]*Record, keys)}
	for r := range h.All {
		h.byKey[r.Key] = append(h.byKey[r.Key], r)
	}
	for _, list := range h.byKey {
		slices.SortStableFunc(list, func(a, b *Record) int { return cmp.Compare(a.Due, b.Due) })
	}
	return h
}

// All yields all records, nearly in the order in which they were due.
func (h *History) All(yield func(*Record) bool) {
	for _, c := range h.chunks {
		for i := range c {
			if !yield(&c[i]) {
				return
			}
		}
	}
}

// Of are the operations on a key, in the order in which they were due.
func (h *History) Of(key int) []*Record { return h.byKey[key] }

// count counts the records due in a span for which is says so.
func (h *History) count(fromNanos, toNanos int64, is func(*Record) bool) int {
	n := 0
	for r := range h.All {
		if r.Due >= fromNanos && r.Due < toNanos && is(r) {
			n++
		}
	}
	return n
}

// Ops is how many operations were sent in a span.
func (h *History) Ops(fromNanos, toNanos int64) int {
	return h.count(fromNanos, toNanos, func(*Record) bool { return true })
}

// Rate is how many operations a second were sent in a span.
func (h *History) Rate(fromNanos, toNanos int64) float64 {
	return float64(h.Ops(fromNanos, toNanos)) / (float64(toNanos-fromNanos) / 1e9)
}

// Reads is how many reads were sent in a span.
func (h *History) Reads(fromNanos, toNanos int64) int {
	return h.count(fromNanos, toNanos, func(r *Record) bool { return r.Kind == Read })
}

// FailedReads is how many reads of a span brought neither hit nor miss.
func (h *History) FailedReads(fromNanos, toNanos int64) int {
	return h.count(fromNanos, toNanos, func(r *Record) bool { return r.Kind == Read && r.Outcome != Hit && r.Outcome != Miss })
}

// FailedWrites is how many writes of a span were not acknowledged.
func (h *History) FailedWrites(fromNanos, toNanos int64) int {
	return h.count(fromNanos, toNanos, func(r *Record) bool { return r.Kind != Read && r.Outcome != Acked })
}

// Wrong is how many reads brought a broken value or another key's.
func (h *History) Wrong() int {
	return h.count(math.MinInt64, math.MaxInt64, func(r *Record) bool { return r.Outcome == Wrong })
}

// Acknowledged is how many writes of a span were acknowledged, and how many of these
// were marked degraded.
func (h *History) Acknowledged(fromNanos, toNanos int64) (acked, degraded int) {
	for r := range h.All {
		if r.Kind == Read || r.Outcome != Acked || r.Due < fromNanos || r.Due >= toNanos {
			continue
		}
		acked++
		if r.Degraded {
			degraded++
		}
	}
	return acked, degraded
}

// AnsweredWithin is how many reads of a span were answered soon, and how many were sent.
func (h *History) AnsweredWithin(within time.Duration, fromNanos, toNanos int64) (answered, sent int) {
	for r := range h.All {
		if r.Kind != Read || r.Due < fromNanos || r.Due >= toNanos {
			continue
		}
		sent++
		if (r.Outcome == Hit || r.Outcome == Miss) && r.Done-r.Due <= int64(within) {
			answered++
		}
	}
	return answered, sent
}

// ReadLatency is a quantile of the reads due in a span, from when they were due.
func (h *History) ReadLatency(q float64, fromNanos, toNanos int64) time.Duration {
	return h.readQuantile(q, fromNanos, toNanos, func(r *Record) int64 { return r.Done - r.Due })
}

// ReadLateness is how late the load itself began them.
func (h *History) ReadLateness(q float64, fromNanos, toNanos int64) time.Duration {
	return h.readQuantile(q, fromNanos, toNanos, func(r *Record) int64 { return r.Begun - r.Due })
}

func (h *History) readQuantile(q float64, fromNanos, toNanos int64, of func(*Record) int64) time.Duration {
	var took []int64
	for r := range h.All {
		if r.Kind == Read && r.Due >= fromNanos && r.Due < toNanos {
			took = append(took, of(r))
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return time.Duration(took[min(len(took)-1, int(q*float64(len(took))))])
}

// HitShare is hits ÷ (hits + misses) of the reads due in a span.
func (h *History) HitShare(fromNanos, toNanos int64) float64 {
	hits := h.count(fromNanos, toNanos, func(r *Record) bool { return r.Outcome == Hit })
	misses := h.count(fromNanos, toNanos, func(r *Record) bool { return r.Outcome == Miss })
	return float64(hits) / float64(max(1, hits+misses))
}

// FirstErrors are the most frequent texts of errors, for notes.
func (h *History) FirstErrors(n int) []string {
	texts := make([]string, 0, len(h.Errors))
	for text := range h.Errors {
		texts = append(texts, text)
	}
	slices.SortFunc(texts, func(a, b string) int {
		return cmp.Or(cmp.Compare(h.Errors[b], h.Errors[a]), cmp.Compare(a, b))
	})
	for i, text := range texts[:min(n, len(texts))] {
		texts[i] = fmt.Sprintf("%d × %s", h.Errors[text], text)
	}
	return texts[:min(n, len(texts))]
}

// Lost is an acknowledged write that is gone.
type Lost struct {
	Key        int
	Version    client.Version
	AckedNanos int64
	Degraded   bool
	Delete     bool    // a deleted key came back
	Read       *Record // the evidence
}

// settleNanos is how long after an acknowledgement a read that is behind may be a
// follower's, and shows no loss.
const settleNanos = int64(250e6)

// LostWrites are the acknowledged writes that the last read before the key's next
// acknowledged write, or at the end, no longer finds. A miss is no evidence but at the
// end: the cache may have given the item up, or a replica may not have it yet.
func (h *History) LostWrites() []Lost {
	var lost []Lost
	for key, list := range h.byKey {
		writes := writesOf(list)
		for i, a := range writes {
			if a.Outcome != Acked {
				continue
			}
			until := nextAckedDue(writes[i+1:])
			if last := lastRead(list, a.Done+settleNanos, until); last != nil && behind(last, i, writes) && (last.Outcome == Hit || until == math.MaxInt64) {
				lost = append(lost, Lost{key, a.Version, a.Done, a.Degraded, a.Kind == Delete, last})
			}
		}
	}
	return lost
}

// Resurrections is how many acknowledged deletes are lost.
func Resurrections(lost []Lost) int {
	n := 0
	for _, l := range lost {
		if l.Delete {
			n++
		}
	}
	return n
}

func writesOf(list []*Record) []*Record {
	var writes []*Record
	for _, r := range list {
		if r.Kind != Read && r.Outcome != Refused {
			writes = append(writes, r)
		}
	}
	return writes
}

func nextAckedDue(writes []*Record) int64 {
	for _, w := range writes {
		if w.Outcome == Acked {
			return w.Due
		}
	}
	return math.MaxInt64
}

// lastRead is the last read with an answer that was due at from or later and ended
// before until.
func lastRead(list []*Record, from, until int64) *Record {
	end, _ := slices.BinarySearchFunc(list, until, func(r *Record, t int64) int { return cmp.Compare(r.Due, t) })
	for i := end - 1; i >= 0 && list[i].Due >= from; i-- {
		if r := list[i]; r.Kind == Read && r.Done < until && (r.Outcome == Hit || r.Outcome == Miss) {
			return r
		}
	}
	return nil
}

// behind says whether a read returned neither what the write with index a left nor
// what a later one did that had begun when the read ended. writes has no refused ones.
func behind(read *Record, a int, writes []*Record) bool {
	for _, w := range writes[a:] {
		if w.Due > read.Done {
			break
		}
		if w.Kind == Delete && read.Outcome == Miss || w.Kind == Write && read.Outcome == Hit && read.Number == w.Number {
			return false
		}
	}
	return true
}

// StaleReads is how many reads were behind, those of followers included: of keys that
// were written before.
func (h *History) StaleReads() int {
	n := 0
	for _, list := range h.byKey {
		writes := writesOf(list)
		for _, r := range list {
			if r.Kind != Read || r.Outcome != Hit && r.Outcome != Miss {
				continue
			}
			if a := lastAckedBefore(writes, r.Due); a >= 0 && behind(r, a, writes) {
				n++
			}
		}
	}
	return n
}

// lastAckedBefore is the index of the last write acknowledged before t; -1: none.
func lastAckedBefore(writes []*Record, t int64) int {
	for i := len(writes) - 1; i >= 0; i-- {
		if writes[i].Outcome == Acked && writes[i].Done < t {
			return i
		}
	}
	return -1
}

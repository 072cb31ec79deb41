package invalidate

import (
	"slices"
)

// Timing are the times of the promise in doc.go, in nanoseconds.
type Timing struct {
	HeartbeatNanos int64 // an idle origin repeats its last number this often
	GraceNanos     int64 // what is missing for longer is lost
	SilentNanos    int64 // an origin that says nothing for longer is flushed
	ForgetNanos    int64 // and forgotten after this
}

// DefaultTiming suits a cluster whose gossip reaches everybody within 100 ms.
func DefaultTiming() Timing {
	return Timing{HeartbeatNanos: 200e6, GraceNanos: 100e6, SilentNanos: 1e9, ForgetNanos: 60e9}
}

// Reason is why subscribers must flush.
type Reason uint8

// The reasons.
const (
	FlushSubscribed Reason = iota // a subscription begins
	FlushOverflow                 // a subscriber's queue ran over
	FlushGap                      // events of an origin got lost
	FlushSilent                   // an origin says nothing
	FlushNewOrigin                // an origin is heard for the first time, or again after it was forgotten
	FlushRestart                  // an origin started anew
	FlushHeardAgain               // an origin speaks after a silence
	FlushCovered                  // nothing happened: an origin is covered when the subscription begins
	FlushComplete                 // from now on an origin tells of all its writes
	flushReasons
)

var reasonNames = [flushReasons]string{"subscribed", "overflow", "gap", "silent", "new_origin", "restart", "heard_again", "covered", "complete"}

// String is the reason as it stands in a flush.
func (r Reason) String() string { return reasonNames[r] }

const (
	// Nodes a tracker knows at once: more than a cluster has.
	maxOrigins = 4096
	// Runs heard out of order, each origin's: more is as good as a gap.
	maxRuns = 32
	// An origin is silent when it has missed so many of its own rounds.
	silentRounds = 5
	// However slow an origin says it is, it is expected this often.
	longestEveryNanos = 10e9
)

// run is a run of sequence numbers, from inclusive, to exclusive. An empty one says
// that the origin has got so far.
type run struct {
	from, to uint64
	since    int64 // when it, or a part of it, was heard first
}

// origin is what is known of one node's events.
type origin struct {
	incarnation uint64
	next        uint64 // all before was heard, or flushed
	ahead       []run  // heard beyond next, in order, apart from each other and from next
	heard       int64  // when it spoke last
	everyNanos  int64  // how often it speaks, as it says
	silent      bool   // it was flushed for its silence
	wantsAll    bool   // somebody there wants to hear of all writes
	tellsAll    bool   // it tells of all its own
}

// tracker finds out what got lost of the events of other nodes.
type tracker struct {
	timing  Timing
	origins map[uint64]*origin
}

func newTracker(t Timing) *tracker { return &tracker{timing: t, origins: map[uint64]*origin{}} }

// verdict is what a batch amounts to.
type verdict struct {
	news  bool // something in it was not heard before
	flush bool // the origin's copies must be dropped first
	why   Reason
	stale bool // of an earlier incarnation: to be ignored
	// dup says of each event, by its place, whether it was heard before.
	dup func(i int) bool
	// full: there are more origins than can be
	full bool
}

// receive takes a batch.
func (t *tracker) receive(now int64, b *batch) (v verdict) {
	o := t.origins[b.origin]
	switch {
	case o == nil && len(t.origins) >= maxOrigins:
		return verdict{full: true}
	case o == nil:
		o = &origin{incarnation: b.incarnation, next: b.first}
		t.origins[b.origin] = o
		v.flush, v.why, v.news = true, FlushNewOrigin, true
	case b.incarnation < o.incarnation:
		return verdict{stale: true}
	case b.incarnation > o.incarnation:
		*o = origin{incarnation: b.incarnation, next: b.first}
		v.flush, v.why, v.news = true, FlushRestart, true
	case o.silent:
		v.flush, v.why = true, FlushHeardAgain
	case b.tellsAll && !o.tellsAll:
		v.flush, v.why = true, FlushComplete
	}
	o.wantsAll, o.tellsAll = b.wantsAll, b.tellsAll
	o.heard, o.silent = now, false
	o.everyNanos = min(int64(b.everyMillis)*1e6, longestEveryNanos)
	v.dup = o.heardBefore(b)
	v.news = o.take(run{b.first, b.next(), now}) || v.news
	return v
}

// heardBefore remembers what was known before the batch is taken.
func (o *origin) heardBefore(b *batch) func(int) bool {
	next, ahead, first := o.next, o.ahead, b.first // take replaces ahead, it never changes it
	return func(i int) bool {
		seq := first + uint64(i)
		return seq < next || slices.ContainsFunc(ahead, func(r run) bool { return r.from <= seq && seq < r.to })
	}
}

// take notes a run as heard; false: all of it was.
func (o *origin) take(r run) (news bool) {
	if r.to < o.next || r.to == o.next && r.from < r.to {
		return false
	}
	r.from = max(r.from, o.next)
	news = covered(o.ahead, r) < r.to-r.from || r.to > o.last()
	o.ahead = merge(o.ahead, r)
	if o.ahead[0].from == o.next {
		o.next = o.ahead[0].to
		o.ahead = o.ahead[1:]
	}
	return news
}

// last is the end of all that the origin is known to have said.
func (o *origin) last() uint64 {
	if len(o.ahead) == 0 {
		return o.next
	}
	return o.ahead[len(o.ahead)-1].to
}

// covered counts the numbers of r that the runs have.
func covered(runs []run, r run) (count uint64) {
	for _, have := range runs {
		if from, to := max(have.from, r.from), min(have.to, r.to); from < to {
			count += to - from
		}
	}
	return count
}

// merge returns the runs, which are in order and apart, with r.
func merge(runs []run, r run) []run {
	merged := make([]run, 0, len(runs)+1)
	for _, have := range runs {
		switch {
		case have.to < r.from:
			merged = append(merged, have)
		case r.to < have.from:
			merged = append(merged, r)
			r = have
		default:
			r = run{min(r.from, have.from), max(r.to, have.to), min(r.since, have.since)}
		}
	}
	return append(merged, r)
}

// missing tells since when something before what was heard is missing.
func (o *origin) missing() (since int64, is bool) {
	for i, r := range o.ahead {
		if i == 0 || r.since < since {
			since = r.since
		}
	}
	return since, len(o.ahead) > 0
}

// covered lists the origins whose events are followed.
func (t *tracker) covered() (ids []uint64) {
	for id, o := range t.origins {
		if !o.silent {
			ids = append(ids, id)
		}
	}
	return ids
}

// wantsAll says whether somebody at another node wants to hear of all writes.
func (t *tracker) wantsAll() bool {
	for _, o := range t.origins {
		if o.wantsAll && !o.silent {
			return true
		}
	}
	return false
}

// flushOrder tells the copies of which origin must be dropped.
type flushOrder struct {
	origin uint64
	why    Reason
}

// tick finds origins whose time has run out.
func (t *tracker) tick(now int64) (orders []flushOrder) {
	for id, o := range t.origins {
		since, gap := o.missing()
		gap = gap && (now-since >= t.timing.GraceNanos || len(o.ahead) > maxRuns)
		silence := now - o.heard
		switch {
		case gap:
			o.next, o.ahead = o.last(), nil
			orders = append(orders, flushOrder{id, FlushGap})
		case !o.silent && silence >= max(t.timing.SilentNanos, silentRounds*o.everyNanos):
			o.silent = true
			orders = append(orders, flushOrder{id, FlushSilent})
		case o.silent && silence >= t.timing.ForgetNanos:
			delete(t.origins, id) // heard again, it is new, and flushed for that
		}
	}
	return orders
}

package transport

import (
	"gannet/board"
	"gannet/replication"
	"gannet/ring"
	"gannet/wire"
)

// job is a payload on its way into the shards, in the order in which it came.
type job struct {
	payload []byte // what is left of it
	asOf    uint32 // seconds: see board.Mutation
	spans   []board.Span
	upto    []uint64 // spans: see board.DropMutation
	shard   int      // spans: the next shard to be told
	done    replication.Event
	marks   []uint64 // by shard: consumed up to here, the job is done; 0 = nothing went there
}

// applier pushes what other nodes send into the apply queues, and tells when the
// shards have taken it.
type applier struct {
	queues  []*board.Queue
	waiting []*job // not pushed entirely
	pushed  []*job // not consumed entirely
	bad     uint64 // records that make no sense
}

func (a *applier) attach(queues []*board.Queue) {
	a.queues = queues
	a.waiting, a.pushed = nil, nil // the data plane is another one: its leaders begin anew
}

// add takes a payload that was read from its leader after asOfNanos (0: nobody knows);
// done is reported when all of it has been applied.
func (a *applier) add(payload []byte, asOfNanos int64, done replication.Event) {
	a.waiting = append(a.waiting, &job{payload: payload, asOf: uint32(asOfNanos / 1e9), done: done, marks: make([]uint64, len(a.queues))})
}

// drop makes all shards forget some ranges before anything that is added later; with
// upto, of another node's shards, only what is not newer than that.
func (a *applier) drop(ranges []ring.Range, upto []uint64) {
	for len(ranges) > 0 {
		n := min(len(ranges), dropSpans)
		a.waiting = append(a.waiting, &job{spans: spansOf(ranges[:n]), upto: upto, marks: make([]uint64, len(a.queues))})
		ranges = ranges[n:]
	}
}

// dropSpans keeps one order small beside the smallest apply queue.
const dropSpans = 64

// turn pushes what there is room for and returns the events that are due.
func (a *applier) turn(report func(replication.Event)) (worked bool) {
	for len(a.waiting) > 0 && a.push(a.waiting[0]) {
		a.pushed = append(a.pushed, a.waiting[0])
		a.waiting = a.waiting[1:]
		worked = true
	}
	for len(a.pushed) > 0 && a.consumed(a.pushed[0]) {
		if done := a.pushed[0].done; done != nil {
			report(done)
		}
		a.pushed = a.pushed[1:]
		worked = true
	}
	return worked
}

// busy says whether shards still have something to take.
func (a *applier) busy() bool { return len(a.waiting)+len(a.pushed) > 0 }

// push pushes as much of a job as there is room for, and says whether that was all.
func (a *applier) push(j *job) bool {
	if j.spans != nil {
		return a.pushDrop(j)
	}
	var m board.Mutation
	for len(j.payload) > 0 {
		rest, err := board.NextMutation(j.payload, &m)
		if err != nil {
			a.bad++
			j.payload = nil
			return true
		}
		m.AsOfSeconds = j.asOf
		if !a.pushOne(j, &m) {
			return false
		}
		j.payload = rest
	}
	return true
}

func (a *applier) pushOne(j *job, m *board.Mutation) bool {
	if m.Kind == board.MutationReference {
		return a.pushReferences(j, m)
	}
	if m.Kind == board.MutationDrop || m.Kind == board.MutationScanBegin || m.Kind == board.MutationScanEnd {
		a.bad++ // no node orders another one's shards about
		return true
	}
	return a.pushTo(j, wire.ShardOf(m.Hash, len(a.queues)), m)
}

func (a *applier) pushTo(j *job, shard int, m *board.Mutation) bool {
	q := a.queues[shard]
	if q.Room() < m.Bytes() {
		return false
	}
	if !q.PushMutation(m) {
		a.bad++ // longer than the queue can ever hold
		return true
	}
	j.marks[shard] = q.Pushed()
	return true
}

// pushReferences deals hashes out to their shards. What finds no room is left out.
func (a *applier) pushReferences(j *job, m *board.Mutation) bool {
	refs := make([][]byte, len(a.queues))
	for i := range m.References() {
		hash := m.ReferenceHash(i)
		shard := wire.ShardOf(hash, len(refs))
		refs[shard] = board.AppendReference(refs[shard], hash)
	}
	for shard, value := range refs {
		if len(value) > 0 {
			a.pushTo(j, shard, &board.Mutation{Kind: board.MutationReference, Value: value})
		}
	}
	return true
}

func (a *applier) pushDrop(j *job) bool {
	m := board.DropMutation(j.spans, j.upto)
	for ; j.shard < len(a.queues); j.shard++ {
		if !a.pushTo(j, j.shard, &m) {
			return false
		}
	}
	return true
}

func (a *applier) consumed(j *job) bool {
	for shard, mark := range j.marks {
		if mark != 0 && a.queues[shard].Consumed() < mark {
			return false
		}
	}
	return true
}

func spansOf(ranges []ring.Range) []board.Span {
	spans := make([]board.Span, len(ranges))
	for i, r := range ranges {
		spans[i] = board.Span{From: r.From, To: r.To}
	}
	return spans
}

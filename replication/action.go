package replication

import "gannet/ring"

// Action is what a Node or a Controller wants done. They are carried out in order.
type Action interface{ action() }

// Publish puts the ring up for the data plane and for clients. The data plane gives
// versions of its epoch from now on; Drained answers.
type Publish struct{ Record Record }

// SetFence moves the fence on the board.
type SetFence struct{ Nanos int64 }

// SetHeld replaces the list of ranges that this node leads and must not write yet.
type SetHeld struct{ Ranges []ring.Range }

// SetDegraded replaces the list of led ranges that no follower has: acknowledgements
// there are marked degraded.
type SetDegraded struct{ Ranges []ring.Range }

// SetLacking replaces the list of ranges that this node follows and has not whole: reads
// there are for the leader to answer.
type SetLacking struct{ Ranges []ring.Range }

// SetSync is the moment after which every acknowledgement is marked degraded, unless
// it is moved on before: LagNanos after the oldest write that may be unreplicated.
type SetSync struct{ UntilNanos int64 }

// SetReplicated says that every follower in sync has the shard's writes up to this
// version: what waits with ack=replica may be answered, outside of degraded ranges.
type SetReplicated struct {
	Shard uint16
	Upto  uint64
}

// Send sends a message.
type Send struct {
	To      uint64 // 0 with ToController
	Over    Channel
	Message Message
}

// SendBatch sends a batch whose payload the driver fills in: what it keeps of the
// shard's log after Batch.After, up to Batch.Upto, of these ranges.
type SendBatch struct {
	To     uint64
	Batch  Batch
	Ranges RangeSet
}

// SendHints sends hints whose payload the driver fills in: what Hinted announced, of
// these ranges.
type SendHints struct {
	To     uint64
	Hints  Hints
	Ranges RangeSet
}

// ApplyHints gives hints to the data plane.
type ApplyHints struct {
	From  uint64
	Hints Hints
}

// SendPart sends the piece that Scanned announced, as this part.
type SendPart struct {
	To   uint64
	Part Part
}

// Apply gives a batch to the data plane; Applied answers.
type Apply struct {
	From  uint64
	Batch Batch
}

// ApplyPart gives a part to the data plane; PartApplied answers. With Replace the
// stretch that the part covers becomes what the part says, item by item, except where
// what is there, item or tombstone, is newer than Part.Upto: what the leader does not
// have goes, and an older version puts itself in the place of a newer one. Without,
// the greater version wins.
type ApplyPart struct {
	From    uint64
	Part    Part
	Replace bool
	// AsOfNanos is before the first part of the repair was read: deletes that came
	// earlier do not concern what is in it.
	AsOfNanos int64
}

// Drop makes the data plane forget all items of these ranges, before anything that
// follows. It keeps the tombstones.
type Drop struct{ Ranges []ring.Range }

// Scan asks for the next piece of a repair: first the tombstones of the ranges, then
// the items; only versions above Above, by shard, when it is not nil.
type Scan struct {
	To     uint64
	ID     uint64
	Ranges []ring.Range
	Above  []uint64
}

// StopScan ends a repair.
type StopScan struct {
	To uint64
	ID uint64
}

// Retain lets the driver forget what it keeps of the shard's log up to a position.
type Retain struct {
	Shard uint16
	From  uint64
}

// Probe asks for an answer over the member's data path; Heard brings it.
type Probe struct{ To uint64 }

// Renew asks etcd for a transaction that succeeds only if the ring has this revision.
type Renew struct{ Revision int64 }

// ReadRing asks for the ring, read from a quorum of etcd; RecordSeen brings it.
type ReadRing struct{}

// Remember must be durable, as far as the death of this process goes, before the
// actions after it are carried out. NewNode takes the last one back.
type Remember struct{ State []byte }

// Swap puts the record in the place of the one with Record.Revision; 0 = none is
// there. Swapped answers, and RecordSeen.
type Swap struct{ Record Record }

// Frozen tells that the controller changes nothing for now, and why; empty: it does.
type Frozen struct{ Why string }

func (Publish) action()       {}
func (SetFence) action()      {}
func (SetHeld) action()       {}
func (SetDegraded) action()   {}
func (SetLacking) action()    {}
func (SetSync) action()       {}
func (SetReplicated) action() {}
func (Send) action()          {}
func (SendBatch) action()     {}
func (SendHints) action()     {}
func (ApplyHints) action()    {}
func (SendPart) action()      {}
func (Apply) action()         {}
func (ApplyPart) action()     {}
func (Drop) action()          {}
func (Scan) action()          {}
func (StopScan) action()      {}
func (Retain) action()        {}
func (Probe) action()         {}
func (Renew) action()         {}
func (ReadRing) action()      {}
func (Remember) action()      {}
func (Swap) action()          {}
func (Frozen) action()        {}

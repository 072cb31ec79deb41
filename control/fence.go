package control

import "slices"

// fenceAheadNanos is how far ahead of its renewal the fence stands. Every promotion
// of another leader waits it out, so it is also the shortest time of a failover.
const fenceAheadNanos = 200e6

// Fence computes the moment until which this node may acknowledge writes. It is a
// pure step function over the moments at which successful renewals were *sent*: the
// answer may have been long on its way.
//
// Two things renew: a keep-alive that etcd answered, and grants by a majority of
// the epoch's members, of which this node is one. With a single member that is
// this node alone, which is how one node goes on writing while etcd is gone.
type Fence struct {
	members   []uint64
	grants    map[uint64]int64 // member → when the request it granted was sent
	keepAlive int64
}

// NewFence makes a fence that has lapsed.
func NewFence() *Fence { return &Fence{grants: map[uint64]int64{}} }

// SetMembers starts another epoch. Grants of members that stay remain good.
func (f *Fence) SetMembers(ids []uint64) {
	f.members = slices.Clone(ids)
	for id := range f.grants {
		if !slices.Contains(ids, id) {
			delete(f.grants, id)
		}
	}
}

// Grant takes down that a member granted what was asked at sentNanos.
func (f *Fence) Grant(id uint64, sentNanos int64) {
	if slices.Contains(f.members, id) {
		f.grants[id] = max(f.grants[id], sentNanos)
	}
}

// KeepAlive takes down that etcd answered a keep-alive sent at sentNanos.
func (f *Fence) KeepAlive(sentNanos int64) { f.keepAlive = max(f.keepAlive, sentNanos) }

// DeadlineNanos is the fence; 0 while nothing has renewed it. Without members there
// is no epoch, and so no leader whose writes could be acknowledged.
func (f *Fence) DeadlineNanos() int64 {
	if len(f.members) == 0 {
		return 0
	}
	renewed := max(f.majorityNanos(), f.keepAlive)
	if renewed == 0 {
		return 0
	}
	return renewed + fenceAheadNanos
}

// majorityNanos is the latest moment at which a majority had granted.
func (f *Fence) majorityNanos() int64 {
	need := len(f.members)/2 + 1
	if len(f.grants) < need {
		return 0
	}
	sent := make([]int64, 0, len(f.grants))
	for _, nanos := range f.grants {
		sent = append(sent, nanos)
	}
	slices.Sort(sent)
	return sent[len(sent)-need]
}

package gossip

import (
	"github.com/hashicorp/memberlist"
)

// NodeMeta is what this node says of itself.
func (g *Gossip) NodeMeta(limit int) []byte {
	return encodeMeta(g.epoch.Load(), g.cfg.Name)
}

// LocalState and MergeRemoteState have nothing to add: members and metadata are all
// that is exchanged on a stream.
func (g *Gossip) LocalState(bool) []byte { return nil }

// MergeRemoteState has nothing to take.
func (g *Gossip) MergeRemoteState([]byte, bool) {}

// NotifyMsg receives a message and, if it is news, passes it on.
func (g *Gossip) NotifyMsg(b []byte) {
	e, ok := decodeEnvelope(b)
	if !ok {
		g.counts.malformed.Add(1)
		return
	}
	if e.origin == g.cfg.ID {
		return // an echo of our own
	}
	g.counts.received[e.kind].Add(1)
	handler := g.cfg.Handlers[e.kind]
	if handler == nil {
		g.counts.unhandled[e.kind].Add(1)
		return
	}
	g.handling.Lock()
	news := handler(e.origin, e.payload)
	g.handling.Unlock()
	if e.passOn && news {
		g.counts.passedOn[e.kind].Add(1)
		g.enqueue(e.kind, append([]byte(nil), b...))
	}
}

// GetBroadcasts fills a datagram that leaves anyway, most urgent kind first.
func (g *Gossip) GetBroadcasts(overhead, limit int) (messages [][]byte) {
	for kind := range g.queues {
		for _, m := range g.queues[kind].GetBroadcasts(overhead, limit) {
			limit -= overhead + len(m)
			messages = append(messages, m)
		}
	}
	return messages
}

// enqueue adds a message to its kind's queue, which drops the oldest when it is full.
func (g *Gossip) enqueue(kind Kind, message []byte) {
	q := &g.queues[kind]
	q.QueueBroadcast(queued(message))
	if over := q.NumQueued() - maxQueued; over > 0 {
		q.Prune(maxQueued)
		g.counts.dropped[kind].Add(uint64(over))
	}
}

// queued is a message that supersedes no other.
type queued []byte

var _ memberlist.UniqueBroadcast = queued(nil)

func (queued) Invalidates(memberlist.Broadcast) bool { return false }
func (q queued) Message() []byte                     { return q }
func (queued) Finished()                             {}
func (queued) UniqueBroadcast()                      {}

package gossip

import "sync/atomic"

type perKind [kindCount]atomic.Uint64

func (p *perKind) read() map[Kind]uint64 {
	m := make(map[Kind]uint64, kindCount)
	for k := range p {
		m[Kind(k)] = p[k].Load()
	}
	return m
}

type counters struct {
	sent, sendsFailed, broadcasts, received, unhandled, passedOn, dropped perKind

	malformed, joins, joinsFailed, keyReloads atomic.Uint64
}

// Stats are counters and gauges, for metrics.
type Stats struct {
	Members int
	// By kind: datagrams sent to one member, those the system did not take,
	// broadcasts begun here, messages received, received without anybody to handle
	// them, passed on, and dropped from a full queue.
	Sent, SendsFailed, Broadcasts, Received, Unhandled, PassedOn, Dropped map[Kind]uint64
	// Messages that were none, attempts to join and those that failed, and exchanges
	// of keys.
	Malformed, Joins, JoinsFailed, KeyReloads uint64
}

// Stats reads the counters.
func (g *Gossip) Stats() Stats {
	c := &g.counts
	return Stats{
		Members: g.members.count(),
		Sent:    c.sent.read(), SendsFailed: c.sendsFailed.read(), Broadcasts: c.broadcasts.read(),
		Received: c.received.read(), Unhandled: c.unhandled.read(), PassedOn: c.passedOn.read(), Dropped: c.dropped.read(),
		Malformed: c.malformed.Load(), Joins: c.joins.Load(), JoinsFailed: c.joinsFailed.Load(), KeyReloads: c.keyReloads.Load(),
	}
}

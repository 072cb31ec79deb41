package board

import "sync/atomic"

// Losses is a shard's account of what it sent to clients with many requests at once,
// and of how much of that they asked for again: whence the control process infers
// what was lost on the way. It is a table of lines by session, each
//
//	session, value bytes sent, of these asked for again, last use, granted kbit/s
//
// Writer: that shard.
type Losses struct{ lines [][]atomic.Uint64 }

// LossLine is a client's line in a table. The zero value takes note of nothing.
type LossLine struct{ words []atomic.Uint64 }

// Loss is what a line says. Bytes only grow, until the line is another session's.
type Loss struct {
	Session     uint64
	SentBytes   uint64
	AgainBytes  uint64
	UsedNanos   int64
	GrantedKbit uint32 // by the last request, 0 = none
}

const (
	lossLines     = 256 // of a shard
	lossProbes    = 8
	lossIdleNanos = int64(10e9) // after which a line may be taken over
)

const (
	lossSession = iota
	lossSent
	lossAgain
	lossUsed
	lossGranted
	lossNext // the shard's own: when a capped session's next datagram may leave
)

// Losses returns a shard's table. It allocates.
func (b *Board) Losses(shard int) *Losses {
	t := &Losses{}
	if b.areas[AreaLosses].elements < (shard+1)*lossLines {
		return t
	}
	for i := range lossLines {
		t.lines = append(t.lines, b.words(AreaLosses, shard*lossLines+i))
	}
	return t
}

// Line finds a session's line, or makes one. The zero line when there is no room.
func (t *Losses) Line(session uint64, nowNanos int64, grantedKbit uint32) LossLine {
	if len(t.lines) == 0 || session == 0 {
		return LossLine{}
	}
	at := (session * pacingMix) >> 32
	var free []atomic.Uint64
	for probe := range uint64(lossProbes) {
		l := t.lines[(at+probe)%uint64(len(t.lines))]
		if l[lossSession].Load() == session {
			l[lossUsed].Store(uint64(nowNanos))
			l[lossGranted].Store(uint64(grantedKbit))
			return LossLine{l}
		}
		if free == nil && (l[lossSession].Load() == 0 || nowNanos-int64(l[lossUsed].Load()) > lossIdleNanos) {
			free = l
		}
	}
	if free == nil {
		return LossLine{}
	}
	free[lossSession].Store(0) // nobody's while it is emptied
	free[lossSent].Store(0)
	free[lossAgain].Store(0)
	free[lossUsed].Store(uint64(nowNanos))
	free[lossGranted].Store(uint64(grantedKbit))
	free[lossNext].Store(0)
	free[lossSession].Store(session)
	return LossLine{free}
}

// Sent adds bytes of values, asked for the first time or again.
func (l LossLine) Sent(bytes int, again bool) {
	if l.words == nil {
		return
	}
	l.words[lossSent].Store(l.words[lossSent].Load() + uint64(bytes))
	if again {
		l.words[lossAgain].Store(l.words[lossAgain].Load() + uint64(bytes))
	}
}

// Next is when the shard may send a capped session its next datagram.
func (l LossLine) Next() int64 {
	if l.words == nil {
		return 0
	}
	return int64(l.words[lossNext].Load())
}

// SetNext files it.
func (l LossLine) SetNext(nanos int64) {
	if l.words != nil {
		l.words[lossNext].Store(uint64(nanos))
	}
}

// Read appends what all lines say to into.
func (t *Losses) Read(into []Loss) []Loss {
	for _, l := range t.lines {
		s := l[lossSession].Load()
		if s == 0 {
			continue
		}
		loss := Loss{
			Session: s, SentBytes: l[lossSent].Load(), AgainBytes: l[lossAgain].Load(),
			UsedNanos: int64(l[lossUsed].Load()), GrantedKbit: uint32(l[lossGranted].Load()),
		}
		if l[lossSession].Load() == s {
			into = append(into, loss)
		}
	}
	return into
}

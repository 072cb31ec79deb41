package replication

import "slices"

// shardLog is what the driver keeps of a shard's mutations, without the mutations.
type shardLog struct {
	known          bool   // the driver has said where it begins
	oldest, newest uint64 // the window is what lies after oldest, up to newest
	chunks         []chunk
	bytes          int
	readAt         int64 // when the log was seen empty last: no older write is missing here
	total          uint64
	marks          []logMark // of the last half of a tombstone's life, in order
}

// logMark says that what is beyond a position was made after a moment.
type logMark struct {
	at     int64
	newest uint64
}

// marksInHalf bounds how many marks a shard has.
const marksInHalf = 16

func (g *shardLog) mark(at, halfLife int64) {
	old := 0
	for old < len(g.marks) && g.marks[old].at < at-halfLife {
		old++
	}
	g.marks = slices.Delete(g.marks, 0, old)
	if last := len(g.marks) - 1; last < 0 || at-g.marks[last].at >= halfLife/marksInHalf {
		g.marks = append(g.marks, logMark{at, g.newest})
	}
}

// floors are positions, by shard, since which every delete is remembered here, and will
// be for half a tombstone's life more.
func (n *Node) floors() []uint64 {
	floors := make([]uint64, len(n.logs))
	for s := range n.logs {
		floors[s] = ^uint64(0)
		for _, m := range n.logs[s].marks {
			if m.at >= n.now-n.cfg.TombstoneNanos/2 {
				floors[s] = m.newest
				break
			}
		}
	}
	return floors
}

type chunk struct {
	upto  uint64
	born  int64
	total uint64 // bytes of this chunk and all before it, ever
}

func (n *Node) log(shard uint16) *shardLog {
	if int(shard) >= len(n.logs) {
		return nil
	}
	return &n.logs[shard]
}

func (n *Node) appended(e Appended) {
	g := n.log(e.Shard)
	if g == nil || !g.known || e.Upto <= g.newest {
		return
	}
	g.total += uint64(e.Bytes)
	g.chunks = append(g.chunks, chunk{e.Upto, e.BornNanos, g.total})
	g.newest = e.Upto
	g.bytes += e.Bytes
	n.trimLog(e.Shard, g)
	for _, id := range n.outIDs {
		n.pump(n.outs[id])
	}
}

// trimLog lets go of what is beyond the window. A follower that still needed it will
// be repaired.
func (n *Node) trimLog(shard uint16, g *shardLog) {
	drop := 0
	for drop < len(g.chunks)-1 && g.bytes > n.cfg.RetainBytes {
		g.bytes -= g.size(drop)
		g.oldest = g.chunks[drop].upto
		drop++
	}
	if drop > 0 {
		g.chunks = g.chunks[drop:] // the window is long: nothing moves
		n.do(Retain{shard, g.oldest})
		n.regreetBehind(shard, g)
	}
}

func (g *shardLog) size(i int) int {
	if i == 0 {
		return g.bytes - int(g.chunks[len(g.chunks)-1].total-g.chunks[0].total)
	}
	return int(g.chunks[i].total - g.chunks[i-1].total)
}

// after is the index of the first chunk beyond a position.
func (g *shardLog) after(position uint64) int {
	i, _ := slices.BinarySearchFunc(g.chunks, position+1, func(c chunk, p uint64) int {
		if c.upto < p {
			return -1
		}
		return 1
	})
	return i
}

// totalAt is the sum of bytes up to a position that ends a chunk.
func (g *shardLog) totalAt(position uint64) uint64 {
	i := g.after(position)
	if i == len(g.chunks) {
		return g.total
	}
	return g.chunks[i].total - uint64(g.size(i))
}

func (n *Node) logRead(e LogRead) {
	if g := n.log(e.Shard); g != nil {
		g.readAt = max(g.readAt, e.AtNanos)
		g.mark(e.AtNanos, n.cfg.TombstoneNanos/2)
	}
}

// logAt: nothing can be resumed across the gap.
func (n *Node) logAt(e LogAt) {
	g := n.log(e.Shard)
	if g == nil {
		return
	}
	at := max(e.Upto, g.newest)
	*g = shardLog{known: true, oldest: at, newest: at, readAt: g.readAt, total: g.total}
	n.do(Retain{e.Shard, g.oldest})
	n.regreetBehind(e.Shard, g)
}

// regreetBehind greets again the followers that the window has left behind.
func (n *Node) regreetBehind(shard uint16, g *shardLog) {
	for _, id := range n.outIDs {
		o := n.outs[id]
		if o.streaming && o.shards[shard].sent < g.oldest {
			n.greet(o)
		}
	}
}

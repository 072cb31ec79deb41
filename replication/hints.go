package replication

// hinted passes evictions and reference bits on to those who follow well enough to
// have any use for them.
func (n *Node) hinted(e Hinted) {
	for _, id := range n.outIDs {
		o := n.outs[id]
		if ranges := o.have.Intersect(o.ranges); o.streaming && o.up && len(ranges) > 0 {
			n.do(SendHints{To: id, Hints: Hints{Epoch: n.rec.Epoch(), Shard: e.Shard, Records: e.Records}, Ranges: ranges})
		}
	}
}

func (n *Node) hints(from uint64, e Hints) {
	if in := n.ins[from]; in != nil && in.started && e.Epoch == n.rec.Epoch() {
		n.do(ApplyHints{from, e})
	}
}

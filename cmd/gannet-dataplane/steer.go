package main

import (
	"gannet/board"
	"gannet/bpf"
)

// verdictNames are the names of the XDP program's reasons, by number.
func verdictNames() []string {
	var names []string
	for r := bpf.Reason(0); r <= bpf.MetaFailed; r++ {
		names = append(names, r.String())
	}
	return names
}

// publishVerdicts copies the XDP program's counters to the board.
func (n *node) publishVerdicts() {
	if n.datapath.steer == nil {
		return
	}
	counters := n.board.Counters(0)
	for reason, count := range n.datapath.steer.Counters() {
		counters.SetIn(board.GroupSteer, int(reason), count)
	}
}

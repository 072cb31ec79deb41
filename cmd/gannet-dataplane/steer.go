package main

import (
	"gannet/board"
	"gannet/bpf"
)

// verdictNames are the names of the XDP program's reasons, by number.
func verdictNames() []string {
	var names []string
	for r := bpf.Reason(0); r <= bpf.Steering; r++ {
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
		counters.SetIn(board.GroupSteer, int(reason), n.rungs.verdicts[reason]+count)
	}
}

// keepVerdicts adds up the counters of a program that is about to end: the next one
// begins at 0.
func (n *node) keepVerdicts() {
	if n.datapath.steer == nil {
		return
	}
	if n.rungs.verdicts == nil {
		n.rungs.verdicts = map[bpf.Reason]uint64{}
	}
	for reason, count := range n.datapath.steer.Counters() {
		n.rungs.verdicts[reason] += count
	}
}

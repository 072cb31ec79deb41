package dataplane

import "gannet/board"

// send gives the frames of all replies built to the port. What it does not take
// stays on the list for the next turn, in order.
//
// The list has room for every frame of the port, so nothing is ever appended
// beyond it.
func (l *Loop) send() {
	sent := 0
	for sent < len(l.tx) {
		batch := l.tx[sent:min(len(l.tx), sent+l.caps.MaxBatch)]
		n := l.port.Send(batch) // the frames now belong to the port
		sent += n
		if n < len(batch) {
			break
		}
	}
	if sent > 0 {
		rest := copy(l.tx, l.tx[sent:])
		clear(l.tx[rest:])
		l.tx = l.tx[:rest]
	}
	if err := l.port.Flush(); err != nil {
		l.counts.portErrors++
	}
}

// finish notes how long the batch's datagrams took from arrival to reply.
func (l *Loop) finish() {
	if l.batchSize == 0 {
		return
	}
	now := l.clock()
	var run latencyRun
	for i := range l.batch[:l.batchSize] {
		in := &l.batch[i]
		if in.verdict != verdictDone && in.verdict != verdictOps {
			continue
		}
		if nanos := now - in.rx.ArrivedNanos; nanos != run.nanos || in.code != run.code {
			l.counts.latency(&run)
			run = latencyRun{nanos: nanos, code: in.code}
		}
		run.count += uint64(in.req.OpCount)
	}
	l.counts.latency(&run)
	l.counts.n[board.CountBusyNanos] += uint64(max(0, now-l.nowNanos))
}

package dataplane

import "gannet/board"

// recv fills the batch: first with datagrams that other shards hand over, which
// have waited longest, then from the port. While the port does not take what was
// sent, nothing more is taken from it.
func (l *Loop) recv() {
	l.batchSize = 0
	if len(l.tx) > cap(l.tx)/4 {
		return
	}
	l.handIn()
	room := l.rx[l.batchSize:]
	n := l.port.Recv(room)
	bytes := 0
	for i := range room[:n] {
		bytes += len(room[i].Payload)
	}
	l.batchSize += n
	l.counts.n[board.CountBytesIn] += uint64(bytes)
	l.load.received(n, len(room))
	l.counts.n[board.CountDatagramsIn] += uint64(n)
}

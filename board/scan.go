package board

import "sync/atomic"

// Scan asks a shard for all items of a range of key hashes. The shard answers
// with mutations in its result queue, and ends them with a MutationScanEnd whose
// Version is the request's id. A new request ends the one before.
//
//	request: word 0 sequence lock … as a record of id, from, to   writer: control process
//	results: a queue                                              producer: that shard
type Scan struct {
	request record
	peek    *atomic.Uint64
	Results *Queue
}

const (
	scanRequestData  = 24
	scanRequestBytes = recordHeadBytes + scanRequestData + 24 // one line
)

// ScanRequest names a range of key hashes, both ends included.
type ScanRequest struct {
	ID       uint64 // chosen by the asker; 0 = no scan
	From, To uint64
}

// Scan returns a shard's scan areas.
func (b *Board) Scan(shard int) *Scan {
	w := b.words(AreaScanRequest, shard)
	return &Scan{request: record{w}, peek: &w[0], Results: newQueue(b.area(AreaScanResult, shard))}
}

// Ask puts a request up.
func (s *Scan) Ask(r ScanRequest) {
	var data [scanRequestData]byte
	storeUint64(data[:], r.ID)
	storeUint64(data[8:], r.From)
	storeUint64(data[16:], r.To)
	s.request.write(data[:])
}

// Generation changes with every Ask: a cheap look for the shard. 0 = never asked.
func (s *Scan) Generation() uint64 { return s.peek.Load() }

// Request returns the request that stands.
func (s *Scan) Request() (ScanRequest, bool) {
	var data [scanRequestData]byte
	out, ok := s.request.read(data[:0])
	if !ok || len(out) != scanRequestData {
		return ScanRequest{}, false
	}
	return ScanRequest{ID: loadUint64(out), From: loadUint64(out[8:]), To: loadUint64(out[16:])}, true
}

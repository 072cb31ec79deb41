package board

import "sync/atomic"

// Scan asks a shard for the deletes it remembers and for the items of some spans of
// key hashes. The shard answers with mutations in its result queue, deletes first,
// between a MutationScanBegin and a MutationScanEnd whose Version is the request's id:
// all between them was read after the request. A new request ends the one before.
//
//	request: a record of id, above and the spans   writer: control process
//	results: a queue                               producer: that shard
type Scan struct {
	request record
	peek    *atomic.Uint64
	Results *Queue
}

const (
	scanHeadBytes    = 16
	scanRequestData  = scanHeadBytes + MaxSpans*spanBytes
	scanRequestBytes = (recordHeadBytes + scanRequestData + lineBytes - 1) &^ (lineBytes - 1)
)

// ScanRequest names what a scan is to show.
type ScanRequest struct {
	ID    uint64 // chosen by the asker; 0 = no scan
	Above uint64 // only versions above it
	Spans []Span // in ascending order, none over another; MaxSpans at most
	room  []byte
}

// Scan returns a shard's scan areas.
func (b *Board) Scan(shard int) *Scan {
	w := b.words(AreaScanRequest, shard)
	return &Scan{request: record{w}, peek: &w[0], Results: newQueue(b.area(AreaScanResult, shard))}
}

// Ask puts a request up. False when it has more spans than there is room for.
func (s *Scan) Ask(r ScanRequest) bool {
	if len(r.Spans) > MaxSpans {
		return false
	}
	data := make([]byte, scanHeadBytes, scanHeadBytes+len(r.Spans)*spanBytes)
	storeUint64(data, r.ID)
	storeUint64(data[8:], r.Above)
	return s.request.write(appendSpans(data, r.Spans))
}

// Generation changes with every Ask: a cheap look for the shard. 0 = never asked.
func (s *Scan) Generation() uint64 { return s.peek.Load() }

// Request reads the request that stands into r, whose memory it uses again.
func (s *Scan) Request(r *ScanRequest) bool {
	data, ok := s.request.read(r.room[:0])
	if r.room = data; !ok || len(data) < scanHeadBytes {
		return false
	}
	r.ID, r.Above = loadUint64(data), loadUint64(data[8:])
	r.Spans = readSpans(r.Spans[:0], data[scanHeadBytes:])
	return true
}

package client

import (
	"maps"
	"sync"
	"sync/atomic"
)

// origin is a node whose writes the client hears of, or not. Its term is 0 at first
// and grows with each flush: its lowest bit says whether the node is covered, that is,
// whether copies of what it leads may be kept. A copy is good as long as its origin's
// term is the one it was asked for in, so that one addition flushes any number of them.
type origin struct {
	term atomic.Uint64 // writer: holder of origins.mu
}

func isCovered(term uint64) bool { return term&1 != 0 }

// origins keeps account of which streams of invalidations cover which nodes. A node is
// covered as long as one stream says so; any change of what covers it is a flush, and
// so is every flush that a stream orders. A copy therefore lives only while the same
// streams cover its origin without interruption.
type origins struct {
	mu      sync.Mutex
	all     atomic.Pointer[map[uint64]*origin] // writer: holder of mu, which makes another map
	streams map[uint64]map[*stream]struct{}    // guarded by mu: who covers an origin
}

// find returns an origin; nil when none of that id was ever covered.
func (o *origins) find(id uint64) *origin {
	if all := o.all.Load(); all != nil {
		return (*all)[id]
	}
	return nil
}

// flush takes note of a stream's word that all copies of an origin's items must go,
// and whether it covers the origin from here on.
func (o *origins) flush(s *stream, id uint64, covered bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.set(s, id, covered)
}

// lose takes note that a stream covers nothing any more.
func (o *origins) lose(s *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, covering := range o.streams {
		if _, ok := covering[s]; ok {
			o.set(s, id, false)
		}
	}
}

func (o *origins) set(s *stream, id uint64, covered bool) {
	if o.streams == nil {
		o.streams = map[uint64]map[*stream]struct{}{}
	}
	if o.streams[id] == nil {
		o.streams[id] = map[*stream]struct{}{}
		o.add(id)
	}
	if covered {
		o.streams[id][s] = struct{}{}
	} else {
		delete(o.streams[id], s)
	}
	at := &o.find(id).term
	next := at.Load()&^1 + 2
	if len(o.streams[id]) > 0 {
		next |= 1
	}
	at.Store(next)
}

func (o *origins) add(id uint64) {
	next := map[uint64]*origin{}
	if before := o.all.Load(); before != nil {
		maps.Copy(next, *before)
	}
	next[id] = new(origin)
	o.all.Store(&next)
}

// covered is the number of origins whose items may be kept.
func (o *origins) covered() (n int) {
	if all := o.all.Load(); all != nil {
		for _, from := range *all {
			if isCovered(from.term.Load()) {
				n++
			}
		}
	}
	return n
}

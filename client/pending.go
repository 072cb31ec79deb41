package client

import "sync"

// pendingShards spreads the table's locks. A power of two.
const pendingShards = 16

// pending is the table of calls that wait for replies, by request id.
type pending struct {
	shards [pendingShards]pendingShard
}

type pendingShard struct {
	mu    sync.Mutex
	calls map[uint64]receiver // guarded by mu
	_     [40]byte            // keeps neighbours' locks off one cache line
}

func (p *pending) init() {
	for i := range p.shards {
		p.shards[i].calls = make(map[uint64]receiver)
	}
}

func (p *pending) shard(id uint64) *pendingShard { return &p.shards[id%pendingShards] }

func (p *pending) add(id uint64, c receiver) {
	s := p.shard(id)
	s.mu.Lock()
	s.calls[id] = c
	s.mu.Unlock()
}

func (p *pending) remove(id uint64) {
	s := p.shard(id)
	s.mu.Lock()
	delete(s.calls, id)
	s.mu.Unlock()
}

// find returns the call that waits under id, or nil.
func (p *pending) find(id uint64) receiver {
	s := p.shard(id)
	s.mu.Lock()
	c := s.calls[id]
	s.mu.Unlock()
	return c
}

// len is the number of calls that wait.
func (p *pending) len() int {
	n := 0
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		n += len(s.calls)
		s.mu.Unlock()
	}
	return n
}

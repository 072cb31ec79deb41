package invalidate

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// Up to so many other nodes, heartbeats come at their full rate; beyond it they
	// slow down in proportion, so that their sum over the cluster stays.
	fullRatePeers     = 16
	defaultQueue      = 1024
	defaultSubscribed = 256
)

// Config is what a Hub is made of.
type Config struct {
	Origin uint64 // id of this node
	// Incarnation must be greater after each start, e.g. the wall clock's seconds.
	Incarnation uint64
	Timing      Timing
	// Spread sends a payload of at most 1180 bytes to all other nodes; it may be lost.
	Spread func(payload []byte)
	// Peers is the number of other nodes.
	Peers func() int
	// Queue is the number of notices a subscriber may be behind; 0: 1024.
	Queue int
	// MaxSubscribers bounds the subscriptions; 0: 256.
	MaxSubscribers int
}

// Hub is a node's place for invalidations: it tells its own subscribers and the other
// nodes of local writes, and its subscribers of the others'.
type Hub struct {
	cfg    Config
	counts counters

	mu         sync.Mutex // guards what follows; held for moments only
	sequence   uint64     // of the last event
	spoke      int64      // when the others heard of us last
	told       [2]bool    // then: whether we want, and tell, all
	beat       int64      // when the subscribers did
	tracker    *tracker
	subscribed map[*Subscription]struct{}
	wanting    int // of these, those that want to hear of all writes
	closed     bool
}

// NewHub makes a hub.
func NewHub(cfg Config) *Hub {
	if cfg.Queue == 0 {
		cfg.Queue = defaultQueue
	}
	if cfg.MaxSubscribers == 0 {
		cfg.MaxSubscribers = defaultSubscribed
	}
	return &Hub{cfg: cfg, tracker: newTracker(cfg.Timing), subscribed: map[*Subscription]struct{}{}}
}

// Write is a change of an item that this node led.
type Write struct {
	Key     []byte // only until Announce returns
	Hash    uint64
	Version uint64
	// Cached: an L1 somewhere may hold the item as it was before.
	Cached bool
	// Lost, instead of a write: there were some of which nothing is known.
	Lost bool
}

// Announce tells everybody of writes, at once. One call for all that were read from
// the log together makes few batches of them.
func (h *Hub) Announce(nowNanos int64, writes []Write) {
	h.mu.Lock()
	payloads := h.announce(nowNanos, writes)
	h.mu.Unlock()
	for _, p := range payloads {
		h.spread(p)
	}
}

func (h *Hub) announce(now int64, writes []Write) (payloads [][]byte) {
	all := h.tellsAll()
	b, size := h.batch(), batchHeadBytes
	for i := range writes {
		w := &writes[i]
		if w.Lost {
			// A number that no event has: others find the gap, as if one got lost on its way.
			if len(b.events) > 0 {
				payloads = append(payloads, b.encode())
			}
			h.sequence++
			b, size = h.batch(), batchHeadBytes
			h.flush(h.cfg.Origin, FlushGap)
			continue
		}
		if len(w.Key) == 0 || len(w.Key) > maxKeyBytes || !w.Cached && !all {
			h.counts.unwanted.Add(1)
			continue
		}
		if grown := size + eventHeadBytes + len(w.Key); grown > MaxBatchBytes || len(b.events) == maxBatchCount {
			payloads = append(payloads, b.encode())
			b, size = h.batch(), batchHeadBytes
		}
		size += eventHeadBytes + len(w.Key)
		h.sequence++
		h.counts.announced.Add(1)
		b.events = append(b.events, Event{Key: w.Key, Version: w.Version})
		h.tell(&Notice{Action: ActionInvalidate, Key: w.Key, Version: w.Version, Origin: h.cfg.Origin, Sequence: h.sequence})
	}
	if len(b.events) > 0 || len(writes) > 0 && writes[len(writes)-1].Lost {
		payloads = append(payloads, b.encode())
	}
	if len(payloads) > 0 {
		h.spoke, h.told = now, h.wants()
	}
	return payloads
}

// batch begins a batch; as it is, it is a heartbeat.
func (h *Hub) batch() *batch {
	wants := h.wants()
	return &batch{
		origin: h.cfg.Origin, incarnation: h.cfg.Incarnation, first: h.sequence + 1,
		everyMillis: uint32(h.everyNanos() / 1e6), wantsAll: wants[0], tellsAll: wants[1],
	}
}

// wants says whether somebody here, and anybody, wants to hear of all writes.
func (h *Hub) wants() [2]bool { return [2]bool{h.wanting > 0, h.tellsAll()} }

// tellsAll says whether somebody, here or elsewhere, wants to hear of all writes.
func (h *Hub) tellsAll() bool { return h.wanting > 0 || h.tracker.wantsAll() }

// everyNanos is how long this node is silent towards the others at most.
func (h *Hub) everyNanos() int64 {
	rounds := (h.cfg.Peers() + fullRatePeers - 1) / fullRatePeers
	return min(h.cfg.Timing.HeartbeatNanos*int64(max(1, rounds)), longestEveryNanos)
}

func (h *Hub) spread(payload []byte) {
	h.counts.batchesSent.Add(1)
	h.cfg.Spread(payload)
}

// Receive takes a payload that another node's hub has spread. It keeps nothing of it.
// News are to be passed on.
func (h *Hub) Receive(nowNanos int64, payload []byte) (news bool) {
	b, err := decodeBatch(payload)
	if err != nil {
		h.counts.malformed.Add(1)
		return false
	}
	if b.origin == h.cfg.Origin {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.tracker.receive(nowNanos, &b)
	switch {
	case v.full:
		h.counts.tooManyOrigins.Add(1)
		return false
	case v.stale:
		h.counts.fromThePast.Add(1)
		return false
	}
	if v.flush {
		h.flush(b.origin, v.why)
	}
	for i := range b.events {
		if v.dup(i) {
			h.counts.duplicates.Add(1)
			continue
		}
		h.counts.heard.Add(1)
		h.tell(&Notice{
			Action: ActionInvalidate, Key: b.events[i].Key, Version: b.events[i].Version,
			Origin: b.origin, Sequence: b.first + uint64(i),
		})
	}
	return v.news
}

// Tick does what is due: flushes, and heartbeats.
func (h *Hub) Tick(nowNanos int64) {
	h.mu.Lock()
	for _, order := range h.tracker.tick(nowNanos) {
		h.flush(order.origin, order.why)
	}
	if nowNanos-h.beat >= h.cfg.Timing.HeartbeatNanos {
		h.beat = nowNanos
		h.tell(&Notice{Action: ActionHeartbeat, Origin: h.cfg.Origin, Sequence: h.sequence})
	}
	var heartbeat []byte
	if nowNanos-h.spoke >= h.everyNanos() || h.told != h.wants() {
		h.spoke, h.told = nowNanos, h.wants()
		heartbeat = h.batch().encode()
	}
	h.mu.Unlock()
	if heartbeat != nil {
		h.spread(heartbeat)
	}
}

// Run ticks until the context ends, and closes the subscriptions then.
func (h *Hub) Run(ctx context.Context, nowNanos func() int64) error {
	tick := time.NewTicker(time.Duration(h.cfg.Timing.HeartbeatNanos / 4))
	defer tick.Stop()
	defer h.close()
	for {
		select {
		case <-tick.C:
			h.Tick(nowNanos())
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *Hub) flush(origin uint64, why Reason) {
	h.counts.flushes[why].Add(1)
	h.tell(&Notice{Action: ActionFlush, Origin: origin, Reason: why, Covered: why != FlushSilent})
}

// begin is what a subscriber hears first, and again when it has lost its queue: drop
// all, and whose copies may be kept from now on.
func (h *Hub) begin(why Reason) []*Notice {
	origins := append(h.tracker.covered(), h.cfg.Origin)
	slices.Sort(origins)
	notices := []*Notice{(&Notice{Action: ActionFlush, Reason: why}).encode()}
	for _, id := range origins {
		notices = append(notices, (&Notice{Action: ActionFlush, Origin: id, Reason: FlushCovered, Covered: true}).encode())
	}
	return notices
}

// tell puts a notice into each subscriber's queue. It is encoded once, and only if
// somebody listens.
func (h *Hub) tell(n *Notice) {
	if len(h.subscribed) == 0 {
		return
	}
	n.Key = bytes.Clone(n.Key)
	n.encode()
	for s := range h.subscribed {
		if !s.push(n) {
			h.counts.flushes[FlushOverflow].Add(1)
			s.replace(h.begin(FlushOverflow))
		}
	}
}

// The ways a subscription cannot be, or ends.
var (
	ErrTooManySubscribers = errors.New("invalidate: there are as many subscribers as this node takes; subscribe to another node")
	ErrClosed             = errors.New("invalidate: the subscription is closed")
)

// Interest is what a subscriber wants to hear of.
type Interest uint8

// The interests. What was granted is all that a client of package client can hold; it
// may hear of more. Somebody who wants all has the whole cluster spread all writes.
const (
	InterestAll     Interest = iota // every write
	InterestGranted                 // writes of items whose copies a node has granted
)

// Subscribe begins a subscription, with a flush of everything and the origins that are
// covered. The first that wants all is heard of elsewhere with the next tick.
func (h *Hub) Subscribe(in Interest) (*Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, ErrClosed
	case len(h.subscribed) >= h.cfg.MaxSubscribers:
		h.counts.refused.Add(1)
		return nil, ErrTooManySubscribers
	}
	s := &Subscription{hub: h, interest: in, limit: h.cfg.Queue, more: make(chan struct{}, 1)}
	s.replace(h.begin(FlushSubscribed))
	h.subscribed[s] = struct{}{}
	if in == InterestAll {
		h.wanting++
	}
	return s, nil
}

func (h *Hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.subscribed {
		s.end()
	}
	clear(h.subscribed)
	h.wanting = 0
}

// Subscription is a subscriber's queue.
type Subscription struct {
	hub      *Hub
	interest Interest
	limit    int
	more     chan struct{}

	mu     sync.Mutex
	queue  []*Notice // guarded by mu
	extra  int       // guarded by mu: what the queue may be longer than its limit
	closed bool      // guarded by mu
}

// push adds a notice; false: the queue is full. What a subscriber heard first does not
// count.
func (s *Subscription) push(n *Notice) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= s.limit+s.extra {
		return false
	}
	s.queue = append(s.queue, n)
	s.signal()
	return true
}

// replace puts these notices in the place of the queue.
func (s *Subscription) replace(notices []*Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.extra = notices, len(notices)
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.more <- struct{}{}:
	default: // it is signalled already
	}
}

// Next waits for notices and returns all there are.
func (s *Subscription) Next(ctx context.Context) ([]*Notice, error) {
	for {
		s.mu.Lock()
		queue, closed := s.queue, s.closed
		s.queue, s.extra = nil, 0
		s.mu.Unlock()
		switch {
		case len(queue) > 0:
			return queue, nil
		case closed:
			return nil, ErrClosed
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	if _, ok := s.hub.subscribed[s]; ok && s.interest == InterestAll {
		s.hub.wanting--
	}
	delete(s.hub.subscribed, s)
	s.hub.mu.Unlock()
	s.end()
}

func (s *Subscription) end() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gannet/wire"
)

// session is an open generator: threads with their lanes, which can offer load
// several times.
type session struct {
	opt     Options
	workers []*worker
	target  target
	path    *xdpPath // with XDP
	clock   clock
	stop    atomic.Bool
}

// target is what is known of the server.
type target struct {
	shards     int
	maxPayload int // of a request
	greeting   greeting
}

func open(ctx context.Context, o Options) (_ *session, err error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &session{opt: o, clock: clock{time.Now()}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("bench: %w", err), s.close())
		}
	}()
	if err := s.meet(ctx); err != nil {
		return nil, err
	}
	popularity, err := newPopularity(&s.opt)
	if err != nil {
		return nil, err
	}
	for number := range s.opt.Threads {
		if err := s.hire(number); err != nil {
			return nil, err
		}
	}
	if err := s.openLanes(ctx); err != nil {
		return nil, err
	}
	for _, w := range s.workers {
		w.prepare(popularity, s.target.shards)
	}
	return s, nil
}

// meet finds out what the server is and what the way to it takes.
func (s *session) meet(ctx context.Context) (err error) {
	s.target.shards = 1
	if s.opt.Protocol.stream() {
		s.target.maxPayload = 1 << 30
		return nil
	}
	if s.target.maxPayload, err = pathPayload(s.opt.Server); err != nil {
		return err
	}
	if s.opt.Protocol == Gannet {
		if s.target.greeting, err = discover(ctx, s.opt.Server); err != nil {
			return err
		}
		hello := &s.target.greeting.hello
		s.target.shards = int(hello.Shards)
		if hello.MaxPayloadBytes > 0 {
			s.target.maxPayload = min(s.target.maxPayload, int(hello.MaxPayloadBytes))
		}
		if s.opt.MaxReplyBytes == 0 && s.opt.Datapath == XDP {
			s.opt.MaxReplyBytes = s.target.maxPayload
		}
	}
	if err := s.fits(); err != nil || s.opt.Datapath != XDP {
		return err
	}
	s.path, err = openPath(ctx, &s.opt)
	return err
}

// fits says whether the longest request goes into one datagram.
func (s *session) fits() error {
	o := &s.opt
	need := s.longest()
	single := o.Protocol == Gannet && o.KeysPerRequest == 1 && !o.PadToReply
	if need <= s.target.maxPayload || single || o.Datapath == UDP && o.Protocol != Gannet && need <= udpPayload {
		return nil
	}
	return optionError("a request of %d keys takes %d bytes, the way to %v at most %d a datagram: fewer keys, smaller values, or a larger MTU",
		o.KeysPerRequest, need, o.Server, s.target.maxPayload)
}

// longest is the length of the longest request of a run.
func (s *session) longest() int {
	o := &s.opt
	writes := o.WriteRatio > 0
	switch o.Protocol {
	case Gannet:
		need := wire.RequestHeaderBytes + o.KeysPerRequest*getBytes(o.KeyBytes)
		if o.PadToReply {
			need = max(need, wire.MinReplyBytes+padded(o.ValueSize.Max()))
		}
		if writes {
			need = max(need, wire.RequestHeaderBytes+o.KeysPerRequest*putBytes(o.KeyBytes, o.ValueSize.Max()))
		}
		return need
	case MemcachedUDP, MemcachedTCP:
		c := s.memcached()
		need := c.most(false, o.KeysPerRequest)
		if writes {
			need = max(need, c.most(true, o.KeysPerRequest))
		}
		if o.Preload {
			need = max(need, c.most(true, s.storeEach()))
		}
		return need
	case Redis:
		c := s.redis()
		need := c.most(writes, o.KeysPerRequest)
		if o.Preload {
			need = max(need, c.most(true, s.storeEach()))
		}
		return need
	default:
		return o.ValueSize.Max()
	}
}

func (s *session) memcached() *memcached {
	return &memcached{keyText{s.opt.KeyBytes}, s.opt.ValueSize, s.opt.TTLSeconds, s.opt.Protocol == MemcachedUDP}
}

func (s *session) redis() *redis {
	return &redis{keyText{s.opt.KeyBytes}, s.opt.ValueSize, s.opt.TTLSeconds}
}

// storeEach is how many keys a request of the preload stores.
func (s *session) storeEach() int {
	switch s.opt.Protocol {
	case Gannet:
		room := s.target.maxPayload - wire.RequestHeaderBytes
		return min(max(room/putBytes(s.opt.KeyBytes, s.opt.ValueSize.Max()), 1), 16)
	case MemcachedTCP, Redis:
		return 16
	default:
		return 1
	}
}

// hire makes a thread's worker with its transport.
func (s *session) hire(number int) error {
	o := &s.opt
	t, err := s.transport(number)
	if err != nil {
		return err
	}
	w := &worker{
		opt: o, number: number, cpu: -1, clock: s.clock, transport: t, text: keyText{o.KeyBytes},
		byShard: make([]lanes, s.target.shards), stop: &s.stop, late: int64(o.Budget),
		draft: draft{keys: make([]uint32, 0, max(o.KeysPerRequest, s.storeEach()))}, latency: newHistogram(),
	}
	if len(o.CPUs) > 0 {
		w.cpu = o.CPUs[number%len(o.CPUs)]
	}
	w.codec = s.codec()
	s.workers = append(s.workers, w)
	return nil
}

func (s *session) codec() codec {
	o := &s.opt
	switch o.Protocol {
	case Gannet:
		return &gannetCodec{
			text: keyText{o.KeyBytes}, sizes: o.ValueSize, ttlSeconds: o.TTLSeconds, maxPayload: s.target.maxPayload,
			pad: o.PadToReply, verify: !o.SkipVerify, budget: int64(o.Budget), scratch: make([]byte, o.ValueSize.Max()+wire.MinReplyBytes), key: make([]byte, 0, o.KeyBytes),
		}
	case Redis:
		return s.redis()
	case Echo:
		return &echo{o.ValueSize.Max()}
	default:
		return s.memcached()
	}
}

// replyRoom is how long a datagram may be that comes back.
func (s *session) replyRoom() int { return max(s.opt.MaxReplyBytes, s.longest(), 2048) }

func (s *session) transport(number int) (transport, error) {
	switch {
	case s.opt.Protocol.stream():
		return newTCP(s.longest())
	case s.opt.Datapath == XDP:
		return s.newXDP(number)
	case s.opt.Protocol == Gannet:
		return newUDP(max(s.target.maxPayload, s.longest()), s.replyRoom())
	default:
		return newUDP(s.longest(), s.replyRoom())
	}
}

// openLanes gives every thread its lanes.
func (s *session) openLanes(ctx context.Context) error {
	for _, w := range s.workers {
		for shard := range s.target.shards {
			for range s.opt.Connections {
				if err := s.openLane(ctx, w, shard); err != nil {
					return err
				}
			}
		}
	}
	if s.opt.Protocol != Gannet {
		return nil
	}
	for shard := range s.target.shards {
		if err := s.preferHome(shard); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) openLane(ctx context.Context, w *worker, shard int) error {
	to := s.opt.Server
	if s.opt.Protocol != Gannet {
		_, err := s.add(w, to, shard)
		return err
	}
	to = netip.AddrPortFrom(to.Addr(), s.target.greeting.hello.BasePort+uint16(shard))
	var spare *lane
	for range portTries {
		l, err := s.add(w, to, shard)
		if err != nil {
			return err
		}
		g, err := greet(ctx, w.transport, l.index, lanePatience(s.opt.Datapath))
		if errors.Is(err, ErrNoServer) {
			continue // its answers come to another thread's queue
		}
		if err != nil {
			return err
		}
		l.meet(&s.opt, &g)
		if spare != nil && !l.isHome() {
			continue
		}
		if spare = l; l.isHome() {
			break
		}
	}
	if spare == nil {
		return nil
	}
	err := spare.probe(ctx, w.transport, lanePatience(s.opt.Datapath), w.text, s.target.shards)
	if errors.Is(err, ErrNoServer) {
		return nil
	}
	w.byShard[shard].all = append(w.byShard[shard].all, spare)
	return err
}

// add opens a lane. Those of other protocols than Gannet are ready at once.
func (s *session) add(w *worker, to netip.AddrPort, shard int) (*lane, error) {
	index, err := w.transport.open(to, 0)
	if err != nil {
		return nil, err
	}
	l := &lane{index: index, shard: shard, pending: newPending(1, 1, false)}
	w.lanes = append(w.lanes, l)
	if s.opt.Protocol != Gannet {
		w.byShard[shard].all = append(w.byShard[shard].all, l)
	}
	return l, nil
}

// meet prepares the template of a lane's requests.
func (l *lane) meet(o *Options, g *greeting) {
	l.session, l.rxQueue, l.epoch = rand.Uint64(), g.rxQueue, g.epoch
	h := wire.RequestHeader{
		Shard: uint16(l.shard), SessionID: l.session, Cookie: g.cookie, Epoch: g.epoch, MaxReplyBytes: uint16(o.MaxReplyBytes),
	}
	if o.Stages {
		h.Flags |= wire.FlagStages
	}
	l.header = wire.AppendRequest(nil, &h)
}

// isHome says that requests arrive on the queue of their shard.
func (l *lane) isHome() bool { return int(l.rxQueue) == l.shard }

// preferHome drops lanes that lead to another shard's queue, where any leads home.
func (s *session) preferHome(shard int) error {
	home, any := false, false
	for _, w := range s.workers {
		for _, l := range w.byShard[shard].all {
			home, any = home || l.isHome(), true
		}
	}
	if !any {
		return fmt.Errorf("shard %d: %w (of %d source ports a thread, none gets answers; with xdp there must be a thread for each queue on which some arrive)",
			shard, ErrNoServer, portTries)
	}
	for _, w := range s.workers {
		kept := w.byShard[shard].all[:0]
		for _, l := range w.byShard[shard].all {
			if l.isHome() || !home {
				kept = append(kept, l)
			}
		}
		w.byShard[shard].all = kept
	}
	return nil
}

// weight is a worker's part of the whole load: of each shard that it has lanes to, as
// much as every other worker that has some.
func (s *session) weight(w *worker) float64 {
	weight := 0.0
	for shard := range s.target.shards {
		if len(w.byShard[shard].all) == 0 {
			continue
		}
		sharers := 0
		for _, other := range s.workers {
			if len(other.byShard[shard].all) > 0 {
				sharers++
			}
		}
		weight += 1 / float64(sharers*s.target.shards)
	}
	return weight
}

// prepare gives the lanes their rings, and the worker its keys.
func (w *worker) prepare(p popularity, shards int) {
	served := make([]bool, shards)
	each := cap(w.draft.keys)
	for shard := range w.byShard {
		served[shard] = len(w.byShard[shard].all) > 0
		for _, l := range w.byShard[shard].all {
			l.pending = newPending(w.ringSlots(), each, w.opt.Protocol == Gannet && w.opt.ValueSize.Max() > wire.SegmentBytes)
		}
	}
	w.drawing = newDrawing(w.opt, p, newRandom(w.opt.Seed, w.number), served)
}

// ringSlots is how many requests of a lane are remembered. A power of two; 16 bits
// at most, as memcached's request ids.
func (w *worker) ringSlots() int {
	most := 1 << 16
	if len(w.lanes) > 4 {
		most = 1 << 13
	}
	if w.opt.Open {
		return most
	}
	return min(max(1<<bits.Len(uint(16*w.opt.InFlight)), 1<<10), most)
}

func (s *session) close() error {
	var errs []error
	for _, w := range s.workers {
		errs = append(errs, w.transport.close())
	}
	s.workers = nil
	if s.path != nil {
		errs = append(errs, s.path.program.close())
		s.path = nil
	}
	return errors.Join(errs...)
}

// all runs f on a pinned thread of each worker.
func (s *session) all(ctx context.Context, f func(w *worker) error) error {
	release := context.AfterFunc(ctx, func() { s.stop.Store(true) })
	defer release()
	errs := make([]error, len(s.workers))
	var wg sync.WaitGroup
	for i, w := range s.workers {
		wg.Go(func() {
			if errs[i] = w.pin(); errs[i] == nil {
				errs[i] = f(w)
			}
			if errs[i] != nil {
				s.stop.Store(true)
			}
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), ctx.Err())
}

package client

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"gannet/wire"
)

// multiInFlight bounds the datagrams of one GetMulti that wait at once.
const multiInFlight = 256

// GetMulti reads many keys, several in a datagram. It returns one Result for
// each key, in order: those that hit, those that missed and those that failed.
// The error is nil when every key got its answer, hit or miss; otherwise it is
// the first failure, and the other results are good all the same.
func (c *Client) GetMulti(ctx context.Context, keys []string, opts ...GetOption) ([]Result, error) {
	var o getOptions
	for _, opt := range opts {
		opt(&o)
	}
	m := multi{client: c, keys: keys, options: &o, results: make([]Result, len(keys))}
	m.deadlineNanos = c.deadlineNanos(ctx)
	m.run(ctx)
	for i := range m.results {
		if err := m.results[i].Err; err != nil && err != ErrMiss { //nolint:errorlint // bare by contract
			return m.results, fmt.Errorf("some of %d keys failed, first: %w", len(keys), err)
		}
	}
	return m.results, nil
}

// multi is one GetMulti under way.
type multi struct {
	client        *Client
	keys          []string
	options       *getOptions
	results       []Result // each written by the one call that has its key
	deadlineNanos int64
}

// multiCall is one datagram: a call and the keys its operations stand for.
type multiCall struct {
	call  *call
	keys  []int
	fills []fill // of the keys
	bytes int

	valueBytes int // expected
	replyBytes int // on the wire, expected
}

// multiRounds bounds how often the keys of nodes that gave no answer are dealt out
// again, to their other replicas; each time but the last is short.
const multiRounds = 3

// run asks for all keys, and again for those that a node kept silent about, or had
// lost to another one.
func (m *multi) run(ctx context.Context) {
	todo := m.checkKeys()
	var silent []*node
	for round := 1; len(todo) > 0; round++ {
		routes, err := m.client.route(ctx, m.deadlineNanos)
		if err != nil {
			m.fail(todo, err)
			return
		}
		spread := routes.ring != nil && len(routes.nodes) > 1 && round < multiRounds
		calls, unreached := m.group(ctx, routes, todo, silent)
		m.schedule(calls)
		m.exchangeAll(ctx, calls, spread)
		m.unschedule(calls)
		left, back := m.unanswered(ctx, routes, calls)
		todo = append(left, unreached...)
		silent = silentOf(calls, silent)
		for _, mc := range calls {
			mc.call.release()
			m.client.budget.earn(m.client.settings.retryShare)
		}
		if !spread || m.client.nowNanos() >= m.deadlineNanos || ctx.Err() != nil {
			return
		}
		if len(todo) > back && !m.client.budget.take(0) {
			round = multiRounds // whoever has them gets all the time there is
		}
	}
}

// checkKeys files the keys that no node would take, and returns the others.
func (m *multi) checkKeys() []int {
	todo := make([]int, 0, len(m.keys))
	for i, key := range m.keys {
		if err := checkKey(key); err != nil {
			m.results[i].Err = m.client.opError("get", key, err)
			continue
		}
		m.client.hot.add(maphash.String(m.client.seed, key), m.client.nowNanos())
		if m.options.nearby() {
			if item, ok := m.client.nearGet(key, nil, m.options.minVersion); ok {
				m.results[i].Item = item
				continue
			}
		}
		todo = append(todo, i)
	}
	return todo
}

func (m *multi) fail(keys []int, err error) {
	for _, i := range keys {
		m.results[i].Err = m.client.opError("get", m.keys[i], err)
	}
}

// place is a shard of a node.
type place struct {
	node  *node
	shard int
}

// group spreads the keys over as few datagrams as hold them, shard by shard. Keys
// of nodes that do not say HELLO are unreached.
func (m *multi) group(ctx context.Context, routes *routes, todo []int, silent []*node) (all []*multiCall, unreached []int) {
	open := map[place]*multiCall{}
	infos := map[*node]*nodeInfo{}
	for _, i := range todo {
		hash := keyHash([]byte(m.keys[i]))
		n := m.client.readerBut(routes, hash, m.options.lease, silent)
		info, err := m.greet(ctx, routes, n, infos)
		if err != nil {
			m.results[i].Err = m.client.opError("get", m.keys[i], err)
			unreached = append(unreached, i)
			continue
		}
		at := place{n, wire.ShardOf(hash, int(info.Shards))}
		ask := wire.Op{Key: []byte(m.keys[i])}
		mc := open[at]
		if mc == nil || mc.full(m.keys[i]) || mc.bytes+ask.Bytes() > n.payloadBytes() || len(mc.keys) >= wire.MaxOps {
			mc = &multiCall{call: newCall(m.client), bytes: wire.RequestHeaderBytes}
			mc.call.routes = routes
			mc.call.aimKey(n, info, hash)
			open[at] = mc
			all = append(all, mc)
		}
		mc.call.add(wire.Get, m.keys[i])
		mc.keys = append(mc.keys, i)
		mc.fills = append(mc.fills, m.beginFill(m.keys[i], hash))
		mc.bytes += ask.Bytes()
		mc.valueBytes += m.client.incast.sizes.expect(ask.Key)
	}
	return all, unreached
}

// beginFill begins to keep a hot key's answer in L1; see Client.beginFill.
func (m *multi) beginFill(key string, keyHash uint64) fill {
	if m.client.l1 == nil || !m.options.nearby() {
		return fill{}
	}
	hash := maphash.String(m.client.seed, key)
	return m.client.beginFill(hash, m.client.hot.estimate(hash), keyHash)
}

func (m *multi) endFills(mc *multiCall) {
	for i := range mc.fills {
		m.client.endFill(&mc.fills[i], m.keys[mc.keys[i]], &mc.call.ops[i], mc.call.node())
	}
}

// judge tells the node's breaker how a call went.
func (m *multi) judge(call *call, failure error, spread bool) {
	if failure == nil && spread && m.client.isSlow(call) {
		call.node().breaker.RecordFailure()
		return
	}
	call.judge(failure)
}

// greet asks each node for its shards once.
func (m *multi) greet(ctx context.Context, routes *routes, n *node, infos map[*node]*nodeInfo) (*nodeInfo, error) {
	if n == nil {
		return nil, ErrUnavailable
	}
	if info, ok := infos[n]; ok {
		if info == nil {
			return nil, ErrUnavailable
		}
		return info, nil
	}
	info, err := n.ready(ctx, m.client.helloLimit(routes, n, m.deadlineNanos))
	if err != nil {
		n.breaker.RecordFailure()
		m.client.doubt(n)
		info = nil
	}
	infos[n] = info
	return info, err
}

// readerBut is pickReader without the nodes that have been silent in this call.
func (c *Client) readerBut(routes *routes, hash uint64, lease bool, silent []*node) *node {
	first := c.pickReader(routes, hash, lease)
	if !slices.Contains(silent, first) {
		return first
	}
	var room [maxReplicas]*node
	for _, n := range c.wholeReplicas(routes, hash, &room) {
		if !slices.Contains(silent, n) {
			return n
		}
	}
	return first
}

// exchangeAll carries out the calls, a bounded number at once.
func (m *multi) exchangeAll(ctx context.Context, all []*multiCall, spread bool) {
	if len(all) == 1 {
		m.one(ctx, all[0], spread)
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, multiInFlight)
	var first *multiCall
	if len(all) <= multiInFlight {
		// The first one's replies are due before all others': it must not stand behind
		// their sending.
		first, all = all[0], all[1:]
	}
	for _, mc := range all {
		slots <- struct{}{}
		wg.Go(func() {
			m.one(ctx, mc, spread)
			<-slots
		})
	}
	if first != nil {
		m.one(ctx, first, spread)
	}
	wg.Wait()
}

// patience is how many timeouts in a row a node may take before its keys are asked
// of others.
const patience = 3

// one carries out one call and files its answers.
func (m *multi) one(ctx context.Context, mc *multiCall, spread bool) {
	defer m.endFills(mc)
	leave, err := m.admit(ctx, mc)
	if err != nil {
		for _, at := range mc.keys {
			m.results[at].Err = m.client.opError("get", m.keys[at], err)
		}
		return
	}
	defer leave()
	call, deadline := mc.call, m.deadlineNanos
	if spread {
		now := m.client.nowNanos()
		deadline = min(deadline, now+call.slotNanos(now)+call.node().patienceNanos(len(mc.keys)))
	}
	call.choose(m.options)
	failure := call.exchange(ctx, deadline)
	m.judge(call, failure, spread)
	m.learnSizes(mc)
	for i := range call.ops {
		op, at := &call.ops[i], mc.keys[i]
		err := failure
		if op.done {
			err = op.err()
			m.results[at].Item = op.item()
		}
		m.results[at].Err = m.client.opError("get", m.keys[at], err)
	}
}

// patienceNanos is how long to wait for a datagram of so many answers.
func (n *node) patienceNanos(keys int) int64 {
	total := time.Duration(0)
	for silences := range patience {
		total += n.rtt.timeout(silences)
	}
	return int64(total + time.Duration(keys)*operationAllowance)
}

// unanswered returns the keys that another node, or the same one under a newer
// ring, may have an answer for, and how many of them are back from followers that lack
// them.
func (m *multi) unanswered(ctx context.Context, routes *routes, calls []*multiCall) (todo []int, back int) {
	moved := false
	for _, mc := range calls {
		for i := range mc.call.ops {
			switch op := &mc.call.ops[i]; {
			case !op.done, op.failure == nil && op.answer.Status == wire.StatusTooLate:
				todo = append(todo, mc.keys[i]) // what was too late for a round's time need not be for the call's
			case mc.call.turnsBack(op):
				todo = append(todo, mc.keys[i])
				back++
			case op.failure == nil && (op.answer.Status == wire.StatusMoved || mc.call.outdated(op)):
				todo = append(todo, mc.keys[i])
				m.client.consult(mc.call.node())
				moved = true
			}
		}
	}
	if moved {
		m.client.counters.moved.Add(1)
		m.client.pause(ctx, routes, fencedPause, m.deadlineNanos)
	}
	m.client.counters.turnedBack.Add(uint64(back))
	return todo, back
}

// silentOf adds the nodes that left answers out.
func silentOf(calls []*multiCall, silent []*node) []*node {
	for _, mc := range calls {
		if mc.call.left > 0 && !slices.Contains(silent, mc.call.node()) {
			silent = append(silent, mc.call.node())
		}
	}
	return silent
}

package client

import (
	"context"
	"fmt"
	"sync"

	"gannet/wire"
)

// multiInFlight bounds the datagrams of one GetMulti that wait at once, so that
// their replies do not overrun the socket's buffer.
const multiInFlight = 4

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
	info, err := c.node.ready(ctx, m.deadlineNanos)
	if err != nil {
		for i := range m.results {
			m.results[i].Err = c.node.opError("get", keys[i], err)
		}
		return m.results, fmt.Errorf("get %d keys: %w", len(keys), err)
	}
	m.run(ctx, m.group(info))
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
	bytes int
}

// group spreads the keys over as few datagrams as hold them, shard by shard.
func (m *multi) group(info *nodeInfo) []*multiCall {
	limit := m.client.node.payloadBytes()
	open := make([]*multiCall, info.Shards)
	var all []*multiCall
	for i, key := range m.keys {
		if err := checkKey(key); err != nil {
			m.results[i].Err = m.client.node.opError("get", key, err)
			continue
		}
		hash := wire.KeyHash([]byte(key))
		shard := wire.ShardOf(hash, int(info.Shards))
		ask := wire.Op{Key: []byte(key)}
		mc := open[shard]
		if mc == nil || mc.bytes+ask.Bytes() > limit || len(mc.keys) >= wire.MaxOps {
			mc = &multiCall{call: newCall(m.client.node), bytes: wire.RequestHeaderBytes}
			mc.call.address(info, hash)
			open[shard] = mc
			all = append(all, mc)
		}
		mc.call.add(wire.Get, key)
		mc.keys = append(mc.keys, i)
		mc.bytes += ask.Bytes()
	}
	return all
}

// run carries out the calls, a bounded number at once.
func (m *multi) run(ctx context.Context, all []*multiCall) {
	if len(all) == 1 {
		m.one(ctx, all[0])
		return
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, multiInFlight)
	for _, mc := range all {
		slots <- struct{}{}
		wg.Go(func() {
			m.one(ctx, mc)
			<-slots
		})
	}
	wg.Wait()
}

// one carries out one call and files its answers.
func (m *multi) one(ctx context.Context, mc *multiCall) {
	defer mc.call.release()
	mc.call.choose(m.options)
	failure := mc.call.exchange(ctx, m.deadlineNanos)
	for i := range mc.call.ops {
		op, at := &mc.call.ops[i], mc.keys[i]
		err := failure
		if op.done {
			err = op.err()
			m.results[at].Item = op.item()
		}
		m.results[at].Err = m.client.node.opError("get", m.keys[at], err)
	}
}

package client

import (
	"context"

	"gannet/wire"
)

// Get returns the item stored under key, or ErrMiss.
func (c *Client) Get(ctx context.Context, key string, opts ...GetOption) (Item, error) {
	return c.GetInto(ctx, key, nil, opts...)
}

// GetInto is Get into memory of the caller's: the value overwrites dst from its
// beginning and grows it only when its capacity is too small. Without options it
// allocates nothing. dst must not be used by anyone else until it returns.
func (c *Client) GetInto(ctx context.Context, key string, dst []byte, opts ...GetOption) (Item, error) {
	if err := checkKey(key); err != nil {
		return Item{}, c.node.opError("get", key, err)
	}
	deadline := c.deadlineNanos(ctx)
	info, err := c.node.ready(ctx, deadline)
	if err != nil {
		return Item{}, c.node.opError("get", key, err)
	}
	call := newCall(c.node)
	defer call.release()
	op := call.add(wire.Get, key)
	op.value = dst[:0]
	call.address(info, wire.KeyHash(op.ask.Key))
	if len(opts) != 0 {
		var o getOptions
		for _, opt := range opts {
			opt(&o)
		}
		call.choose(&o)
	}
	if err := call.exchange(ctx, deadline); err != nil {
		return Item{}, c.node.opError("get", key, err)
	}
	return op.item(), c.node.opError("get", key, op.err())
}

// address aims the call at the shard of a key hash.
func (c *call) address(info *nodeInfo, hash uint64) {
	c.hash = hash
	c.shard = wire.ShardOf(hash, int(info.Shards))
	c.generation = info.generation
}

// choose applies the options of a read to all operations.
func (c *call) choose(o *getOptions) {
	c.minVersion = o.minVersion
	for i := range c.ops {
		ask := &c.ops[i].ask
		if o.lease {
			ask.Flags |= wire.OpLease | wire.OpStaleOK
		}
		if o.metadataOnly {
			ask.Flags |= wire.OpNoValue
		}
	}
}

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
		return Item{}, c.opError("get", key, err)
	}
	call := newCall(c)
	defer call.release()
	op := call.add(wire.Get, key)
	op.value = dst[:0]
	call.hash = keyHash(op.ask.Key)
	if len(opts) != 0 {
		var o getOptions
		for _, opt := range opts {
			opt(&o)
		}
		call.choose(&o)
	}
	if err := c.carry(ctx, call, c.deadlineNanos(ctx)); err != nil {
		return Item{}, c.opError("get", key, err)
	}
	return op.item(), c.opError("get", key, op.err())
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

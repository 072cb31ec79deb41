package client

import (
	"context"
	"hash/maphash"

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
	if len(opts) == 0 {
		return c.get(ctx, key, dst, nil)
	}
	var o getOptions
	for _, opt := range opts {
		opt(&o)
	}
	return c.get(ctx, key, dst, &o)
}

// get reads one item; o may be nil.
func (c *Client) get(ctx context.Context, key string, dst []byte, o *getOptions) (Item, error) {
	if err := checkKey(key); err != nil {
		return Item{}, c.opError("get", key, err)
	}
	hash := maphash.String(c.seed, key)
	uses := c.hot.add(hash, c.nowNanos())
	if o.nearby() {
		if item, ok := c.nearGet(key, dst, o.atLeast()); ok {
			return item, nil
		}
	}
	call := newCall(c)
	defer call.release()
	op := call.add(wire.Get, key)
	op.value = dst[:0]
	call.hash = keyHash(op.ask.Key)
	var f fill
	if o.nearby() {
		f = c.beginFill(hash, uses, call.hash)
	}
	if o != nil {
		call.choose(o)
	}
	c.padded.prepare(c, op, hash, uses, f.origin != nil)
	err := c.carry(ctx, call, c.deadlineNanos(ctx))
	c.endFill(&f, key, op, call.winner)
	if err != nil {
		return Item{}, c.opError("get", key, err)
	}
	c.padded.learn(call, op, hash, uses)
	return op.item(), c.opError("get", key, op.err())
}

// nearby says whether a copy of the client's own may answer the read.
func (o *getOptions) nearby() bool { return o == nil || !o.lease && !o.metadataOnly }

func (o *getOptions) atLeast() Version {
	if o == nil {
		return 0
	}
	return o.minVersion
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

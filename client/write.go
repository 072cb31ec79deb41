package client

import (
	"context"
	"fmt"
	"time"

	"gannet/wire"
)

// Put stores value under key, whatever was there, and returns the item's version.
func (c *Client) Put(ctx context.Context, key string, value []byte, opts ...WriteOption) (Version, error) {
	return c.store(ctx, "put", wire.Put, key, value, 0, opts)
}

// Add stores value under a key that is not there; ErrExists if it is.
func (c *Client) Add(ctx context.Context, key string, value []byte, opts ...WriteOption) (Version, error) {
	return c.store(ctx, "add", wire.Add, key, value, 0, opts)
}

// Replace stores value under a key that is there; ErrNotFound if it is not.
func (c *Client) Replace(ctx context.Context, key string, value []byte, opts ...WriteOption) (Version, error) {
	return c.store(ctx, "replace", wire.Replace, key, value, 0, opts)
}

// CompareAndSwap stores value if the item still has the version old; ErrVersion
// if it has another one, ErrNotFound if there is none.
func (c *Client) CompareAndSwap(ctx context.Context, key string, value []byte, old Version, opts ...WriteOption) (Version, error) {
	if old == 0 {
		return 0, c.opError("cas", key, fmt.Errorf("%w: version 0 is none: get the item's version first", ErrBadRequest))
	}
	return c.store(ctx, "cas", wire.CAS, key, value, uint64(old), opts)
}

// Delete removes the item; ErrNotFound if there is none.
func (c *Client) Delete(ctx context.Context, key string) error {
	_, err := c.write(ctx, "delete", key, wire.Op{Code: wire.Delete})
	return err
}

// Touch gives the item a new TTL, counted from now; zero means that it does not
// expire.
func (c *Client) Touch(ctx context.Context, key string, ttl time.Duration) (Version, error) {
	ttlSeconds, err := seconds(ttl)
	if err != nil {
		return 0, c.opError("touch", key, err)
	}
	answer, err := c.write(ctx, "touch", key, wire.Op{Code: wire.Touch, TTLSeconds: ttlSeconds})
	return Version(answer.Version), err
}

// Incr adds delta to an item whose value is a decimal number and returns the sum.
// The item keeps its TTL.
func (c *Client) Incr(ctx context.Context, key string, delta int64) (int64, error) {
	answer, err := c.write(ctx, "incr", key, wire.Op{Code: wire.Incr, Arg: uint64(delta)})
	return int64(answer.Token), err
}

// store is the common part of the writes that carry a value.
func (c *Client) store(ctx context.Context, name string, code wire.Opcode, key string, value []byte, arg uint64, opts []WriteOption) (Version, error) {
	ask := wire.Op{Code: code, Value: value, Arg: arg}
	if len(opts) != 0 {
		var o writeOptions
		for _, opt := range opts {
			opt(&o)
		}
		if err := o.apply(&ask); err != nil {
			return 0, c.opError(name, key, err)
		}
	}
	answer, err := c.write(ctx, name, key, ask)
	return Version(answer.Version), err
}

// apply puts the options into the operation.
func (o *writeOptions) apply(ask *wire.Op) (err error) {
	if ask.TTLSeconds, ask.SoftSeconds, err = o.wireTTLs(); err != nil {
		return err
	}
	if o.lease == 0 {
		return nil
	}
	if ask.Code == wire.CAS {
		return fmt.Errorf("%w: a compare-and-swap takes no lease: use put", ErrBadRequest)
	}
	ask.Arg = uint64(o.lease)
	return nil
}

// write carries out one write. A value too long for a datagram goes in parts.
func (c *Client) write(ctx context.Context, name, key string, ask wire.Op) (wire.ReplyOp, error) {
	answer, err := c.writeOnce(ctx, key, ask)
	c.wroteKey(key, ask.Code, Version(answer.Version), err)
	if err != nil {
		return answer, c.opError(name, key, err)
	}
	c.acknowledged(key, &answer)
	return answer, nil
}

func (c *Client) writeOnce(ctx context.Context, key string, ask wire.Op) (answer wire.ReplyOp, err error) {
	if err := checkKey(key); err != nil {
		return answer, err
	}
	call := newCall(c)
	defer call.release()
	op := call.add(ask.Code, key)
	ask.Key = op.ask.Key
	op.ask = ask
	call.hash = keyHash(ask.Key)
	if err := c.carry(ctx, call, c.deadlineNanos(ctx)); err != nil {
		return answer, err
	}
	return op.answer, op.err()
}

package client

import (
	"context"
	"encoding/json"
	"time"

	"gannet/wire"
)

// Ping sends one small datagram to the first shard of the first server given to
// Open, and returns the time until its answer, asked again as any other call when it is lost.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	start := c.nowNanos()
	_, err := c.ask(ctx, wire.Ping, 0)
	if err != nil {
		return 0, c.opError("ping", "", err)
	}
	return time.Duration(c.nowNanos() - start), nil
}

// Stats returns what the first server given to Open counts, as one JSON object over all its shards.
func (c *Client) Stats(ctx context.Context) (json.RawMessage, error) {
	stats, err := c.ask(ctx, wire.Stats, 0)
	if err != nil {
		return nil, c.opError("stats", "", err)
	}
	return stats, nil
}

// Limits is what a node said about itself.
type Limits struct {
	Shards        int
	MaxValueBytes int
	NodeID        uint64
}

// Limits returns the limits of the first server given to Open.
func (c *Client) Limits(ctx context.Context) (Limits, error) {
	info, err := c.seeds[0].ready(ctx, c.deadlineNanos(ctx))
	if err != nil {
		return Limits{}, c.opError("hello", "", err)
	}
	return Limits{Shards: int(info.Shards), MaxValueBytes: int(info.MaxValueBytes), NodeID: info.NodeID}, nil
}

// ask carries out an operation without a key, at the first server given to Open.
func (c *Client) ask(ctx context.Context, code wire.Opcode, shard int) ([]byte, error) {
	deadline := c.deadlineNanos(ctx)
	info, err := c.seeds[0].ready(ctx, deadline)
	if err != nil {
		return nil, err
	}
	call := newCall(c)
	defer call.release()
	op := call.add(code, "")
	call.aimAt(c.seeds[0], info, shard)
	if err := call.exchange(ctx, deadline); err != nil {
		return nil, err
	}
	return op.value, op.err()
}

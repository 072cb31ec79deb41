package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gannet/client"
)

type deleteCmd struct {
	target
	Key string `arg:"" help:"Key, 1 to 250 bytes."`
}

// Help is the text below the flags' summary.
func (deleteCmd) Help() string {
	return `Prints nothing when it is done; exits with 1 if the key was not there.

Examples:
  gannet delete greeting`
}

// Run deletes an item.
func (c *deleteCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, cache *client.Client) error {
		return c.written(env, c.Key, 0, cache.Delete(ctx, c.Key))
	})
}

type touchCmd struct {
	target
	Key string  `arg:"" help:"Key, 1 to 250 bytes."`
	TTL ttlFlag `name:"ttl" required:"" placeholder:"TIME" help:"New time to live from now on, e.g. 60s, 12h, 30d."`
}

// Help is the text below the flags' summary.
func (touchCmd) Help() string {
	return `Leaves the value as it is; exits with 1 if the key is not there.

Examples:
  gannet touch session:42 --ttl 30m`
}

// Run gives an item a new TTL.
func (c *touchCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, cache *client.Client) error {
		version, err := cache.Touch(ctx, c.Key, time.Duration(c.TTL))
		return c.written(env, c.Key, version, err)
	})
}

type incrCmd struct {
	target
	Key   string `arg:"" help:"Key of a number in decimal digits, 1 to 250 bytes."`
	Delta int64  `short:"d" default:"1" placeholder:"NUMBER" help:"What to add; negative to subtract (--delta=-1)."`
}

// Help is the text below the flags' summary.
func (incrCmd) Help() string {
	return `Prints the sum; exits with 1 if the key is not there.

Examples:
  gannet put visits 0 && gannet incr visits
  gannet incr stock --delta=-3`
}

// Run adds to a number.
func (c *incrCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, cache *client.Client) error {
		number, err := cache.Incr(ctx, c.Key, c.Delta)
		switch err = outcome(err); {
		case err != nil && (c.Output != outputJSON || !errors.Is(err, errMiss)):
			return err
		case err != nil:
			return errors.Join(err, writeJSON(env, map[string]any{"key": c.Key, "done": false}))
		case c.Output == outputJSON:
			return writeJSON(env, map[string]any{"key": c.Key, "done": true, "number": number})
		}
		_, err = fmt.Fprintln(env.Stdout, number)
		return err
	})
}

type pingCmd struct{ target }

// Help is the text below the flags' summary.
func (pingCmd) Help() string {
	return `Prints the time from the first datagram to the answer.

Examples:
  gannet ping
  gannet ping --server 10.0.0.7:9800 -o json`
}

// Run measures a round trip.
func (c *pingCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, cache *client.Client) error {
		trip, err := cache.Ping(ctx)
		if err != nil {
			return err
		}
		if c.Output == outputJSON {
			return writeJSON(env, map[string]any{"server": c.server(env), "seconds": trip.Seconds()})
		}
		_, err = fmt.Fprintf(env.Stdout, "%s answers in %s\n", c.server(env), trip.Round(time.Microsecond))
		return err
	})
}

type statsCmd struct{ target }

// Help is the text below the flags' summary.
func (statsCmd) Help() string {
	return `Prints JSON in either format; text is indented. The admin port's /metrics has more.

Examples:
  gannet stats
  gannet stats -o json | jq .evictions`
}

// Run prints a node's counters.
func (c *statsCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, cache *client.Client) error {
		stats, err := cache.Stats(ctx)
		if err != nil {
			return err
		}
		if c.Output == outputJSON {
			return writeJSON(env, stats)
		}
		encoder := json.NewEncoder(env.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(stats)
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/client"
)

// expiry are the flags of verbs that store.
type expiry struct {
	TTL     ttlFlag `name:"ttl" placeholder:"TIME" help:"Time to live, e.g. 60s, 12h, 30d; without it the item does not expire."`
	SoftTTL ttlFlag `name:"soft-ttl" placeholder:"TIME" help:"Time after which the item counts as stale; below --ttl."`
}

func (e *expiry) options() ([]client.WriteOption, error) {
	var options []client.WriteOption
	if e.SoftTTL != 0 && e.TTL != 0 && e.SoftTTL >= e.TTL {
		return nil, fmt.Errorf("--soft-ttl %s is not below --ttl %s; an item goes stale before it expires",
			time.Duration(e.SoftTTL), time.Duration(e.TTL))
	}
	if e.TTL != 0 {
		options = append(options, client.WithTTL(time.Duration(e.TTL)))
	}
	if e.SoftTTL != 0 {
		options = append(options, client.WithSoftTTL(time.Duration(e.SoftTTL)))
	}
	return options, nil
}

// storing is what put, add, replace and cas have in common.
type storing struct {
	target
	expiry
	Key string `arg:"" help:"Key, 1 to 250 bytes."`
	valueText
}

type storeCall func(ctx context.Context, cache *client.Client, value []byte, options []client.WriteOption) (client.Version, error)

func (s *storing) run(env *Env, store storeCall) error {
	options, err := s.options()
	if err != nil {
		return err
	}
	value, err := s.read(env)
	if err != nil {
		return err
	}
	return s.with(env, func(ctx context.Context, cache *client.Client) error {
		version, err := store(ctx, cache, value, options)
		return s.written(env, s.Key, version, err)
	})
}

// written reports a write: in text, silence is success.
func (t *target) written(env *Env, key string, version client.Version, err error) error {
	err = outcome(err)
	if t.Output != outputJSON || err != nil && !errors.Is(err, errMiss) {
		return err
	}
	type result struct {
		Key     string `json:"key"`
		Done    bool   `json:"done"`
		Version uint64 `json:"version,omitempty,string"`
	}
	return errors.Join(err, writeJSON(env, result{key, err == nil, uint64(version)}))
}

type putCmd struct{ storing }

// Help is the text below the flags' summary.
func (putCmd) Help() string {
	return `Prints nothing when it is done.

Examples:
  gannet put greeting hello --ttl 60s
  gannet put logo.png --file logo.png
  date | gannet put now - --ttl 1h --soft-ttl 10m`
}

// Run stores an item.
func (c *putCmd) Run(env *Env) error {
	return c.run(env, func(ctx context.Context, cache *client.Client, value []byte, options []client.WriteOption) (client.Version, error) {
		return cache.Put(ctx, c.Key, value, options...)
	})
}

type addCmd struct{ storing }

// Help is the text below the flags' summary.
func (addCmd) Help() string {
	return `Exits with 1 if the key is there already.

Examples:
  gannet add lock:job-7 "$HOSTNAME" --ttl 30s && run-job-7`
}

// Run stores an item that is not there.
func (c *addCmd) Run(env *Env) error {
	return c.run(env, func(ctx context.Context, cache *client.Client, value []byte, options []client.WriteOption) (client.Version, error) {
		return cache.Add(ctx, c.Key, value, options...)
	})
}

type replaceCmd struct{ storing }

// Help is the text below the flags' summary.
func (replaceCmd) Help() string {
	return `Exits with 1 if the key is not there.

Examples:
  gannet replace greeting "good morning" --ttl 60s`
}

// Run stores over an item that is there.
func (c *replaceCmd) Run(env *Env) error {
	return c.run(env, func(ctx context.Context, cache *client.Client, value []byte, options []client.WriteOption) (client.Version, error) {
		return cache.Replace(ctx, c.Key, value, options...)
	})
}

type casCmd struct {
	storing
	Version uint64 `required:"" placeholder:"NUMBER" help:"Version that the item must have: \"version\" of gannet get -o json."`
}

// Help is the text below the flags' summary.
func (casCmd) Help() string {
	return `Compare and swap: exits with 1 if the item has another version by now, or is gone.

Examples:
  gannet cas greeting "good evening" --version "$(gannet get greeting -o json | jq -r .version)"`
}

// Run stores over a given version.
func (c *casCmd) Run(env *Env) error {
	return c.run(env, func(ctx context.Context, cache *client.Client, value []byte, options []client.WriteOption) (client.Version, error) {
		return cache.CompareAndSwap(ctx, c.Key, value, client.Version(c.Version), options...)
	})
}

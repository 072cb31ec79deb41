package main

import (
	"context"
	"errors"

	"gannet/client"
)

type getCmd struct {
	target
	Key string `arg:"" help:"Key, 1 to 250 bytes."`
}

// Help is the text below the flags' summary.
func (getCmd) Help() string {
	return `Prints the value, byte for byte, and nothing else; on a terminal it ends with a newline. A miss prints
nothing and exits with 1.

Examples:
  gannet get greeting
  gannet get logo.png > logo.png
  gannet get greeting -o json
  gannet get greeting || load-from-database`
}

// Run gets an item.
func (c *getCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, cache *client.Client) error {
		item, err := cache.Get(ctx, c.Key)
		if err != nil {
			return c.missed(env, err)
		}
		if c.Output == outputJSON {
			return writeJSON(env, jsonItem(c.Key, &item))
		}
		if isTerminal(env.Stdout) {
			item.Value = append(item.Value, '\n')
		}
		_, err = env.Stdout.Write(item.Value)
		return err
	})
}

func (c *getCmd) missed(env *Env, err error) error {
	err = outcome(err)
	if errors.Is(err, errMiss) && c.Output == outputJSON {
		return errors.Join(err, writeJSON(env, itemJSON{Key: c.Key}))
	}
	return err
}

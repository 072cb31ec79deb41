package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"gannet/control/api"
)

type hotCmd struct {
	controlTarget
	Limit  int          `short:"n" default:"20" placeholder:"N" help:"Print so many keys at most (default: 20)."`
	Output outputFormat `short:"o" default:"text" help:"text, or json: as the node sends it."`
}

// Help is the text below the flags' summary.
func (hotCmd) Help() string {
	return `Prints the keys that a node is asked for most, the hottest first, with the estimated number of
requests a second that reach it. What clients answer out of their own copies (L1) reaches no node,
and is in no figure here. Exits with 1 if no key stands out.

Examples:
  gannet hot
  gannet hot -n 5 --server 10.0.0.7:9741 --tls-cert client.pem --tls-key client-key.pem --tls-ca ca.pem
  gannet hot -o json | jq -r '.keys[0].key'`
}

// Run prints the heavy hitters.
func (c *hotCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, node *api.Client) error {
		hot, err := node.Hot(ctx)
		if err != nil {
			return err
		}
		hot.Keys = hot.Keys[:min(len(hot.Keys), max(c.Limit, 0))]
		if err := c.print(env, hot); err != nil || len(hot.Keys) > 0 {
			return err
		}
		return errMiss
	})
}

func (c *hotCmd) print(env *Env, hot *api.HotJSON) error {
	if c.Output == outputJSON {
		return writeJSON(env, hot)
	}
	if len(hot.Keys) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REQUESTS/S\tKEY")
	for i := range hot.Keys {
		k := &hot.Keys[i]
		fmt.Fprintf(table, "%d\t%s\n", k.Requests, hotKeyText(k))
	}
	return table.Flush()
}

// hotKeyText is a key on one line.
func hotKeyText(k *api.HotKeyJSON) string {
	if k.Key != nil {
		return lineText(*k.Key)
	}
	return lineText(string(k.KeyBase64))
}

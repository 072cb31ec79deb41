package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"gannet/control/api"
)

type hotCmd struct {
	controlTarget
	Limit  int          `short:"n" default:"20" placeholder:"N" help:"Print so many keys at most (default: 20)."`
	Output outputFormat `short:"o" default:"text" help:"text, or json: as the node sends it."`
}

// Help is the text below the flags' summary.
func (hotCmd) Help() string {
	return `Prints the keys that a node is asked for most, the hottest first: the estimated number of requests a
second that reach it, and where they are served from. That is the key's shard; the kernel, with the
GETs that the XDP program has answered since the key is in its table; L1, with how long clients may
keep a copy, and how many replies have said so. What clients answer out of their own copies reaches
no node, and is in no figure here. Exits with 1 if no key stands out.

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
	fmt.Fprintln(table, "REQUESTS/S\tSERVED FROM\tKEY")
	for i := range hot.Keys {
		k := &hot.Keys[i]
		fmt.Fprintf(table, "%d\t%s\t%s\n", k.Requests, servedText(k), hotKeyText(k))
	}
	return table.Flush()
}

// servedText says where a key is served from, and how much.
func servedText(k *api.HotKeyJSON) string {
	text := make([]string, len(k.Served))
	for i, place := range k.Served {
		switch place {
		case "kernel":
			text[i] = fmt.Sprintf("kernel (%d GETs)", k.KernelHits)
		case "l1":
			text[i] = fmt.Sprintf("L1 (%s, %d grants)", time.Duration(k.GrantMillis)*time.Millisecond, k.Grants)
		default:
			text[i] = place
		}
	}
	return strings.Join(text, ", ")
}

// hotKeyText is a key on one line.
func hotKeyText(k *api.HotKeyJSON) string {
	if k.Key != nil {
		return lineText(*k.Key)
	}
	return lineText(string(k.KeyBase64))
}

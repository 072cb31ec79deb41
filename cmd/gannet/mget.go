package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"gannet/client"
)

type mgetCmd struct {
	target
	Keys []string `arg:"" help:"Keys, 1 to 250 bytes each."`
}

// Help is the text below the flags' summary.
func (mgetCmd) Help() string {
	return `Prints a line for each key that was found, in the order asked: key, tab, value. A value that would
break the line is quoted. Exits with 1 if a key was missing, with 2 if a key failed.

Examples:
  gannet mget user:1 user:2 user:3
  gannet mget user:1 user:2 -o json | jq '.items[] | select(.found) | .key'`
}

// Run gets several items at once.
func (c *mgetCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, cache *client.Client) error {
		results, err := cache.GetMulti(ctx, c.Keys)
		if len(results) != len(c.Keys) {
			return err // the call as a whole failed
		}
		if c.Output == outputJSON {
			err = c.printJSON(env, results)
		} else {
			err = c.printText(env, results)
		}
		return errors.Join(err, c.verdict(results))
	})
}

func (c *mgetCmd) printText(env *Env, results []client.Result) error {
	for i := range results {
		if results[i].Err != nil {
			continue
		}
		if _, err := fmt.Fprintf(env.Stdout, "%s\t%s\n", lineText(c.Keys[i]), lineText(string(results[i].Value))); err != nil {
			return err
		}
	}
	return nil
}

func (c *mgetCmd) printJSON(env *Env, results []client.Result) error {
	items := make([]itemJSON, len(results))
	hits := 0
	for i := range results {
		switch err := results[i].Err; {
		case err == nil:
			items[i] = jsonItem(c.Keys[i], &results[i].Item)
			hits++
		case errors.Is(err, client.ErrMiss):
			items[i] = itemJSON{Key: c.Keys[i]}
		default:
			items[i] = itemJSON{Key: c.Keys[i], Error: err.Error()}
		}
	}
	return writeJSON(env, map[string]any{"items": items, "hits": hits, "misses": len(items) - hits})
}

// verdict is the first failure, else a miss if there was one.
func (c *mgetCmd) verdict(results []client.Result) (verdict error) {
	for i := range results {
		err := outcome(results[i].Err)
		if err != nil && !errors.Is(err, errMiss) {
			return err
		}
		verdict = errors.Join(verdict, err)
	}
	return verdict
}

// lineText quotes what would not stay one field of one line.
func lineText(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || unicode.IsControl(r) }) {
		return strconv.Quote(s)
	}
	return s
}

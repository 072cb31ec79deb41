package main

import (
	"strings"

	"github.com/alecthomas/kong"

	"gannet/loadgen/trace"
)

// cli is the grammar: a verb a field, and a verb's own file for each.
type cli struct {
	Dev        devCmd        `cmd:"" group:"run" help:"Run a node for development: embedded etcd, temporary data, nothing to set up."`
	Node       nodeCmd       `cmd:"" group:"run" help:"Run a node: data plane and control process, supervised."`
	Control    controlCmd    `cmd:"" group:"run" help:"Run the control process alone, beside a data plane that is started separately."`
	Gateway    gatewayCmd    `cmd:"" group:"run" help:"Serve a cache over HTTP."`
	Get        getCmd        `cmd:"" group:"items" help:"Print the value of a key."`
	Mget       mgetCmd       `cmd:"" group:"items" help:"Print the values of several keys."`
	Put        putCmd        `cmd:"" group:"items" help:"Store a value."`
	Add        addCmd        `cmd:"" group:"items" help:"Store a value unless the key is there."`
	Replace    replaceCmd    `cmd:"" group:"items" help:"Store a value only if the key is there."`
	Cas        casCmd        `cmd:"" group:"items" help:"Store a value only over a given version."`
	Incr       incrCmd       `cmd:"" group:"items" help:"Add to a number."`
	Touch      touchCmd      `cmd:"" group:"items" help:"Give a key a new TTL."`
	Delete     deleteCmd     `cmd:"" group:"items" help:"Remove a key."`
	Bench      benchCmd      `cmd:"" group:"measure" help:"Offer load to a node, or to another cache, and measure it."`
	Replay     replayCmd     `cmd:"" group:"measure" help:"Replay a real trace against a node, or in process, and check every value."`
	Datapath   datapathCmd   `cmd:"" group:"measure" help:"Look at what network interfaces support."`
	Tune       tuneCmd       `cmd:"" group:"measure" help:"Tune this host, and put it back as it was."`
	Ping       pingCmd       `cmd:"" group:"look" help:"Measure the round trip to a node."`
	Stats      statsCmd      `cmd:"" group:"look" help:"Print a node's counters."`
	Config     configCmd     `cmd:"" group:"look" help:"Show the effective configuration, or check a file."`
	Ring       ringCmd       `cmd:"" group:"look" help:"Show the ring, find a key's nodes, take a node out of it."`
	Hot        hotCmd        `cmd:"" group:"look" help:"Print the keys that a node is asked for most."`
	Watch      watchCmd      `cmd:"" group:"look" help:"Follow what happens in the cluster."`
	Certs      certsCmd      `cmd:"" group:"run" help:"Make and revoke certificates for development."`
	Version    versionCmd    `cmd:"" group:"look" help:"Print the version."`
	Completion completionCmd `cmd:"" group:"look" help:"Print a completion script for your shell."`
}

const description = `Gannet is a distributed in-memory cache.

Try it:
  gannet dev                                      (in one shell)
  gannet put greeting hello --ttl 60s             (in another)
  gannet get greeting

Exit codes: 0 found or done, 1 miss or condition not met, 2 error.`

func newParser(env *Env) (*kong.Kong, error) {
	grammar := &cli{}
	grammar.Dev.Plugins = settingFlags("gannet dev", devDefaults)
	grammar.Node.Plugins = settingFlags("", nil)
	grammar.Control.Plugins = settingFlags("", nil)
	grammar.Config.Show.Plugins = settingFlags("", nil)
	return kong.New(
		grammar,
		kong.Name("gannet"),
		kong.Description(description),
		kong.Vars{"formats": strings.Join(trace.Formats(), ", ")},
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { panic(exitCode(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "run", Title: "Run a node:"},
			{Key: "items", Title: "Use a cache:"},
			{Key: "measure", Title: "Measure:"},
			{Key: "look", Title: "Look around:"},
			{Key: "network", Title: "Against a node:"},
			{Key: "in-process", Title: "In process:"},
			{Key: "load", Title: "Load:"},
			{Key: "bench-items", Title: "Items:"},
			{Key: "bench-run", Title: "Run:"},
			{Key: "settings", Title: "Settings, each also a key of the YAML file and a GANNET_ variable (--data-dir, data-dir:, GANNET_DATA_DIR):"},
		}),
	)
}

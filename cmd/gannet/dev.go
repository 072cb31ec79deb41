package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/config"
	"gannet/control"
)

type devCmd struct {
	Nodes  int      `default:"1" placeholder:"N" help:"Run a small cluster of so many nodes on loopback, each a pair of processes (default: 1)."`
	Zones  []string `placeholder:"NAME" help:"Zones to spread its nodes over (default: zone-a,zone-b,zone-c)."`
	Secure bool     `help:"Mutual TLS between nodes, etcd and clients' control connections, and encrypted gossip, with certificates made for this run."`
	settings
}

// devDefaults suit a laptop: little memory, one shard, an etcd that is in nobody's way.
var devDefaults = map[string]string{
	"node-name":       "dev",
	"memory":          "256MiB",
	"shards":          "1",
	"etcd-embed":      "true",
	"etcd-client-url": "http://127.0.0.1:0",
	"etcd-peer-url":   "http://127.0.0.1:0",
	"log-level":       "warn",
}

// Help is the text below the flags' summary.
func (devCmd) Help() string {
	return `Needs nothing: no root, no etcd, no configuration. Prints what listens where and which rung of the
datapath ladder was taken. Its data is gone when it ends; Ctrl-C ends it.

With --nodes it is a small cluster, whose nodes have ports 100 apart. Kill the processes of one to see
the others go on; it says how to start it again.

Examples:
  gannet dev
  gannet dev --memory 1GiB --shards 2 --policy lru
  gannet dev --nodes 3
  gannet dev --nodes 3 --secure
  gannet dev --data-port 9900 --admin 127.0.0.1:0`
}

// Run runs a node on temporary data until it is told to end.
func (c *devCmd) Run(env *Env) (err error) {
	switch {
	case c.Nodes < 1 || c.Nodes > maxDevNodes:
		return fmt.Errorf("--nodes %d is out of range; it goes from 1 to %d", c.Nodes, maxDevNodes)
	case c.Nodes > 1 || c.Secure || len(c.Zones) > 0:
		return c.runCluster(env)
	}
	loaded, remove, err := c.prepare(env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	opts := control.Options{Config: loaded, Supervise: true, DieWithParent: true}
	return runNode(env, &c.settings, opts, func(node *control.Control) {
		info, _ := node.NodeInfo()
		printDev(env.Stdout, env.Program, &loaded.Config, node, info)
	})
}

// prepare loads the configuration over a temporary data directory, which remove
// takes away; one that was asked for stays.
func (c *devCmd) prepare(env *Env) (loaded *config.Loaded, remove func() error, err error) {
	defaults := without(devDefaults, "shards")
	if loaded, err = c.load(env, "gannet dev", defaults); err == nil && !loaded.Given("cpus") {
		defaults = devDefaults // no list of CPUs says how many
		loaded, err = c.load(env, "gannet dev", defaults)
	}
	if err != nil || loaded.Given("data-dir") {
		return loaded, func() error { return nil }, err
	}
	dir, err := os.MkdirTemp(roomyDir(int64(loaded.Memory)), "gannet-dev-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a temporary data directory (choose one with --data-dir): %w", err)
	}
	remove = func() error { return errors.Join(unmountData(dir), os.RemoveAll(dir)) }
	loaded, err = c.load(env, "gannet dev", with(defaults, "data-dir", dir))
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return loaded, remove, nil
}

func with(defaults map[string]string, key, value string) map[string]string {
	more := map[string]string{key: value}
	for k, v := range defaults {
		more[k] = v
	}
	return more
}

func without(defaults map[string]string, key string) map[string]string {
	fewer := with(defaults, key, "")
	delete(fewer, key)
	return fewer
}

// boardRoomBytes is more than the files beside the items take.
const boardRoomBytes = 64 << 20

// roomyDir is memory's own file system when there is room, which containers are
// often short of, and else the directory for temporary files.
func roomyDir(memoryBytes int64) string {
	const shm = "/dev/shm"
	var fs unix.Statfs_t
	if unix.Statfs(shm, &fs) == nil && int64(fs.Bavail)*fs.Bsize >= memoryBytes+boardRoomBytes && unix.Access(shm, unix.W_OK) == nil {
		return shm
	}
	return os.TempDir()
}

func printDev(w io.Writer, program string, cfg *config.Config, node *control.Control, info board.NodeInfo) {
	fmt.Fprintf(w, "gannet %s: node %q is ready\n\n", versionString(), cfg.NodeName)
	for i, s := range info.Shards {
		fmt.Fprintf(w, "  %-10s %-32s shard %d on CPU %d\n", "data", fmt.Sprintf("udp %s:%d", cfg.Listen, s.Port), i, s.CPU)
	}
	fmt.Fprintf(w, "  %-10s %-32s status, /metrics, /readyz, /debug/pprof\n", "admin", "http://"+node.AdminAddr())
	fmt.Fprintf(w, "  %-10s %-32s ring, invalidations, hot keys\n", "control", "tcp "+node.ControlAddr())
	if url := node.EtcdURL(); url != "" {
		fmt.Fprintf(w, "  %-10s %-32s embedded\n", "etcd", url)
	}
	fmt.Fprintf(w, "  %-10s %-32s %s for items, policy %s\n", "memory", cfg.DataDir, cfg.Memory, info.Policy)
	if len(info.Shards) > 0 {
		fmt.Fprintf(w, "  %-10s %s\n", "datapath", info.Shards[0].Rung)
		for _, why := range info.Shards[0].WhyNot {
			fmt.Fprintf(w, "  %-10s   not %s\n", "", why)
		}
	}
	server := ""
	if addr := dataAddr(cfg); addr != defaultServer {
		server = " --server " + addr
	}
	fmt.Fprintf(w, "\nTry, in another shell:\n  %s put greeting hello --ttl 60s%s && %[1]s get greeting%[2]s\n\nCtrl-C ends it.\n",
		shellWord(program), server)
}

func shellWord(s string) string {
	if strings.ContainsAny(s, " '\"$\\`&;()*?") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

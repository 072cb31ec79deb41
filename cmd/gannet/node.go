package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"gannet/config"
	"gannet/control"
)

type nodeCmd struct{ settings }

// Help is the text below the flags' summary.
func (nodeCmd) Help() string {
	return `Starts gannet-dataplane, which it finds beside this executable, watches it, and starts it again,
warm, when it ends or freezes. SIGTERM drains both; SIGHUP reads the configuration file again and takes
over log-level.

Examples:
  gannet node --node-name cache-1 --listen 10.0.0.7 --memory 64GiB --etcd-endpoints http://10.0.0.2:2379
  gannet node --config /etc/gannet/gannet.yaml --interface eth1 --datapath auto
  GANNET_MEMORY=512MiB gannet node --etcd-embed true`
}

// Run runs a node until it is told to end.
func (c *nodeCmd) Run(env *Env) error {
	loaded, err := c.load(env, "", nil)
	if err != nil {
		return err
	}
	loosenTimers()
	return runNode(env, &c.settings, control.Options{Config: loaded, Supervise: true}, nil)
}

type controlCmd struct{ settings }

// Help is the text below the flags' summary.
func (controlCmd) Help() string {
	return `For machines where systemd runs gannet-dataplane as a unit of its own. Both read the same
configuration; the watchdog kills a frozen data plane, and systemd starts it again.

Examples:
  gannet control --config /etc/gannet/gannet.yaml
  gannet-dataplane --config /etc/gannet/gannet.yaml`
}

// Run runs the control process until it is told to end.
func (c *controlCmd) Run(env *Env) error {
	loaded, err := c.load(env, "", nil)
	if err != nil {
		return err
	}
	loosenTimers()
	return runNode(env, &c.settings, control.Options{Config: loaded}, nil)
}

// runNode runs a control process; onReady is called when it has become ready.
func runNode(env *Env, s *settings, opts control.Options, onReady func(*control.Control)) error {
	log, level := newLog(env.Stderr, &opts.Config.Config)
	opts.Log, opts.Version, opts.Environ, opts.Output = log, versionString(), env.Environ, env.Stderr
	undo := func() error { return nil }
	if opts.Supervise {
		var err error
		if undo, err = mountHuge(&opts.Config.Config); err != nil {
			return errors.Join(err, undo())
		}
	}
	node, err := control.New(opts)
	if err != nil {
		return errors.Join(err, undo())
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go obeySignals(ctx, env, cancel, func() { reload(env, s, log, level) })
	go announce(ctx, node, log, onReady)
	go feedWatchdog(ctx, func() bool { return healthy(ctx, node.AdminAddr()) })
	if err := node.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func obeySignals(ctx context.Context, env *Env, end, reload func()) {
	for {
		select {
		case sig := <-env.Signals:
			if sig != unix.SIGHUP {
				end()
				return
			}
			reload()
		case <-ctx.Done():
			return
		}
	}
}

// reload takes over what can change while a node runs: the level of its log.
func reload(env *Env, s *settings, log *slog.Logger, level *slog.LevelVar) {
	fresh, err := s.load(env, "", nil)
	if err != nil {
		log.Error("configuration not reloaded; the old one stays", "error", err)
		return
	}
	setLevel(level, fresh.LogLevel)
	log.Info("configuration reloaded", "log_level", fresh.LogLevel)
}

func announce(ctx context.Context, node *control.Control, log *slog.Logger, onReady func(*control.Control)) {
	select {
	case <-node.Ready():
	case <-ctx.Done():
		return
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("tell systemd that the node is ready", "error", err)
	}
	if onReady != nil {
		onReady(node)
		return
	}
	info, _ := node.NodeInfo()
	for i, s := range info.Shards {
		log.Info("ready", "shard", i, "port", s.Port, "cpu", s.CPU, "rung", s.Rung, "why_not_better", s.WhyNot)
	}
	log.Info("control port", "addr", node.ControlAddr())
	log.Info("admin port", "url", "http://"+node.AdminAddr())
}

// dataAddr is where clients reach a node.
func dataAddr(cfg *config.Config) string {
	if cfg.Listen.Is6() {
		return fmt.Sprintf("[%s]:%d", cfg.Listen, cfg.DataPort)
	}
	return fmt.Sprintf("%s:%d", cfg.Listen, cfg.DataPort)
}

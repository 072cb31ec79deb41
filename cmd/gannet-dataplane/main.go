// Command gannet-dataplane is the privileged, small half of a node: it owns the
// data ports and the memory, and serves. Whatever allocates, waits or talks to
// other nodes is the control process's (gannet control); they meet on the board in
// the data directory.
//
// Its life: main.go reads the configuration; start.go opens the board, shards.go
// the memory (warm, if a predecessor left any), ladder.go the ports; privileges.go
// then gives up what was needed for that; serve.go runs one loop a shard on its own
// CPU until SIGTERM, and closes all in order.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"

	"gannet/config"
)

// version is set by the linker.
var version = "unknown"

// The main goroutine stays on the main thread, which is where dropPrivileges leaves
// nothing.
func init() { runtime.LockOSThread() }

func main() {
	cfg, err := config.ParseFlags("gannet-dataplane", os.Args[1:], os.Environ(), config.ScopeDataplane, os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gannet-dataplane:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	log := newLogger(cfg)
	if err := run(ctx, cfg, log); err != nil {
		log.Error("the data plane ends", "error", err)
		os.Exit(1)
	}
}

func newLogger(cfg *config.Loaded) *slog.Logger {
	var level slog.Level
	// The configuration accepts the names of slog's levels and no others.
	_ = level.UnmarshalText([]byte(cfg.LogLevel))
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == config.LogJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)).With("process", "dataplane")
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)).With("process", "dataplane")
}

package main

import (
	"io"
	"log/slog"

	"gannet/config"
)

// newLog makes the log of a node. Its level can be changed while it runs.
func newLog(w io.Writer, cfg *config.Config) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	setLevel(level, cfg.LogLevel)
	options := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, options)), level
	}
	return slog.New(slog.NewTextHandler(w, options)), level
}

func setLevel(level *slog.LevelVar, name config.LogLevel) {
	// The configuration has checked the name.
	_ = level.UnmarshalText([]byte(name))
}

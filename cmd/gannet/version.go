package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker (make build).
var version string

type versionCmd struct {
	Output outputFormat `short:"o" default:"text" help:"text or json."`
}

// Help is the text below the flags' summary.
func (versionCmd) Help() string {
	return `Examples:
  gannet version
  gannet version -o json`
}

// Run prints the version.
func (c *versionCmd) Run(env *Env) error {
	if c.Output == outputJSON {
		return json.NewEncoder(env.Stdout).Encode(map[string]string{
			"version": versionString(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
		})
	}
	_, err := fmt.Fprintf(env.Stdout, "gannet %s (%s %s/%s)\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionString is the linker's word, or else what the Go tool knows.
func versionString() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "unknown"
}

package config

import (
	"fmt"
	"strings"
)

// ValueError is a value that its key does not take.
type ValueError struct {
	Key, Value string
	Source     Source
	Problem    string // what is wrong and what to write instead
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("%s: %q %s", e.Source.describe(e.Key), e.Value, e.Problem)
}

// UnknownKeyError is a key, variable or flag that does not exist.
type UnknownKeyError struct {
	Key     string // as it was written
	Nearest string // the nearest known one in the same form; empty: none is near
	Source  Source
}

func (e *UnknownKeyError) Error() string {
	hint := "see `gannet config` for all keys"
	if e.Nearest != "" {
		hint = fmt.Sprintf("did you mean %s?", e.Nearest)
	}
	switch e.Source.Kind {
	case FromFile:
		return fmt.Sprintf("%s: unknown key %s; %s", e.Source.Where, e.Key, hint)
	case FromVariable:
		return fmt.Sprintf("unknown variable %s; %s", e.Key, hint)
	default:
		return fmt.Sprintf("unknown flag %s; %s", e.Key, hint)
	}
}

// FileError is a configuration file that cannot be read or parsed.
type FileError struct {
	File string
	Err  error
}

func (e *FileError) Error() string {
	return fmt.Sprintf("config file %s: %v; check the path and that it is flat YAML, a `key: value` a line", e.File, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// ConflictError is two settings that do not go together.
type ConflictError struct {
	Keys    []string
	Problem string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s: %s", strings.Join(e.Keys, " and "), e.Problem)
}

// TooFewCPUsError is more shards than CPUs to run them.
type TooFewCPUsError struct {
	Shards  int
	Allowed []int
}

func (e *TooFewCPUsError) Error() string {
	return fmt.Sprintf("shards: %d shards need a CPU each, but this process may run on %d only (%s); "+
		"set shards to %d or less, or widen the CPU set (taskset, cgroup cpuset)",
		e.Shards, len(e.Allowed), CPUList(e.Allowed), len(e.Allowed))
}

// CPUNotAllowedError is a CPU in cpus that this process may not run on.
type CPUNotAllowedError struct {
	CPU     int
	Allowed []int
}

func (e *CPUNotAllowedError) Error() string {
	return fmt.Sprintf("cpus: this process may not run on CPU %d; choose among %s, or widen the CPU set (taskset, cgroup cpuset)",
		e.CPU, CPUList(e.Allowed))
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"gannet/loadgen"
	"gannet/loadgen/wirefuzz"
	"gannet/test/lab"
)

// job is the part of a measurement that runs in the client's namespace.
type job struct {
	Kind       string
	Control    int // process whose child is the data plane
	Items      int
	ValueBytes int
	Filled     bool
}

// Kinds of jobs.
const (
	jobKill     = "kill"
	jobFreeze   = "freeze"
	jobFuzz     = "fuzz"
	jobOverload = "overload"
	jobSpin     = "spin" // not in the namespace: takes half of the shard's core
)

const server = lab.ServerAddr + ":9800"

// runInside does the job and prints its report.
func runInside(ctx context.Context, spec string) error {
	var j job
	if err := json.Unmarshal([]byte(spec), &j); err != nil {
		return fmt.Errorf("job %q: %w", spec, err)
	}
	report, err := j.run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

func (j job) run(ctx context.Context) (any, error) {
	outage := loadgen.Outage{
		Server: server, Items: j.Items, ValueBytes: j.ValueBytes, Filled: j.Filled,
		DataPlanePID: func() (int, error) { return lab.DataplaneOf(j.Control) },
	}
	switch j.Kind {
	case jobKill:
		return loadgen.Kill(ctx, outage)
	case jobFreeze:
		return loadgen.Freeze(ctx, outage)
	case jobFuzz:
		return wirefuzz.Run(ctx, netip.MustParseAddrPort(server), j.Items, 1)
	case jobSpin:
		return nil, spin(ctx)
	case jobOverload:
		return loadgen.Overload(ctx, loadgen.OverloadOptions{Server: server, ValueBytes: 1000, CPUs: []int{0}})
	}
	return nil, fmt.Errorf("unknown job %q", j.Kind)
}

// shardCPU is where a node with one shard on two cores runs it.
const shardCPU = 1

// spin competes for the shard's core until it is interrupted. The node then has
// half of it, and the generator on the other core can go beyond its limit.
func spin(ctx context.Context) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(shardCPU)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", shardCPU, err)
	}
	for ctx.Err() == nil {
		for range 1 << 20 {
		}
	}
	return nil
}

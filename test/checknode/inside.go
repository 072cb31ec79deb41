package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

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
	case jobOverload:
		return loadgen.Overload(ctx, loadgen.OverloadOptions{Server: server, ValueBytes: 1000})
	}
	return nil, fmt.Errorf("unknown job %q", j.Kind)
}

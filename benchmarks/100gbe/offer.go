package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"gannet/loadgen/bench"
)

// verbOffer is how this program is started on the client. Its offer comes on stdin.
const verbOffer = "offer"

// offer is the load of one case.
type offer struct {
	Server    netip.AddrPort
	Datapath  bench.Datapath
	Interface string
	CPUs      []int
	Workload  Workload
	Steps     bench.RateSteps
	Step      time.Duration
}

// runOffer is the client's side: it raises the rate step by step.
func runOffer(ctx context.Context, in io.Reader, out io.Writer) error {
	var o offer
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	found, err := bench.Sweep(ctx, o.options(), o.Steps, nil)
	if err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	for _, step := range found.Steps {
		if step.Corrupt > 0 {
			return fmt.Errorf("offer: %d values at %.0f/s were not what was stored", step.Corrupt, step.OfferedRate)
		}
	}
	return json.NewEncoder(out).Encode(found)
}

func (o *offer) options() bench.Options {
	return bench.Options{
		Protocol: bench.Gannet, Server: o.Server, Datapath: o.Datapath, Interface: o.Interface, Open: true,
		Keys: o.Workload.Keys, ValueSize: bench.Fixed(o.Workload.ValueBytes), KeysPerRequest: o.Workload.KeysPerRequest,
		WriteRatio: o.Workload.WriteRatio, ZipfS: o.Workload.ZipfS, Connections: connectionsPerThread,
		Threads: len(o.CPUs), CPUs: o.CPUs, Preload: true, WarmUp: o.Step / 10, Duration: o.Step, Seed: 1,
	}
}

// connectionsPerThread spreads the requests over the server's queues.
const connectionsPerThread = 4

// offered has the client do it.
func (h *host) offered(ctx context.Context, o *offer) (*bench.SweepResult, error) {
	spec, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	out, err := h.run(ctx, newReader(spec), "GOMAXPROCS="+fmt.Sprint(2*len(o.CPUs)+2)+" "+quote(h.path(programName), verbOffer))
	if err != nil {
		return nil, err
	}
	found := &bench.SweepResult{}
	if err := json.Unmarshal(out, found); err != nil {
		return nil, errors.Join(fmt.Errorf("offer: what the client printed: %w", err))
	}
	return found, nil
}

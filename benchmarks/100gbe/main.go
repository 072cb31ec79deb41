package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/tabwriter"

	"gannet/test/lab"
)

// programName is what this program is called on the client.
const programName = "gannet-100gbe"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := do(ctx, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "100gbe:", err)
		os.Exit(1)
	}
}

func do(ctx context.Context, args []string) error {
	if len(args) == 1 && args[0] == verbOffer {
		return runOffer(ctx, os.Stdin, os.Stdout)
	}
	flags := flag.NewFlagSet("100gbe", flag.ContinueOnError)
	inventory := flags.String("inventory", "", "the two hosts and what to vary; inventory.yaml is an example")
	inLab := flags.Bool("lab", false, "two namespaces of this machine instead of two hosts")
	bin := flags.String("bin", "bin", "folder with the built gannet and gannet-dataplane")
	out := flags.String("out", "out/100gbe.json", "where the outcome goes")
	if err := flags.Parse(args); err != nil {
		return flag.ErrHelp
	}
	inv, err := choose(*inventory, *inLab)
	if err != nil {
		return err
	}
	record, err := run(ctx, inv, *bin, *inLab, os.Stderr)
	if record == nil {
		return err
	}
	record.print(os.Stdout)
	return errors.Join(err, record.write(*out), record.verdict())
}

func choose(path string, inLab bool) (*Inventory, error) {
	switch {
	case path != "":
		return readInventory(path)
	case inLab:
		return parseInventory(labInventory)
	}
	return nil, errors.New("give -inventory FILE or -lab")
}

// session is a run.
type session struct {
	inv            *Inventory
	server, client *host
}

// Record is what a run found.
type Record struct {
	Hosts    []*HostFacts `json:"hosts"`
	Outcomes []*Outcome   `json:"outcomes"`
}

// run does all cases. The record is also returned with an error: it has what was
// measured before.
func run(ctx context.Context, inv *Inventory, bin string, inLab bool, log io.Writer) (record *Record, err error) {
	s := &session{inv: inv, server: newHost("server", inv.Server), client: newHost("client", inv.Client)}
	if inLab {
		network, err := lab.New(lab.Config{})
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, network.Close()) }()
		s.server.in(network.Server)
		s.client.in(network.Client)
	}
	cleaning := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, s.server.remove(cleaning), s.client.remove(cleaning)) }()
	if err := s.deploy(ctx, bin); err != nil {
		return nil, err
	}
	record = &Record{}
	if record.Hosts, err = checkHosts(ctx, s.server, s.client, inv); err != nil {
		return record, err
	}
	restore, err := s.rememberMTUs(ctx)
	if err != nil {
		return record, err
	}
	defer func() { err = errors.Join(err, restore(cleaning)) }()
	for _, c := range inv.cases() {
		fmt.Fprintf(log, "-- %s\n", &c)
		outcome, err := s.measure(ctx, c)
		if err != nil {
			outcome.Void = err.Error()
		}
		record.Outcomes = append(record.Outcomes, outcome)
		if ctx.Err() != nil {
			return record, ctx.Err()
		}
	}
	return record, nil
}

// deploy copies what each host needs: the server the node, both the probe, the
// client this program.
func (s *session) deploy(ctx context.Context, bin string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	gannet := filepath.Join(bin, "gannet")
	if err := s.server.prepare(ctx, gannet, filepath.Join(bin, "gannet-dataplane")); err != nil {
		return err
	}
	if err := s.client.prepare(ctx, gannet, self); err != nil {
		return err
	}
	_, err = s.client.run(ctx, nil, "mv "+quote(s.client.path(filepath.Base(self)), s.client.path(programName)))
	return err
}

// rememberMTUs returns what puts them back.
func (s *session) rememberMTUs(ctx context.Context) (func(context.Context) error, error) {
	server, err := s.server.mtu(ctx)
	if err != nil {
		return nil, err
	}
	client, err := s.client.mtu(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return errors.Join(s.server.setMTU(ctx, server), s.client.setMTU(ctx, client))
	}, nil
}

func (r *Record) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func (r *Record) print(w io.Writer) {
	for _, h := range r.Hosts {
		fmt.Fprintf(w, "%s: %d × %s, %s, %s, rungs %v, NUMA node %d, %d settings to tune\n", h.Name, h.CPUs, h.CPU, h.Kernel, h.Driver, h.Rungs, h.NUMANode, h.Pending)
	}
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "case\trung\trequests/s\tGbit/s\tof line rate\tp50 µs\tp99 µs\tp99.9 µs\t")
	for _, o := range r.Outcomes {
		if o.Void != "" {
			fmt.Fprintf(t, "%s\t%s\tvoid: %s\n", &o.testCase, o.Rung, o.Void)
			continue
		}
		best := o.best()
		limited := ""
		if o.Limited {
			limited = "the generator was the limit"
		}
		fmt.Fprintf(t, "%s\t%s\t%.0f\t%.2f\t%.1f %%\t%.0f\t%.0f\t%.0f\t%s\n", &o.testCase, o.Rung, o.Highest, o.Gbit, 100*o.Highest/o.LineRate,
			best.LatencyUS.P50, best.LatencyUS.P99, best.LatencyUS.P999, limited)
	}
	_ = t.Flush()
}

// best is the step at the highest sustained rate.
func (o *Outcome) best() OutcomeStep {
	var found OutcomeStep
	for _, step := range o.Steps {
		if step.Offered <= o.Highest*1.001 {
			found = step
		}
	}
	return found
}

// verdict is an error when a case showed nothing.
func (r *Record) verdict() error {
	void := 0
	for _, o := range r.Outcomes {
		if o.Void != "" {
			void++
		}
	}
	if void > 0 {
		return fmt.Errorf("%d of %d cases are void", void, len(r.Outcomes))
	}
	return nil
}

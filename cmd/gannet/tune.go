package main

import (
	"fmt"
	"strings"

	"gannet/config"
	"gannet/tuning"
)

type tuneCmd struct {
	Plan   tunePlanCmd   `cmd:"" help:"Print what this host needs, what it has, and why. Changes nothing."`
	Apply  tuneApplyCmd  `cmd:"" help:"Set it; each old value is kept in a journal first."`
	Verify tuneVerifyCmd `cmd:"" help:"Exit with 1 if anything differs from the plan."`
	Revert tuneRevertCmd `cmd:"" help:"Put back every old value."`
	Layout tuneLayoutCmd `cmd:"" help:"Draw which cores get shards, which interrupts, which the control process."`
}

// Help is the text below the flags' summary.
func (tuneCmd) Help() string {
	return `Turns a stock Linux host into one for microseconds: queues, interrupts, processors, memory, network.

Examples:
  gannet tune plan --nic eth1
  gannet tune apply --nic eth1 --memory 64GiB && gannet tune verify --nic eth1 --memory 64GiB
  gannet tune revert`
}

// tuneHost says what the host is for.
type tuneHost struct {
	Role     string `default:"dataplane" enum:"dataplane,client,generator" help:"What the host does: dataplane serves a cache, client asks one, generator makes load with AF_XDP."`
	NIC      string `name:"nic" placeholder:"INTERFACE" help:"The interface that carries the cache's traffic; without it interfaces stay as they are."`
	Cores    string `placeholder:"CPUS" help:"Processors that may be used, e.g. 2-15,18; without it all."`
	Shards   int    `placeholder:"N" help:"Number of shards; without it as many as cores and queues allow."`
	Memory   string `placeholder:"SIZE" help:"The shards' memory, to reserve as huge pages, e.g. 64GiB; without it huge pages stay as they are."`
	HugePage string `name:"hugepage-size" default:"2MiB" enum:"2MiB,1GiB" help:"Size of these huge pages: 2MiB or 1GiB."`
	DataPort int    `default:"9800" placeholder:"PORT" help:"UDP port of shard 0, for the flow rules."`
	MTU      int    `name:"mtu" placeholder:"BYTES" help:"MTU of the interface; without it 9000 where driver and network are known to take it."`
	Config   string `placeholder:"FILE" help:"Take interface, shards, their CPUs, memory and data port from a node's configuration file, where no flag says otherwise."`
}

// tuneChoice limits what is done.
type tuneChoice struct {
	Only     []string     `placeholder:"KNOB" help:"Only these knobs or groups (nic, irq, cpu, memory, net)."`
	Skip     []string     `placeholder:"KNOB" help:"Not these knobs or groups."`
	StateDir string       `default:"/var/lib/gannet/tuning" placeholder:"DIR" help:"Folder of the journal."`
	Output   outputFormat `short:"o" default:"text" help:"text or json."`
}

func (h *tuneHost) options(env *Env, c *tuneChoice) (*tuning.Options, error) {
	o := &tuning.Options{Role: tuning.Role(h.Role), NIC: h.NIC, Shards: h.Shards, DataPort: h.DataPort, MTU: h.MTU, Only: c.Only, Skip: c.Skip}
	var err error
	if o.Cores, err = tuning.ParseCPUs(h.Cores); err != nil {
		return nil, fmt.Errorf("--cores: %w", err)
	}
	if h.Memory != "" {
		size, err := config.ParseSize(h.Memory)
		if err != nil {
			return nil, fmt.Errorf("--memory: %q %w", h.Memory, err)
		}
		o.MemoryBytes = int64(size)
	}
	page, err := config.ParseSize(h.HugePage)
	if err != nil {
		return nil, fmt.Errorf("--hugepage-size: %w", err)
	}
	o.HugePageBytes = int64(page)
	if h.Config == "" {
		return o, nil
	}
	return o, h.addConfig(env, o)
}

// addConfig fills in what flags have not said.
func (h *tuneHost) addConfig(env *Env, o *tuning.Options) error {
	node, err := config.Load(config.Input{File: h.Config, Environ: env.Environ})
	if err != nil {
		return err
	}
	if o.NIC == "" {
		o.NIC = node.Interface
	}
	if o.Shards == 0 {
		o.Shards = node.Shards
	}
	if h.Memory == "" && node.Hugepages != config.HugepagesNever {
		o.MemoryBytes = int64(node.Memory)
	}
	o.DataPort = int(node.DataPort)
	// Interrupts have to go where the shards will run: the node's own choice would be another.
	o.ShardCPUs = node.CPUs
	if len(node.CPUs) == 0 && h.Role == string(tuning.RoleDataplane) {
		fmt.Fprintf(env.Stderr, "note: %s has no cpus; put there what gannet tune layout prints, so that shards run beside their interrupts\n", h.Config)
	}
	return nil
}

type tunePlanCmd struct {
	tuneHost
	tuneChoice
	Script bool `help:"Print a shell script that does the same, and undoes it, without gannet."`
}

// Help is the text below the flags' summary.
func (tunePlanCmd) Help() string {
	return `Exits with 0 whether or not there is something to change.

Examples:
  gannet tune plan --nic eth1
  gannet tune plan --nic eth1 --memory 64GiB --only nic --only irq
  gannet tune plan --role client --nic eth0 -o json
  gannet tune plan --nic eth1 --script > tune.sh && sh tune.sh apply`
}

// Run prints the plan.
func (c *tunePlanCmd) Run(env *Env) error {
	o, err := c.options(env, &c.tuneChoice)
	if err != nil {
		return err
	}
	plan, err := tuning.Verify(tuning.This(), c.StateDir, o)
	if err != nil {
		return err
	}
	if c.Script {
		_, err = fmt.Fprint(env.Stdout, plan.Script())
		return err
	}
	return printPlan(env, c.Output, plan, plan.Table())
}

type tuneApplyCmd struct {
	tuneHost
	tuneChoice
	DryRun bool `help:"Print the plan instead."`
}

// Help is the text below the flags' summary.
func (tuneApplyCmd) Help() string {
	return `When one setting fails, those before it are put back, and nothing has changed.

Examples:
  gannet tune apply --nic eth1 --dry-run
  gannet tune apply --nic eth1 --memory 64GiB
  gannet tune apply --config /etc/gannet/gannet.yaml --skip nic.mtu`
}

// Run applies the plan.
func (c *tuneApplyCmd) Run(env *Env) error {
	o, err := c.options(env, &c.tuneChoice)
	if err != nil {
		return err
	}
	if c.DryRun {
		plan, err := tuning.Verify(tuning.This(), c.StateDir, o)
		if err != nil {
			return err
		}
		return printPlan(env, c.Output, plan, plan.Table())
	}
	done, err := tuning.Apply(tuning.This(), c.StateDir, o)
	if err != nil {
		return err
	}
	if c.Output == outputJSON {
		return writeJSON(env, map[string]any{"written": orEmpty(done.Written), "refused": orEmpty(done.Refused)})
	}
	printWrites(env, done.Written)
	for _, w := range done.Refused {
		fmt.Fprintf(env.Stderr, "not set: %s %s: %s\n", w.Knob, w.Setting, w.Reason)
	}
	fmt.Fprintf(env.Stderr, "%d settings set; gannet tune revert puts them back\n", len(done.Written))
	return nil
}

type tuneVerifyCmd struct {
	tuneHost
	tuneChoice
}

// Help is the text below the flags' summary.
func (tuneVerifyCmd) Help() string {
	return `Give the same flags as to apply. Exits with 0 when all is as planned, 1 when something has drifted, 2 on an error.

Examples:
  gannet tune verify --nic eth1 --memory 64GiB
  gannet tune verify --config /etc/gannet/gannet.yaml -o json`
}

// Run compares the host with the plan.
func (c *tuneVerifyCmd) Run(env *Env) error {
	o, err := c.options(env, &c.tuneChoice)
	if err != nil {
		return err
	}
	plan, err := tuning.Verify(tuning.This(), c.StateDir, o)
	if err != nil {
		return err
	}
	drift := plan.Pending()
	if len(drift) == 0 && c.Output != outputJSON {
		fmt.Fprintln(env.Stderr, "all is as planned")
		return nil
	}
	only := *plan
	only.Changes = drift
	if err := printPlan(env, c.Output, &only, only.Table()); err != nil || len(drift) == 0 {
		return err
	}
	return errMiss
}

type tuneRevertCmd struct {
	StateDir string       `default:"/var/lib/gannet/tuning" placeholder:"DIR" help:"Folder of the journal."`
	DryRun   bool         `help:"Print what would be put back."`
	Output   outputFormat `short:"o" default:"text" help:"text or json."`
}

// Help is the text below the flags' summary.
func (tuneRevertCmd) Help() string {
	return `Works also after a crash in the middle of apply or of revert.

Examples:
  gannet tune revert --dry-run
  gannet tune revert`
}

// Run puts back old values.
func (c *tuneRevertCmd) Run(env *Env) error {
	if c.DryRun {
		list, err := tuning.Journaled(c.StateDir)
		if err != nil {
			return err
		}
		if c.Output == outputJSON {
			return writeJSON(env, map[string]any{"to_restore": orEmpty(list)})
		}
		printWrites(env, list)
		return nil
	}
	done, err := tuning.Revert(tuning.This(), c.StateDir)
	if err != nil {
		return err
	}
	if c.Output == outputJSON {
		return writeJSON(env, map[string]any{"restored": orEmpty(done.Written), "gone": orEmpty(done.Gone)})
	}
	printWrites(env, done.Written)
	fmt.Fprintf(env.Stderr, "%d settings put back\n", len(done.Written))
	return nil
}

type tuneLayoutCmd struct {
	tuneHost
	Output outputFormat `short:"o" default:"text" help:"text or json."`
}

// Help is the text below the flags' summary.
func (tuneLayoutCmd) Help() string {
	return `The last lines are for the node's configuration file.

Examples:
  gannet tune layout --nic eth1
  gannet tune layout --nic eth1 --cores 0-15 --shards 8 -o json`
}

// Run draws the layout.
func (c *tuneLayoutCmd) Run(env *Env) error {
	o, err := c.options(env, &tuneChoice{Only: []string{"nic.channels"}})
	if err != nil {
		return err
	}
	plan, err := tuning.MakePlan(tuning.This(), o)
	if err != nil {
		return err
	}
	if c.Output == outputJSON {
		return writeJSON(env, plan.Layout)
	}
	shards := tuning.FormatCPUs(plan.Layout.Shards)
	_, err = fmt.Fprintf(env.Stdout, "%s\nshards: %d\ncpus: %s\n", plan.Layout.Picture(&plan.Facts.Topology, plan.Facts.NIC), len(plan.Layout.Shards), shards)
	return err
}

func printPlan(env *Env, format outputFormat, plan *tuning.Plan, table string) error {
	if format == outputJSON {
		return writeJSON(env, plan)
	}
	_, err := fmt.Fprint(env.Stdout, table)
	return err
}

func printWrites(env *Env, list []tuning.Write) {
	for _, w := range list {
		fmt.Fprintf(env.Stdout, "%-30s %s: %s -> %s\n", w.Knob, w.Setting, oneLine(w.Old), oneLine(w.New))
	}
}

// oneLine keeps whole files out of the list.
func oneLine(value string) string {
	if strings.HasPrefix(value, "=") {
		return fmt.Sprintf("(%d lines)", strings.Count(value, "\n"))
	}
	if value == "" {
		return "-"
	}
	return value
}

// orEmpty makes JSON's [] of nothing.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

package tuning

import (
	"fmt"
	"slices"
)

// Role is what a host does.
type Role string

// The roles.
const (
	RoleDataplane Role = "dataplane" // serves a cache
	RoleClient    Role = "client"    // asks one, with kernel sockets
	RoleGenerator Role = "generator" // makes load, with AF_XDP
)

// Roles lists all roles.
func Roles() []Role { return []Role{RoleDataplane, RoleClient, RoleGenerator} }

var (
	everywhere = Roles()
	bypassing  = []Role{RoleDataplane, RoleGenerator} // those whose packets do not go through the kernel's stack
	serving    = []Role{RoleDataplane}
	asking     = []Role{RoleClient}
	onSockets  = []Role{RoleDataplane, RoleClient} // the data plane's last rung and its control process use them
)

// Groups lists the groups of knobs.
func Groups() []string { return []string{"nic", "irq", "cpu", "memory", "net"} }

// Options are what the operator decides.
type Options struct {
	Role  Role
	NIC   string // empty = leave interfaces alone
	Cores []int  // processors that may be used; nil = all
	// Shards is their number; 0 = as many as fit.
	Shards int
	// ShardCPUs are the shards' CPUs, where a configuration has settled them.
	ShardCPUs []int
	// MemoryBytes is what the shards' memory will need in huge pages; 0 = leave huge pages alone.
	MemoryBytes int64
	// HugePageBytes is the size of those pages: 2 MiB (0) or 1 GiB.
	HugePageBytes int64
	DataPort      int // UDP port of shard 0; 0 = 9800
	MTU           int // 0 = 9000 where driver and network are known to take it
	Only          []string
	Skip          []string
}

// The defaults of Options.
const (
	defaultDataPort = 9800
	pageBytes2M     = int64(2) << 20
	pageBytes1G     = int64(1) << 30
	maxFlowPorts    = 256 // as many shards as a node may have
)

func (o *Options) dataPort() int {
	if o.DataPort == 0 {
		return defaultDataPort
	}
	return o.DataPort
}

func (o *Options) hugePageBytes() int64 {
	if o.HugePageBytes == 0 {
		return pageBytes2M
	}
	return o.HugePageBytes
}

// wants tells whether Only and Skip let a knob be. Both take names and groups.
func (o *Options) wants(k *Knob) bool {
	named := func(list []string) bool { return slices.Contains(list, k.Name) || slices.Contains(list, k.Group) }
	return (len(o.Only) == 0 || named(o.Only)) && !named(o.Skip)
}

// Check finds mistakes in the options.
func (o *Options) Check() error {
	if !slices.Contains(Roles(), o.Role) {
		return fmt.Errorf("role %q is unknown; use one of %v", o.Role, Roles())
	}
	for _, name := range slices.Concat(o.Only, o.Skip) {
		known := slices.Contains(Groups(), name)
		for _, k := range Knobs() {
			known = known || k.Name == name
		}
		if !known {
			return fmt.Errorf("there is no knob or group %q; groups are %v, knobs are in docs/tuning.md", name, Groups())
		}
	}
	if o.HugePageBytes != 0 && o.HugePageBytes != pageBytes2M && o.HugePageBytes != pageBytes1G {
		return fmt.Errorf("huge pages of %d bytes do not exist on this kind of machine; use 2MiB or 1GiB", o.HugePageBytes)
	}
	if o.MTU != 0 && (o.MTU < 1280 || o.MTU > 65535) {
		return fmt.Errorf("an MTU of %d does not work; use 1280 to 65535", o.MTU)
	}
	if o.MemoryBytes < 0 || o.DataPort < 0 || o.DataPort > 65535 {
		return fmt.Errorf("memory of %d bytes or data port %d is out of range", o.MemoryBytes, o.DataPort)
	}
	return nil
}

// Knob is one kind of setting: what it is, why, and how much.
type Knob struct {
	Name  string // group.name
	Group string
	Roles []Role
	// What, Why, Tradeoff and Measure are sentences for the plan and the reference; Source says who else says so.
	What, Why, Source, Tradeoff, Measure string
	// Advice is never written by Apply.
	Advice bool
	// Reset is set for knobs that make the driver start its queues anew: these come first, and what hangs on the
	// queues is looked at again behind them.
	Reset bool
	// Scan lists what there is of it on a host.
	Scan func(*Facts, *Options) []Item
	// Want says what an item should be.
	Want func(*Inputs, Item) Want
	// Shell does the same on hosts without Gannet, in the words of shell/preamble.sh; empty for plain files with one value
	// for all hosts, where it is made from Want.
	Shell string
}

func (k *Knob) has(r Role) bool { return slices.Contains(k.Roles, r) }

// Item is a setting, and its number among its like: a queue, a CPU, a memory node, a port.
type Item struct {
	Setting Setting
	N       int
}

// Want is the wanted value, or why there is none.
type Want struct {
	Value string
	// Leave is why the setting stays as it is: it does not apply, or is not offered.
	Leave string
}

// Inputs are all that a plan follows from.
type Inputs struct {
	Facts   *Facts
	Options *Options
	Layout  *Layout
}

func (in *Inputs) now(s Setting) string { return in.Facts.Values[s].Value }

// Knobs is the table, in the order in which things are set.
func Knobs() []*Knob { return knobs }

var knobs = slices.Concat(nicKnobs, irqKnobs, cpuKnobs, memoryKnobs, netKnobs)

func leave(format string, args ...any) Want { return Want{Leave: fmt.Sprintf(format, args...)} }

func exactly(value string) func(*Inputs, Item) Want {
	return func(*Inputs, Item) Want { return Want{Value: value} }
}

// file is the scan of a single file.
func file(path string) func(*Facts, *Options) []Item {
	return func(*Facts, *Options) []Item { return []Item{{Setting: Setting{KindFile, path}}} }
}

func choice(path string) func(*Facts, *Options) []Item {
	return func(*Facts, *Options) []Item { return []Item{{Setting: Setting{KindChoice, path}}} }
}

// ofNIC is the scan of what an interface has once.
func ofNIC(kind Kind, rest string) func(*Facts, *Options) []Item {
	return func(f *Facts, _ *Options) []Item {
		if f.NIC == nil {
			return nil
		}
		return []Item{{Setting: Setting{kind, f.NIC.Name + rest}}}
	}
}

// nicFile is the scan of a file of an interface.
func nicFile(name string) func(*Facts, *Options) []Item {
	return func(f *Facts, _ *Options) []Item {
		if f.NIC == nil {
			return nil
		}
		return []Item{{Setting: Setting{KindFile, netDir + "/" + f.NIC.Name + "/" + name}}}
	}
}

// sysctl is a knob of one file and one value.
func sysctl(k Knob, path, value string) *Knob {
	k.Scan, k.Want = file(path), exactly(value)
	return &k
}

package config

import (
	"net/netip"
	"time"
)

// Config is the configuration of one node: data plane and control process.
type Config struct {
	// NodeName names the node in logs, in etcd and in DataDir's default.
	NodeName string
	// NodeID is the node's id in the ring. Load derives it from NodeName when
	// it is not set, so that it is stable and never 0.
	NodeID uint64
	// DataDir holds board and slab files; on tmpfs, or they would be written to
	// a disk. Load fills in /dev/shm/gannet-<NodeName> when it is not set.
	DataDir string

	// Listen is the address of the data ports on kernel sockets.
	Listen netip.Addr
	// Advertise is the address at which others reach this node; invalid: Listen.
	Advertise netip.Addr
	// DataPort is the UDP port of shard 0; shard n listens on DataPort+n.
	DataPort uint16
	// Interface is the NIC for AF_XDP; empty means kernel sockets.
	Interface string
	Datapath  Datapath
	// Shards is the number of shards; 0 lets Placement choose.
	Shards int
	// CPUs has the shards' CPUs, one each; empty lets Placement choose.
	CPUs CPUList
	// Spin is how long an idle shard polls its queues before it sleeps.
	Spin time.Duration
	// Frames is the number of packet frames of each receive queue.
	Frames int

	// Memory is the memory of all shards together, all in.
	Memory   Size
	Policy   string
	MaxValue Size
	// Growth is the factor between neighbouring size classes.
	Growth    float64
	Hugepages Hugepages
	// HotKeys: answer the hottest keys in the XDP program.
	HotKeys HotKeys
	// Lease is how long a lease token given on a miss stays good.
	Lease time.Duration

	// Allow has the sources that may send to the data ports in the XDP
	// program; empty allows all.
	Allow []netip.Prefix
	// SourceRate is the datagrams a second one source may send; 0: no limit.
	SourceRate int
	// SourceBurst is the size of the token bucket of SourceRate.
	SourceBurst int

	// Heartbeat is the longest time a shard may sleep between two heartbeats.
	Heartbeat time.Duration
	// DeadMan is the age of a shard's stamp from which on the XDP program
	// passes packets to the kernel.
	DeadMan time.Duration
	// Watchdog is the age of a heartbeat, in time during which the control
	// process itself ran, after which the data plane is killed.
	Watchdog time.Duration

	// Admin is the address of the admin HTTP port.
	Admin netip.AddrPort
	// EtcdEndpoints has the client URLs of an etcd cluster.
	EtcdEndpoints []string
	// EtcdEmbed starts an etcd server inside the control process.
	EtcdEmbed bool
	// EtcdDir is where the embedded server keeps its data; Load fills in
	// <DataDir>/etcd when it is not set.
	EtcdDir       string
	EtcdClientURL string
	EtcdPeerURL   string

	// ControlPort and GossipPort are on Listen; 0: any free one.
	ControlPort uint16
	GossipPort  uint16
	// Zone is what fails together with this node: a rack, a room, a power feed.
	Zone string
	// Weight is this node's share of the ring relative to others'.
	Weight uint8
	// Replicas is the number of nodes that hold an item, if this node makes the ring.
	Replicas uint8
	// ExpectNodes is the number of nodes that the first ring of a cluster waits for.
	ExpectNodes int
	// RepairRate is what a node sends one follower of the items that it lacks, bytes a
	// second.
	RepairRate Size
	// PartitionWrites is what becomes of writes at a leader that reaches neither etcd
	// nor a majority of the members.
	PartitionWrites PartitionWrites
	// Seeds has gossip addresses, host:port, of nodes to be found beside those of the
	// ring.
	Seeds []string
	// GossipKeyFile has the keys that gossip is encrypted with; empty: it is not.
	GossipKeyFile string
	// TLSCert, TLSKey and TLSCA are PEM files, all given or none: mutual TLS on the
	// control port. TLSCRL has the revoked certificates; empty: none are.
	TLSCert, TLSKey, TLSCA, TLSCRL string

	// DataplaneBinary is the gannet-dataplane to supervise; empty: the one
	// beside the running executable.
	DataplaneBinary string

	LogLevel  LogLevel
	LogFormat LogFormat
}

// Datapath says which rungs of the ladder may be taken.
type Datapath string

// The values of Datapath.
const (
	DatapathAuto Datapath = "auto" // the best rung that works
	DatapathXDP  Datapath = "xdp"  // an AF_XDP rung, or fail
	DatapathUDP  Datapath = "udp"  // kernel sockets
)

// Hugepages says what to do about 2 MiB pages.
type Hugepages string

// The values of Hugepages.
const (
	HugepagesAuto    Hugepages = "auto"    // take them when there are some
	HugepagesNever   Hugepages = "never"   // use 4 KiB pages
	HugepagesRequire Hugepages = "require" // fail without them
)

// HotKeys says whether the XDP program answers GETs of the hottest keys.
type HotKeys string

// The values of HotKeys.
const (
	HotKeysAuto HotKeys = "auto" // where the interface is a device of its own
	HotKeysOn   HotKeys = "on"
	HotKeysOff  HotKeys = "off"
)

// LogLevel is the least level that is logged.
type LogLevel string

// LogFormat is the form of log lines.
type LogFormat string

// The values of LogFormat.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// PartitionWrites is what becomes of writes at a leader on its own.
type PartitionWrites string

// The values of PartitionWrites.
const (
	PartitionRefuse PartitionWrites = "refuse"
	PartitionAccept PartitionWrites = "accept" // each marked degraded
)

// Placement is the decision which CPU runs which shard.
type Placement struct {
	// CPUs has one CPU for each shard, in the order of the shards.
	CPUs []int
	// Others has the allowed CPUs that run no shard; the control process stays
	// on these when there are any.
	Others []int
}

// Place chooses CPUs for the shards out of those this process may run on. Without
// a wish in the configuration it leaves one CPU free when there are two or more,
// and takes the highest numbers: interrupts and other work like the low ones.
func (c *Config) Place(allowed []int) (Placement, error) {
	if len(c.CPUs) > 0 {
		return placeWanted(c.CPUs, allowed)
	}
	shards := c.Shards
	if shards == 0 {
		shards = min(max(1, len(allowed)-1), maxAutoShards)
	}
	if shards > len(allowed) {
		return Placement{}, &TooFewCPUsError{Shards: shards, Allowed: allowed}
	}
	cut := len(allowed) - shards
	return Placement{CPUs: allowed[cut:], Others: allowed[:cut]}, nil
}

func placeWanted(wanted CPUList, allowed []int) (Placement, error) {
	free := make(map[int]bool, len(allowed))
	for _, cpu := range allowed {
		free[cpu] = true
	}
	for _, cpu := range wanted {
		if !free[cpu] {
			return Placement{}, &CPUNotAllowedError{CPU: cpu, Allowed: allowed}
		}
		delete(free, cpu)
	}
	p := Placement{CPUs: wanted}
	for _, cpu := range allowed {
		if free[cpu] {
			p.Others = append(p.Others, cpu)
		}
	}
	return p, nil
}

// maxAutoShards bounds the shards chosen without a wish in the configuration.
const maxAutoShards = 64

// HasEtcd tells whether this node is one of a cluster, or may become one.
func (c *Config) HasEtcd() bool { return c.EtcdEmbed || len(c.EtcdEndpoints) > 0 }

// HasTLS tells whether this node has a certificate.
func (c *Config) HasTLS() bool { return c.TLSCert != "" }

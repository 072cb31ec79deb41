package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scope says which of the two processes reads a key.
type Scope uint8

// The scopes; a key may have several.
const (
	ScopeDataplane Scope = 1 << iota
	ScopeControl
	ScopeBoth = ScopeDataplane | ScopeControl
)

// Key is one setting: its names, its default and how its text fills a Config.
type Key struct {
	Name    string
	Usage   string
	Default string
	Scope   Scope

	set func(*Config, string) error
	get func(*Config) string
}

// Flag is the key's flag, with dashes.
func (k *Key) Flag() string { return "--" + k.Name }

// Variable is the key's environment variable.
func (k *Key) Variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(k.Name, "-", "_"))
}

// Policies has the names policy takes. The shard's own list is the truth; a
// test in cmd/gannet holds the two together.
var Policies = []string{"default", "lru", "s3fifo"}

// Keys lists all keys in the order in which they are printed.
func Keys() []Key { return keys }

const (
	nameRule     = "is not a name; write 1 to 63 letters, digits, dots, dashes or underscores, beginning with a letter or digit, e.g. cache-1"
	maxShards    = 256 // as the board has room for
	maxValueMost = 1 << 20
	memoryLeast  = 4 << 20
	maxReplicas  = 8 // as many as the ring takes
	maxWeight    = 64
)

var keys = []Key{
	text("node-name", "gannet", ScopeBoth, "name of this node in logs, in etcd and in data-dir's default",
		func(c *Config) *string { return &c.NodeName }, checkName),
	number("node-id", "0", ScopeBoth, "id of this node in the ring; 0 derives it from node-name",
		func(c *Config) *uint64 { return &c.NodeID }, 0, math.MaxUint64),
	text("data-dir", "", ScopeBoth, "directory for board and slab files, on tmpfs or hugetlbfs; empty: /dev/shm/gannet-<node-name>",
		func(c *Config) *string { return &c.DataDir }, checkDir),
	{
		Name: "listen", Default: "127.0.0.1", Scope: ScopeBoth,
		Usage: "address of the data ports, of this machine; :: or 0.0.0.0 for all",
		set:   setListen, get: func(c *Config) string { return c.Listen.String() },
	},
	{
		Name: "advertise", Scope: ScopeControl,
		Usage: "address at which other nodes and clients reach this one; empty: that in listen",
		set:   setAdvertise, get: func(c *Config) string { return addrText(c.Advertise) },
	},
	number("data-port", "9800", ScopeBoth, "UDP port of shard 0; shard n has data-port + n",
		func(c *Config) *uint16 { return &c.DataPort }, 1, 65535),
	text("interface", "", ScopeBoth, "network interface for AF_XDP; empty: kernel sockets",
		func(c *Config) *string { return &c.Interface }, checkInterface),
	choice("datapath", "auto", ScopeBoth, "auto takes the best rung that works; xdp insists on AF_XDP; udp takes kernel sockets",
		func(c *Config) *Datapath { return &c.Datapath }, DatapathAuto, DatapathXDP, DatapathUDP),
	number("shards", "0", ScopeBoth, "number of shards, one CPU each; 0: one for each CPU but one",
		func(c *Config) *int { return &c.Shards }, 0, maxShards),
	{
		Name: "cpus", Scope: ScopeBoth,
		Usage: "CPUs of the shards, one each, e.g. 2-5,8; empty: the highest numbers this process may run on",
		set:   setCPUs, get: func(c *Config) string { return c.CPUs.String() },
	},
	duration("spin", "20us", ScopeDataplane, "how long an idle shard polls before it sleeps: longer is quicker to answer and burns more CPU",
		func(c *Config) *time.Duration { return &c.Spin }, 0, time.Second),
	number("frames", "4096", ScopeDataplane, "packet frames of each receive queue (2 KiB each where the MTU allows, else 4), a power of two",
		func(c *Config) *int { return &c.Frames }, 256, 1<<16, powerOfTwo),
	size("memory", "1GiB", ScopeDataplane, "memory of all shards together: items, index, policy",
		func(c *Config) *Size { return &c.Memory }, memoryLeast, math.MaxInt64),
	text("policy", "default", ScopeDataplane, "eviction policy: "+strings.Join(Policies, ", "),
		func(c *Config) *string { return &c.Policy }, checkPolicy),
	size("max-value", "100KiB", ScopeDataplane, "largest value that is stored",
		func(c *Config) *Size { return &c.MaxValue }, 1<<10, maxValueMost),
	{
		Name: "growth", Default: "1.12", Scope: ScopeDataplane,
		Usage: "factor between size classes: less wastes less of a slot, but has more classes to balance",
		set:   setGrowth, get: func(c *Config) string { return strconv.FormatFloat(c.Growth, 'g', -1, 64) },
	},
	choice("hugepages", "auto", ScopeDataplane, "2 MiB pages: auto takes them when there are some, require fails without",
		func(c *Config) *Hugepages { return &c.Hugepages }, HugepagesAuto, HugepagesNever, HugepagesRequire),
	choice("hot-keys", "auto", ScopeDataplane, "let the XDP program answer the hottest keys: auto does on network cards, but not on veth, whose peer may not take such answers",
		func(c *Config) *HotKeys { return &c.HotKeys }, HotKeysAuto, HotKeysOn, HotKeysOff),
	duration("lease", "2s", ScopeDataplane, "how long a lease token given on a miss stays good",
		func(c *Config) *time.Duration { return &c.Lease }, 10*time.Millisecond, 5*time.Minute),
	{
		Name: "allow", Scope: ScopeDataplane,
		Usage: "sources that may send to the data ports, checked in the XDP program, e.g. 10.0.0.0/8,fd00::/8; empty: all",
		set:   setAllow, get: func(c *Config) string { return joinPrefixes(c.Allow) },
	},
	number("source-rate", "0", ScopeDataplane, "datagrams a second from one source, held in the XDP program; 0: no limit",
		func(c *Config) *int { return &c.SourceRate }, 0, 1<<30),
	number("source-burst", "1024", ScopeDataplane, "datagrams a source may send at once beyond source-rate",
		func(c *Config) *int { return &c.SourceBurst }, 1, 1<<30),
	duration("heartbeat", "40ms", ScopeDataplane, "longest sleep of an idle shard between two heartbeats",
		func(c *Config) *time.Duration { return &c.Heartbeat }, time.Millisecond, 50*time.Millisecond),
	duration("dead-man", "100ms", ScopeDataplane, "silence of a shard after which the XDP program passes packets to the kernel",
		func(c *Config) *time.Duration { return &c.DeadMan }, 10*time.Millisecond, 10*time.Second),
	duration("watchdog", "200ms", ScopeControl, "silence of a shard after which the data plane is killed and restarted warm",
		func(c *Config) *time.Duration { return &c.Watchdog }, 50*time.Millisecond, time.Minute),
	{
		Name: "admin", Default: "127.0.0.1:9743", Scope: ScopeControl,
		Usage: "address of the admin HTTP port (metrics, health, pprof); it has no authentication: keep it on loopback; port 0: any free one",
		set:   setAdmin, get: func(c *Config) string { return c.Admin.String() },
	},
	{
		Name: "etcd-endpoints", Scope: ScopeControl,
		Usage: "client URLs of the etcd cluster, e.g. http://10.0.0.1:2379,http://10.0.0.2:2379; https takes the files in tls-*",
		set:   setEndpoints, get: func(c *Config) string { return strings.Join(c.EtcdEndpoints, ",") },
	},
	{
		Name: "etcd-embed", Default: "false", Scope: ScopeControl,
		Usage: "run an etcd server inside the control process, for one node on its own",
		set:   setEmbed, get: func(c *Config) string { return strconv.FormatBool(c.EtcdEmbed) },
	},
	text("etcd-dir", "", ScopeControl, "data directory of the embedded etcd; empty: <data-dir>/etcd",
		func(c *Config) *string { return &c.EtcdDir }, checkDir),
	text("etcd-client-url", "http://127.0.0.1:2379", ScopeControl, "where the embedded etcd listens for clients; port 0: any free one; https takes the files in tls-*",
		func(c *Config) *string { return &c.EtcdClientURL }, checkURL),
	text("etcd-peer-url", "http://127.0.0.1:2380", ScopeControl, "where the embedded etcd listens for peers; port 0: any free one",
		func(c *Config) *string { return &c.EtcdPeerURL }, checkURL),
	number("control-port", "9741", ScopeControl, "TCP port for nodes, clients and operators, on the address in listen; 0: any free one",
		func(c *Config) *uint16 { return &c.ControlPort }, 0, 65535),
	number("gossip-port", "9742", ScopeControl, "TCP and UDP port for gossip between nodes, on the address in listen; 0: any free one",
		func(c *Config) *uint16 { return &c.GossipPort }, 0, 65535),
	text("zone", "", ScopeControl, "what fails together with this node, e.g. its rack: replicas go to different zones while there are some",
		func(c *Config) *string { return &c.Zone }, checkZone),
	number("weight", "1", ScopeControl, "this node's share of the keys relative to others', from its joining on; to change it let the node leave and join again",
		func(c *Config) *uint8 { return &c.Weight }, 1, maxWeight),
	number("replicas", "2", ScopeControl, "nodes that hold an item, its leader included; counts where the ring is made, and once made stands in etcd",
		func(c *Config) *uint8 { return &c.Replicas }, 1, maxReplicas),
	number("expect-nodes", "1", ScopeControl, "nodes that the first ring of a cluster waits for; later ones join it",
		func(c *Config) *int { return &c.ExpectNodes }, 1, 4096),
	size("repair-rate", "100MB", ScopeControl, "bytes a second of items that a node sends each follower that lacks them: when nodes join, leave, return",
		func(c *Config) *Size { return &c.RepairRate }, 64<<10, 1<<40),
	choice("partition-writes", "refuse", ScopeControl, "writes at a leader that reaches neither etcd nor a majority: accept takes them after a pause, marked degraded",
		func(c *Config) *PartitionWrites { return &c.PartitionWrites }, PartitionRefuse, PartitionAccept),
	{
		Name: "seeds", Scope: ScopeControl,
		Usage: "gossip addresses of nodes to be found beside those of the ring, e.g. 10.0.0.2:9742,cache-3:9742",
		set:   setSeeds, get: func(c *Config) string { return strings.Join(c.Seeds, ",") },
	},
	text("gossip-key-file", "", ScopeControl, "keys that gossip is encrypted with, base64, one a line, the first one encrypts; empty: not encrypted",
		func(c *Config) *string { return &c.GossipKeyFile }, checkAny),
	text("tls-cert", "", ScopeControl, "this node's certificate and intermediates, PEM: mutual TLS on the control port; empty: none",
		func(c *Config) *string { return &c.TLSCert }, checkAny),
	text("tls-key", "", ScopeControl, "the certificate's key, PEM",
		func(c *Config) *string { return &c.TLSKey }, checkAny),
	text("tls-ca", "", ScopeControl, "authorities that sign nodes, clients and admins, PEM",
		func(c *Config) *string { return &c.TLSCA }, checkAny),
	text("tls-crl", "", ScopeControl, "revoked certificates, PEM or DER, read again every second like the other files; empty: none are",
		func(c *Config) *string { return &c.TLSCRL }, checkAny),
	text("dataplane-binary", "", ScopeControl, "the gannet-dataplane to run; empty: the one beside this executable",
		func(c *Config) *string { return &c.DataplaneBinary }, checkAny),
	choice("log-level", "info", ScopeBoth, "least level that is logged",
		func(c *Config) *LogLevel { return &c.LogLevel }, "debug", "info", "warn", "error"),
	choice("log-format", "text", ScopeBoth, "form of log lines",
		func(c *Config) *LogFormat { return &c.LogFormat }, LogText, LogJSON),
}

func text(name, def string, scope Scope, usage string, field func(*Config) *string, check func(string) error) Key {
	return Key{
		Name: name, Default: def, Scope: scope, Usage: usage,
		set: func(c *Config, v string) error {
			*field(c) = v
			return check(v)
		},
		get: func(c *Config) string { return *field(c) },
	}
}

func choice[T ~string](name string, def T, scope Scope, usage string, field func(*Config) *T, choices ...T) Key {
	names := make([]string, len(choices))
	for i, c := range choices {
		names[i] = string(c)
	}
	return Key{
		Name: name, Default: string(def), Scope: scope, Usage: usage + " (" + strings.Join(names, ", ") + ")",
		set: func(c *Config, v string) error {
			*field(c) = T(v)
			return checkChoice(v, names)
		},
		get: func(c *Config) string { return string(*field(c)) },
	}
}

func number[T ~int | ~uint8 | ~uint16 | ~uint64](name, def string, scope Scope, usage string,
	field func(*Config) *T, least, most T, checks ...func(T) error,
) Key {
	return Key{
		Name: name, Default: def, Scope: scope, Usage: usage,
		set: func(c *Config, v string) error {
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil || n < uint64(least) || n > uint64(most) {
				return problem(fmt.Sprintf("is not a whole number from %d to %d", least, most))
			}
			*field(c) = T(n)
			for _, check := range checks {
				if err := check(T(n)); err != nil {
					return err
				}
			}
			return nil
		},
		get: func(c *Config) string { return fmt.Sprint(*field(c)) },
	}
}

func size(name, def string, scope Scope, usage string, field func(*Config) *Size, least, most Size) Key {
	return Key{
		Name: name, Default: def, Scope: scope, Usage: usage,
		set: func(c *Config, v string) error {
			n, err := ParseSize(v)
			if err != nil {
				return err
			}
			if n < least || n > most {
				return outOfRange(least, most, most == math.MaxInt64)
			}
			*field(c) = n
			return nil
		},
		get: func(c *Config) string { return field(c).String() },
	}
}

func duration(name, def string, scope Scope, usage string, field func(*Config) *time.Duration, least, most time.Duration) Key {
	return Key{
		Name: name, Default: def, Scope: scope, Usage: usage,
		set: func(c *Config, v string) error {
			d, err := ParseDuration(v)
			if err != nil {
				return err
			}
			if d < least || d > most {
				return outOfRange(least, most, false)
			}
			*field(c) = d
			return nil
		},
		get: func(c *Config) string { return field(c).String() },
	}
}

func outOfRange(least, most fmt.Stringer, openEnd bool) error {
	if openEnd {
		return problem(fmt.Sprintf("is too small; write %s or more", least))
	}
	return problem(fmt.Sprintf("is out of range; write a value from %s to %s", least, most))
}

func checkChoice(v string, choices []string) error {
	if slices.Contains(choices, v) {
		return nil
	}
	return problem(fmt.Sprintf("is not one of %s%s", strings.Join(choices, ", "), suggest(v, choices)))
}

func suggest(v string, choices []string) string {
	if near := Nearest(v, choices); near != "" {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
}

func checkAny(string) error { return nil }

func checkPolicy(v string) error { return checkChoice(v, Policies) }

func checkName(v string) error {
	for i, r := range v {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("-_.", r)) {
			return problem(nameRule)
		}
	}
	if v == "" || len(v) > 63 {
		return problem(nameRule)
	}
	return nil
}

func checkZone(v string) error {
	if v == "" {
		return nil
	}
	return checkName(v)
}

func checkDir(v string) error {
	if v != "" && !strings.HasPrefix(v, "/") {
		return problem("is a relative path; write an absolute one, e.g. /dev/shm/gannet")
	}
	return nil
}

func checkInterface(v string) error {
	// IFNAMSIZ is 16 with the final zero; the kernel refuses these characters.
	if len(v) > 15 || strings.ContainsAny(v, "/: \t") {
		return problem("is not an interface name; `ip link` lists them, e.g. eth0")
	}
	return nil
}

func checkURL(v string) error {
	u, err := url.Parse(v)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && (u.Path == "" || u.Path == "/") {
		if _, port, err := net.SplitHostPort(u.Host); err == nil && u.Hostname() != "" {
			if _, err := strconv.ParseUint(port, 10, 16); err == nil {
				return nil
			}
		}
	}
	return problem("is not a URL of the form http://HOST:PORT, e.g. http://127.0.0.1:2379")
}

func powerOfTwo(n int) error {
	if n&(n-1) != 0 {
		return problem("is not a power of two; write e.g. 2048 or 4096")
	}
	return nil
}

func setListen(c *Config, v string) error {
	addr, err := netip.ParseAddr(v)
	if err != nil {
		if host, port, splitErr := net.SplitHostPort(v); splitErr == nil {
			return problem(fmt.Sprintf("has a port in it; write the address alone (%s) and set data-port to %s", host, port))
		}
		return problem("is not an IP address; write e.g. 10.0.0.7, fd00::7, or :: for all addresses")
	}
	c.Listen = addr.Unmap()
	return nil
}

func setCPUs(c *Config, v string) (err error) {
	c.CPUs, err = ParseCPUList(v)
	return err
}

func setGrowth(c *Config, v string) error {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 1.01 && f <= 2) {
		return problem("is not a growth factor; write a number from 1.01 to 2, e.g. 1.12")
	}
	c.Growth = f
	return nil
}

func setAllow(c *Config, v string) error {
	c.Allow = nil
	for _, part := range splitList(v) {
		prefix, err := parsePrefix(part)
		if err != nil {
			return problem(fmt.Sprintf("has a part %q that is not an address or prefix; write e.g. 10.0.0.0/8,fd00::/8,192.0.2.7", part))
		}
		c.Allow = append(c.Allow, prefix)
	}
	return nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap()
		return addr.Prefix(addr.BitLen())
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}

func joinPrefixes(list []netip.Prefix) string {
	parts := make([]string, len(list))
	for i, p := range list {
		parts[i] = p.String()
	}
	return strings.Join(parts, ",")
}

func setAdmin(c *Config, v string) error {
	addr, err := netip.ParseAddrPort(v)
	if err != nil {
		return problem("is not an address and port; write e.g. 127.0.0.1:9743 or [::1]:9743")
	}
	c.Admin = addr
	return nil
}

func setEndpoints(c *Config, v string) error {
	c.EtcdEndpoints = splitList(v)
	for _, part := range c.EtcdEndpoints {
		if err := checkURL(part); err != nil {
			return problem(fmt.Sprintf("has a part %q that is not a URL of the form http://HOST:PORT, e.g. http://10.0.0.1:2379", part))
		}
	}
	return nil
}

func setAdvertise(c *Config, v string) error {
	c.Advertise = netip.Addr{}
	if v == "" {
		return nil
	}
	addr, err := netip.ParseAddr(v)
	if err != nil || addr.IsUnspecified() {
		return problem("is not an address that others can reach; write one of this machine's, e.g. 10.0.0.7")
	}
	c.Advertise = addr.Unmap()
	return nil
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func setSeeds(c *Config, v string) error {
	c.Seeds = splitList(v)
	for _, part := range c.Seeds {
		host, port, err := net.SplitHostPort(part)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 || host == "" {
			return problem(fmt.Sprintf("has a part %q that is not host:port; write e.g. 10.0.0.2:9742", part))
		}
	}
	return nil
}

func setEmbed(c *Config, v string) error {
	b, err := strconv.ParseBool(v)
	if err != nil {
		return problem("is not a truth value; write true or false")
	}
	c.EtcdEmbed = b
	return nil
}

func splitList(v string) []string {
	var parts []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

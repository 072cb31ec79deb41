package tuning

import "slices"

var netKnobs = []*Knob{
	sysctl(Knob{
		Name: "net.rmem_max", Group: "net", Roles: onSockets,
		What:     "net.core.rmem_max: 32 MiB.",
		Why:      "a UDP socket may then hold a burst of some 10,000 datagrams while its reader is away",
		Source:   "Documentation/admin-guide/sysctl/net.rst; ScyllaDB's and Cassandra's production notes",
		Tradeoff: "A program can take that much kernel memory for a socket.",
		Measure:  "RcvbufErrors of UDP in /proc/net/snmp stay still.",
	}, "/proc/sys/net/core/rmem_max", "33554432"),
	sysctl(Knob{
		Name: "net.wmem_max", Group: "net", Roles: onSockets,
		What:     "net.core.wmem_max: 32 MiB.",
		Why:      "replies of large values leave in one call instead of waiting for room",
		Source:   "Documentation/admin-guide/sysctl/net.rst",
		Tradeoff: "As rmem_max.",
		Measure:  "SndbufErrors of UDP in /proc/net/snmp stay still.",
	}, "/proc/sys/net/core/wmem_max", "33554432"),
	sysctl(Knob{
		Name: "net.backlog", Group: "net", Roles: onSockets,
		What:     "net.core.netdev_max_backlog: 16384 packets.",
		Why:      "the queue between drivers without NAPI (or RPS) and the stack; 1000 is 85 µs at 100 Gbit/s with 1 KB",
		Source:   "Documentation/admin-guide/sysctl/net.rst",
		Tradeoff: "A longer queue is a longer wait when the CPU cannot keep up.",
		Measure:  "the second column (dropped) of /proc/net/softnet_stat stays still.",
	}, "/proc/sys/net/core/netdev_max_backlog", "16384"),
	sysctl(Knob{
		Name: "net.busy_read", Group: "net", Roles: asking,
		What:     "net.core.busy_read: 50 µs.",
		Why:      "a client that waits for a reply looks at the card itself instead of sleeping until the interrupt",
		Source:   "tuned, profile network-latency; Documentation/networking/napi.rst, busy polling",
		Tradeoff: "Up to 50 µs of CPU for each blocking read. The data plane asks for polling by socket and needs no global switch.",
		Measure:  "p50 of gannet ping falls by 10 to 20 µs on real cards.",
	}, "/proc/sys/net/core/busy_read", "50"),
	sysctl(Knob{
		Name: "net.busy_poll", Group: "net", Roles: asking,
		What:     "net.core.busy_poll: 50 µs.",
		Why:      "the same for poll and epoll, which is how Go waits",
		Source:   "tuned, profile network-latency; Documentation/networking/napi.rst, busy polling",
		Tradeoff: "Up to 50 µs of CPU for each poll.",
		Measure:  "as busy_read.",
	}, "/proc/sys/net/core/busy_poll", "50"),
	sysctl(Knob{
		Name: "net.tcp_rmem", Group: "net", Roles: serving,
		What:     "net.ipv4.tcp_rmem: up to 32 MiB.",
		Why:      "a replication stream at 25 Gbit/s over 10 ms of stall needs 31 MB in flight",
		Source:   "Documentation/networking/ip-sysctl.rst, tcp_rmem; bandwidth × delay",
		Tradeoff: "Memory for each slow connection, within tcp_mem.",
		Measure:  "ss -tmi on the replication port: rcv_space; time to fill a joining node.",
	}, "/proc/sys/net/ipv4/tcp_rmem", "4096 131072 33554432"),
	sysctl(Knob{
		Name: "net.tcp_wmem", Group: "net", Roles: serving,
		What:     "net.ipv4.tcp_wmem: up to 32 MiB.",
		Why:      "the sending half of tcp_rmem",
		Source:   "Documentation/networking/ip-sysctl.rst, tcp_wmem",
		Tradeoff: "As tcp_rmem.",
		Measure:  "as tcp_rmem.",
	}, "/proc/sys/net/ipv4/tcp_wmem", "4096 65536 33554432"),
	sysctl(Knob{
		Name: "net.tcp_slow_start_after_idle", Group: "net", Roles: onSockets,
		What:     "net.ipv4.tcp_slow_start_after_idle: 0.",
		Why:      "a replication stream that paused for a moment goes on at its former rate, instead of from ten packets",
		Source:   "RFC 2861 and why it is off in data centres; Documentation/networking/ip-sysctl.rst",
		Tradeoff: "A burst into a network that has become full meanwhile.",
		Measure:  "age of the oldest unreplicated write after a pause.",
	}, "/proc/sys/net/ipv4/tcp_slow_start_after_idle", "0"),
	sysctl(Knob{
		Name: "net.tcp_mtu_probing", Group: "net", Roles: onSockets,
		What:     "net.ipv4.tcp_mtu_probing: 1.",
		Why:      "a path that swallows jumbo frames slows a connection instead of hanging it",
		Source:   "RFC 4821; Documentation/networking/ip-sysctl.rst",
		Tradeoff: "None while the path is right.",
		Measure:  "TCPMTUPFail in nstat.",
	}, "/proc/sys/net/ipv4/tcp_mtu_probing", "1"),
	sysctl(Knob{
		Name: "net.tcp_ecn", Group: "net", Roles: onSockets,
		What:     "net.ipv4.tcp_ecn: 1, asked for on outgoing connections, too.",
		Why:      "switches then mark instead of dropping when many answer one (incast), and nobody waits for a timeout",
		Source:   "RFC 3168; Alizadeh et al., \"Data Center TCP\", SIGCOMM 2010",
		Tradeoff: "Old middleboxes dropped such packets; within a data centre there are none. Does nothing without switches that mark.",
		Measure:  "nstat: InECT0Pkts, InCEPkts.",
	}, "/proc/sys/net/ipv4/tcp_ecn", "1"),
	sysctl(Knob{
		Name: "net.tcp_rto_min", Group: "net", Roles: onSockets,
		What:     "net.ipv4.tcp_rto_min_us: 5 ms instead of 200.",
		Why:      "a lost tail of an incast is sent again after 5 ms, not after 200",
		Source:   "Vasudevan et al., \"Safe and Effective Fine-grained TCP Retransmissions for Datacenter Communication\", SIGCOMM 2009; since Linux 6.11",
		Tradeoff: "Too short for connections to far away: they send again without need. Older kernels: ip route change … rto_min 5ms.",
		Measure:  "TCPTimeouts and TCPSpuriousRTOs in nstat.",
	}, "/proc/sys/net/ipv4/tcp_rto_min_us", "5000"),
	{
		Name: "net.tcp_congestion", Group: "net", Roles: onSockets, Advice: true,
		What:     "net.ipv4.tcp_congestion_control: dctcp, where all switches mark ECN.",
		Why:      "it keeps queues short under incast; without marking switches it is worse than the default",
		Source:   "RFC 8257; Alizadeh et al., \"Data Center TCP\", SIGCOMM 2010",
		Tradeoff: "Unfair to other TCP on the same links: all or nobody. Only you know the switches, so it is not set by apply.",
		Measure:  "ss -ti on the replication port; queue depth on the switch.",
		Scan:     file("/proc/sys/net/ipv4/tcp_congestion_control"),
		Want: func(in *Inputs, _ Item) Want {
			if !slices.Contains(in.Facts.Congest, "dctcp") {
				return leave("the kernel has no dctcp loaded (modprobe tcp_dctcp)")
			}
			return Want{Value: "dctcp"}
		},
		Shell: `note "if all switches mark ECN: sysctl -w net.ipv4.tcp_congestion_control=dctcp"`,
	},
}

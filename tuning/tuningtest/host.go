package tuningtest

import (
	"fmt"
	"slices"
	"strings"

	"gannet/tuning"
)

// Spec describes a machine in a few words.
type Spec struct {
	Sockets     int
	CoresSocket int
	CoresCache  int // cores that share a last-level cache; 0 = all of a socket
	Threads     int // of a core
	MemoryGiB   int // of a socket, which is a memory node
	Vendor      string
	Product     string
	NoCPUFreq   bool   // no frequency driver and no idle states, as in virtual machines
	Irqbalance  string // the content of its settings; empty = it does not run
	NIC         NIC
}

// Machine is a fake host and what is behind it.
type Machine struct {
	*Tree
	NIC  *NIC
	Runs []string // the commands that were run
}

// New builds a machine.
func New(s Spec) *Machine {
	t := NewTree()
	m := &Machine{Tree: t}
	t.Set("/proc/sys/kernel/osrelease", "6.18.44")
	t.Set("/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555")
	t.Set("/proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet")
	t.Set("/sys/class/dmi/id/sys_vendor", s.Vendor)
	t.Set("/sys/class/dmi/id/product_name", s.Product)
	t.Link("/proc/thread-self/ns/net", "net:[4026531840]")
	t.Link("/proc/1/ns/net", "net:[4026531840]")
	s.buildCPUs(t)
	buildSysctls(t)
	if s.Irqbalance != "" {
		t.Set("/proc/812/comm", "irqbalance")
		t.files["/etc/default/irqbalance"] = s.Irqbalance
		t.Set("/run/systemd/system/x", "")
	}
	nic := s.NIC
	m.NIC = &nic
	if nic.Name != "" {
		m.NIC.plug(t)
	}
	return m
}

// Host is what the tuner sees.
func (m *Machine) Host() *tuning.Host {
	return &tuning.Host{Files: m.Tree, Ethtool: m.NIC, Run: func(name string, args ...string) error {
		command := name + " " + strings.Join(args, " ")
		return m.change(command, func() { m.Runs = append(m.Runs, command) })
	}}
}

// Snapshot writes down everything that can be changed.
func (m *Machine) Snapshot() string {
	var b strings.Builder
	for _, p := range m.Paths("") {
		fmt.Fprintf(&b, "%s: %q\n", p, m.files[p])
	}
	b.WriteString(m.NIC.state())
	return b.String()
}

func (s *Spec) buildCPUs(t *Tree) {
	cores, perCache := s.Sockets*s.CoresSocket, s.CoresCache
	if perCache == 0 {
		perCache = s.CoresSocket
	}
	all := cores * s.Threads
	t.Set("/sys/devices/system/cpu/online", span(0, all))
	ofNode := make([][]int, s.Sockets)
	for cpu := range all {
		core := cpu % cores
		socket := core / s.CoresSocket
		ofNode[socket] = append(ofNode[socket], cpu)
		dir := fmt.Sprintf("/sys/devices/system/cpu/cpu%d", cpu)
		t.Set(dir+"/topology/physical_package_id", socket)
		t.Set(dir+"/topology/thread_siblings_list", tuning.FormatCPUs(threadsOf(core, cores, s.Threads)))
		t.Set(dir+"/cache/index2/shared_cpu_list", tuning.FormatCPUs(threadsOf(core, cores, s.Threads)))
		first := core / perCache * perCache
		t.Set(dir+"/cache/index3/shared_cpu_list", span(first, first+perCache))
		if !s.NoCPUFreq {
			buildPower(t, dir)
		}
	}
	t.Set("/sys/devices/system/node/online", span(0, s.Sockets))
	for node := range s.Sockets {
		dir := fmt.Sprintf("/sys/devices/system/node/node%d", node)
		t.Set(dir+"/cpulist", tuning.FormatCPUs(ofNode[node]))
		t.Set(dir+"/meminfo", fmt.Sprintf("Node %d MemTotal: %d kB", node, s.MemoryGiB<<20))
		t.Set(dir+"/distance", distances(node, s.Sockets))
		t.Set(dir+"/hugepages/hugepages-2048kB/nr_hugepages", 0)
		t.Set(dir+"/hugepages/hugepages-1048576kB/nr_hugepages", 0)
	}
}

func distances(from, nodes int) string {
	list := make([]string, nodes)
	for to := range list {
		switch {
		case to == from:
			list[to] = "10"
		case to^1 == from:
			list[to] = "21"
		default:
			list[to] = "31"
		}
	}
	return strings.Join(list, " ")
}

func threadsOf(core, cores, threads int) []int {
	list := make([]int, threads)
	for i := range list {
		list[i] = core + i*cores
	}
	return list
}

func buildPower(t *Tree, dir string) {
	t.Set(dir+"/cpufreq/scaling_governor", "powersave")
	for state, latencyMicros := range []int{0, 2, 10, 133} {
		t.Set(fmt.Sprintf("%s/cpuidle/state%d/name", dir, state), []string{"POLL", "C1", "C1E", "C6"}[state])
		t.Set(fmt.Sprintf("%s/cpuidle/state%d/latency", dir, state), latencyMicros)
		t.Set(fmt.Sprintf("%s/cpuidle/state%d/disable", dir, state), 0)
	}
}

func buildSysctls(t *Tree) {
	for path, value := range map[string]any{
		"/sys/kernel/mm/transparent_hugepage/enabled":         "[always] madvise never",
		"/proc/sys/kernel/nmi_watchdog":                       1,
		"/proc/sys/kernel/numa_balancing":                     1,
		"/proc/sys/vm/stat_interval":                          1,
		"/proc/sys/vm/swappiness":                             60,
		"/proc/sys/net/core/rmem_max":                         212992,
		"/proc/sys/net/core/wmem_max":                         212992,
		"/proc/sys/net/core/netdev_max_backlog":               1000,
		"/proc/sys/net/core/busy_read":                        0,
		"/proc/sys/net/core/busy_poll":                        0,
		"/proc/sys/net/ipv4/tcp_rmem":                         "4096\t131072\t6291456",
		"/proc/sys/net/ipv4/tcp_wmem":                         "4096\t16384\t4194304",
		"/proc/sys/net/ipv4/tcp_slow_start_after_idle":        1,
		"/proc/sys/net/ipv4/tcp_mtu_probing":                  0,
		"/proc/sys/net/ipv4/tcp_ecn":                          2,
		"/proc/sys/net/ipv4/tcp_rto_min_us":                   200000,
		"/proc/sys/net/ipv4/tcp_congestion_control":           "cubic",
		"/proc/sys/net/ipv4/tcp_available_congestion_control": "reno cubic dctcp",
	} {
		t.Set(path, value)
	}
}

func span(first, end int) string {
	list := make([]int, 0, end-first)
	for i := first; i < end; i++ {
		list = append(list, i)
	}
	return tuning.FormatCPUs(list)
}

// Machines are the layouts that the tests know, by name.
func Machines() map[string]Spec {
	return map[string]Spec{
		"two-socket-mlx5": {
			Sockets: 2, CoresSocket: 16, Threads: 2, MemoryGiB: 256, Vendor: "Dell Inc.", Product: "PowerEdge R760",
			Irqbalance: "#IRQBALANCE_ONESHOT=\nIRQBALANCE_ARGS=\"--powerthresh=1\"\n",
			NIC: NIC{
				Name: "ens1f0np0", DriverName: "mlx5_core", Node: 1, MaxCombined: 63, Combined: 63, RingNow: 1024, RingMax: 8192,
				IRQName: "mlx5_comp%d@pci:0000:b1:00.0", RSSLength: 256, FlowSlots: 1024, Adaptive: true, MicrosNow: 8,
			},
		},
		"two-socket-ice": {
			Sockets: 2, CoresSocket: 24, Threads: 1, MemoryGiB: 192, Vendor: "Supermicro", Product: "SYS-620U",
			NIC: NIC{
				Name: "eth2", DriverName: "ice", Node: 0, MaxCombined: 48, Combined: 48, RingNow: 2048, RingMax: 8160,
				IRQName: "ice-eth2-TxRx-%d", RSSLength: 512, FlowSlots: 16384, Adaptive: true, MicrosNow: 50,
			},
		},
		"one-socket-epyc": {
			Sockets: 1, CoresSocket: 32, CoresCache: 8, Threads: 2, MemoryGiB: 512, Vendor: "ASUSTeK", Product: "RS520A",
			NIC: NIC{
				Name: "enp65s0f0", DriverName: "ice", Node: 0, MaxCombined: 64, Combined: 8, RingNow: 2048, RingMax: 8160,
				IRQName: "ice-enp65s0f0-TxRx-%d", RSSLength: 512, FlowSlots: 16384, Adaptive: true, MicrosNow: 50,
			},
		},
		"four-socket-mlx5": {
			Sockets: 4, CoresSocket: 8, Threads: 2, MemoryGiB: 384, Vendor: "HPE", Product: "ProLiant DL560",
			NIC: NIC{
				Name: "ens3np0", DriverName: "mlx5_core", Node: 2, MaxCombined: 63, Combined: 63, RingNow: 1024, RingMax: 8192,
				IRQName: "mlx5_comp%d@pci:0000:d8:00.0", RSSLength: 256, FlowSlots: 1024, Adaptive: true, MicrosNow: 8,
			},
		},
		"vm-ena": {
			Sockets: 1, CoresSocket: 8, Threads: 2, MemoryGiB: 64, NoCPUFreq: true, Vendor: "Amazon EC2", Product: "c6in.4xlarge",
			NIC: NIC{
				Name: "ens5", DriverName: "ena", Node: -1, MaxCombined: 16, Combined: 16, RingNow: 1024, RingMax: 8192,
				IRQName: "ens5-Tx-Rx-%d", RSSLength: 128, MicrosNow: 20, Adaptive: true,
			},
		},
		"vm-virtio": {
			Sockets: 1, CoresSocket: 4, Threads: 1, MemoryGiB: 16, NoCPUFreq: true, Vendor: "QEMU", Product: "Standard PC",
			NIC: NIC{
				Name: "eth0", DriverName: "virtio_net", Node: -1, MaxCombined: 4, Combined: 4, RingNow: 256, RingMax: 256,
				IRQName: "virtio1-input.%d", Virtio: true,
			},
		},
	}
}

// Names lists the known machines.
func Names() []string {
	var names []string
	for name := range Machines() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

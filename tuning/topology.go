package tuning

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// CPU is one hardware thread.
type CPU struct {
	ID     int
	Socket int
	Node   int // of memory
	Cache  int // the lowest CPU that shares the last level of cache: names a CCD
	Core   int // the lowest CPU of the same core
}

// Topology is how processors and memory hang together.
type Topology struct {
	CPUs  []CPU // online, by ID
	Nodes []Node
	NUMA  bool // false on kernels that know of no memory nodes: then Nodes has one
	// IdleStates are those of the first CPU; machines with different ones are not known.
	IdleStates []IdleState
}

// IdleState is one in which a CPU may rest.
type IdleState struct {
	Number        int
	Name          string
	LatencyMicros int // to leave it
}

// Node is a node of memory.
type Node struct {
	ID          int
	MemoryBytes int64
	Distance    []int // to each node of the list, in the firmware's measure; 10 is here
}

const cpuDir, nodeDir = "/sys/devices/system/cpu", "/sys/devices/system/node"

func readTopology(h *Host) (Topology, error) {
	online, err := ParseCPUs(h.text(cpuDir + "/online"))
	if err != nil || len(online) == 0 {
		return Topology{}, fmt.Errorf("%s/online has no processors (is /sys mounted?): %w", cpuDir, err)
	}
	var t Topology
	nodeOf := t.readNodes(h)
	for _, id := range online {
		dir := fmt.Sprintf("%s/cpu%d", cpuDir, id)
		cpu := CPU{ID: id, Node: nodeOf[id], Core: id, Socket: max(0, number(h.text(dir+"/topology/physical_package_id")))}
		if threads, err := ParseCPUs(h.text(dir + "/topology/thread_siblings_list")); err == nil && len(threads) > 0 {
			cpu.Core = threads[0]
		}
		cpu.Cache = lastLevelCache(h, dir, cpu)
		t.CPUs = append(t.CPUs, cpu)
	}
	t.readIdleStates(h)
	return t, nil
}

func (t *Topology) readIdleStates(h *Host) {
	dir := fmt.Sprintf("%s/cpu%d/cpuidle", cpuDir, t.CPUs[0].ID)
	names, _ := h.Files.ReadDir(dir)
	for _, n := range numbered(names, "state") {
		state := fmt.Sprintf("%s/state%d", dir, n)
		t.IdleStates = append(t.IdleStates, IdleState{n, h.text(state + "/name"), number(h.text(state + "/latency"))})
	}
}

// readNodes fills Nodes and tells the node of each CPU. A kernel without NUMA has one.
func (t *Topology) readNodes(h *Host) map[int]int {
	nodeOf := map[int]int{}
	ids, _ := ParseCPUs(h.text(nodeDir + "/online"))
	if len(ids) == 0 {
		t.Nodes = []Node{{MemoryBytes: memoryOf(h.text("/proc/meminfo")), Distance: []int{10}}}
		return nodeOf
	}
	t.NUMA = true
	for _, id := range ids {
		dir := fmt.Sprintf("%s/node%d", nodeDir, id)
		n := Node{ID: id, MemoryBytes: memoryOf(h.text(dir + "/meminfo"))}
		for _, d := range strings.Fields(h.text(dir + "/distance")) {
			n.Distance = append(n.Distance, number(d))
		}
		t.Nodes = append(t.Nodes, n)
		cpus, _ := ParseCPUs(h.text(dir + "/cpulist"))
		for _, cpu := range cpus {
			nodeOf[cpu] = id
		}
	}
	return nodeOf
}

// memoryOf finds MemTotal in a meminfo, of a node or of all.
func memoryOf(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if _, rest, ok := strings.Cut(line, "MemTotal:"); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				kib, _ := strconv.ParseInt(fields[0], 10, 64)
				return kib << 10
			}
		}
	}
	return 0
}

// lastLevelCache tells which CPUs share a cache. Virtual machines often do not say: then it is the socket.
func lastLevelCache(h *Host, dir string, cpu CPU) int {
	for level := 4; level >= 2; level-- {
		shared, err := ParseCPUs(h.text(fmt.Sprintf("%s/cache/index%d/shared_cpu_list", dir, level)))
		if err == nil && len(shared) > 0 {
			if level == 2 {
				break // a cache of one core's own says nothing
			}
			return shared[0]
		}
	}
	first, _ := ParseCPUs(h.text(dir + "/topology/package_cpus_list"))
	if len(first) > 0 {
		return first[0]
	}
	return cpu.Socket
}

func number(text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return -1
	}
	return n
}

// cores gives the threads of each core: the cores by their first thread.
func (t *Topology) cores() [][]CPU {
	byCore := map[int][]CPU{}
	for _, c := range t.CPUs {
		byCore[c.Core] = append(byCore[c.Core], c)
	}
	cores := make([][]CPU, 0, len(byCore))
	for _, threads := range byCore {
		cores = append(cores, threads)
	}
	slices.SortFunc(cores, func(a, b []CPU) int { return a[0].ID - b[0].ID })
	return cores
}

func (t *Topology) ids() []int {
	ids := make([]int, len(t.CPUs))
	for i, c := range t.CPUs {
		ids[i] = c.ID
	}
	return ids
}

// distance between two nodes; unknown ones are far.
func (t *Topology) distance(from, to int) int {
	for _, n := range t.Nodes {
		if n.ID != from {
			continue
		}
		for i, other := range t.Nodes {
			if other.ID == to && i < len(n.Distance) {
				return n.Distance[i]
			}
		}
	}
	if from == to {
		return 10
	}
	return 255
}

package main

import (
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

//go:embed lab.yaml
var labInventory []byte

// Inventory is what the user wrote: inventory.yaml explains each key.
type Inventory struct {
	Server      End        `json:"server"`
	Client      End        `json:"client"`
	LinkGbit    float64    `json:"link_gbit"`
	Datapaths   []Datapath `json:"datapaths"`
	MTUs        []int      `json:"mtus"`
	Layouts     []Layout   `json:"layouts"`
	Workloads   []Workload `json:"workloads"`
	MemoryBytes int64      `json:"memory_bytes"`
	NodeFlags   []string   `json:"node_flags"`
	Seconds     float64    `json:"seconds"`
	Steps       int        `json:"steps"`
	MostRate    float64    `json:"most_rate"`
	Checks      struct {
		Strict bool `json:"strict"`
	} `json:"checks"`
	Perf bool `json:"perf"`
}

// End is one host.
type End struct {
	SSH       string     `json:"ssh"`
	Interface string     `json:"interface"`
	Address   netip.Addr `json:"address"`
}

// Datapath is a rung to measure.
type Datapath struct {
	Name     string `json:"name"`
	Datapath string `json:"datapath"` // as `gannet dev --datapath` takes it
	Expect   string `json:"expect"`   // rung without which the case is void
}

// Layout places shards and generator threads.
type Layout struct {
	Name       string `json:"name"`
	ServerCPUs string `json:"server_cpus"`
	ClientCPUs string `json:"client_cpus"`
}

// Workload is what is asked for.
type Workload struct {
	Name           string  `json:"name"`
	Keys           int     `json:"keys"`
	ValueBytes     int     `json:"value_bytes"`
	KeysPerRequest int     `json:"keys_per_request"`
	WriteRatio     float64 `json:"write_ratio"`
	ZipfS          float64 `json:"zipf_s"`
}

var errInventory = errors.New("inventory")

// readInventory reads a file and checks it.
func readInventory(path string) (*Inventory, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInventory, err)
	}
	return parseInventory(data)
}

func parseInventory(data []byte) (*Inventory, error) {
	inv := &Inventory{}
	if err := yaml.UnmarshalStrict(data, inv); err != nil {
		return nil, fmt.Errorf("%w: %w", errInventory, err)
	}
	return inv, inv.check()
}

func (inv *Inventory) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", errInventory, fmt.Sprintf(format, args...))
	}
	for name, end := range map[string]End{"server": inv.Server, "client": inv.Client} {
		if end.Interface == "" || !end.Address.Is4() {
			return bad("%s needs an interface and an IPv4 address", name)
		}
	}
	if len(inv.Datapaths) == 0 || len(inv.MTUs) == 0 || len(inv.Layouts) == 0 || len(inv.Workloads) == 0 {
		return bad("datapaths, mtus, layouts and workloads need one entry each at least")
	}
	if inv.LinkGbit <= 0 || inv.Seconds <= 0 || inv.Steps < 1 || inv.MemoryBytes < 1<<20 {
		return bad("link_gbit, seconds, steps and memory_bytes must be there and positive")
	}
	for _, l := range inv.Layouts {
		for _, list := range []string{l.ServerCPUs, l.ClientCPUs} {
			if _, err := cpuList(list); err != nil {
				return bad("layout %s: %v", l.Name, err)
			}
		}
	}
	for _, w := range inv.Workloads {
		if w.Keys < 1 || w.ValueBytes < 0 || w.KeysPerRequest < 1 || w.WriteRatio < 0 || w.WriteRatio > 1 {
			return bad("workload %s: keys and keys_per_request must be positive, write_ratio between 0 and 1", w.Name)
		}
	}
	for _, d := range inv.Datapaths {
		if d.Datapath != "xdp" && d.Datapath != "udp" {
			return bad("datapath %s: xdp or udp, not %q", d.Name, d.Datapath)
		}
	}
	return nil
}

// cpuList reads "2-4,8".
func cpuList(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		if err != nil {
			return nil, fmt.Errorf("CPUs %q: %w", list, err)
		}
		last, err := strconv.Atoi(to)
		if err != nil {
			return nil, fmt.Errorf("CPUs %q: %w", list, err)
		}
		if first < 0 || last < first || last > 4095 {
			return nil, fmt.Errorf("CPUs %q: %d-%d is no range", list, first, last)
		}
		for cpu := first; cpu <= last; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

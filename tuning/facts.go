package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Facts are a snapshot of a host. Everything that follows from them is a pure function.
type Facts struct {
	Kernel   string
	Virtual  string // the hypervisor; empty = bare metal, as far as one can see
	NetNS    string // names the network namespace
	Home     bool   // the namespace is the machine's first
	BootID   string
	Topology Topology
	NIC      *NIC     // nil = none was asked for
	Others   []string // the interfaces that could be asked for
	Balancer Balancer
	Congest  []string // TCP congestion controls that are loaded
	Values   map[Setting]Reading
}

// Reading is the present value of a setting, or why there is none.
type Reading struct {
	Value string
	Err   error
	// Locked is set for files that the kernel does not let be written from here.
	Locked bool
}

// NIC is a network interface.
type NIC struct {
	Name     string
	Driver   string
	Node     int // of memory; -1 = unknown or none
	MTU      int
	Channels Channels
	Rings    Rings
	RXQueues []int // as the kernel has them now
	TXQueues []int
	IRQs     []IRQ
	// FlowSlots is the number of places for flow rules, 0 = none: then FlowErr says why.
	FlowSlots int
	FlowErr   error
	FlowRules []FlowRule
}

// IRQ is an interrupt of a queue.
type IRQ struct {
	Number int
	Name   string // as in /proc/interrupts; stays when numbers change
	Queue  int
}

// Balancer is the irqbalance daemon.
type Balancer struct {
	PID      int    // 0 = does not run
	Settings string // the file with its arguments
	Systemd  bool   // systemd can restart it
}

// Probe takes the snapshot.
func Probe(h *Host, o *Options) (*Facts, error) {
	f := &Facts{Kernel: h.text("/proc/sys/kernel/osrelease"), BootID: h.text("/proc/sys/kernel/random/boot_id"), Virtual: hypervisor(h)}
	f.NetNS, f.Home = namespace(h)
	var err error
	if f.Topology, err = readTopology(h); err != nil {
		return nil, err
	}
	names, _ := h.Files.ReadDir(netDir)
	f.Others = slices.DeleteFunc(names, func(name string) bool { return name == "lo" })
	if o.NIC != "" {
		if f.NIC, err = readNIC(h, o.NIC); err != nil {
			return nil, err
		}
	}
	f.Balancer = readBalancer(h)
	f.Congest = strings.Fields(h.text("/proc/sys/net/ipv4/tcp_available_congestion_control"))
	f.Values = map[Setting]Reading{}
	for _, k := range Knobs() {
		if !k.has(o.Role) || !o.wants(k) {
			continue
		}
		for _, item := range k.Scan(f, o) {
			value, err := item.Setting.Read(h)
			locked := (item.Setting.Kind == KindFile || item.Setting.Kind == KindChoice) && h.Files.ReadOnly(item.Setting.Target)
			f.Values[item.Setting] = Reading{value, err, locked}
		}
	}
	return f, nil
}

// namespace tells where the calling thread is. Without a look at process 1 it is taken to be at home.
func namespace(h *Host) (name string, home bool) {
	name, err := h.Files.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return "", true
	}
	first, err := h.Files.Readlink("/proc/1/ns/net")
	return name, err != nil || first == name
}

func hypervisor(h *Host) string {
	if name := h.text("/sys/hypervisor/type"); name != "" {
		return name
	}
	for _, file := range []string{"sys_vendor", "product_name"} {
		text := h.text("/sys/class/dmi/id/" + file)
		for _, known := range []string{"Amazon EC2", "QEMU", "KVM", "VMware", "Google", "Virtual Machine", "OpenStack", "Xen", "DigitalOcean"} {
			if strings.Contains(text, known) && !strings.Contains(h.text("/sys/class/dmi/id/product_name"), "metal") {
				return text
			}
		}
	}
	for line := range strings.Lines(h.text("/proc/cpuinfo")) {
		if strings.HasPrefix(line, "flags") {
			if slices.Contains(strings.Fields(line), "hypervisor") {
				return "a hypervisor"
			}
			break
		}
	}
	return ""
}

const netDir = "/sys/class/net"

func readNIC(h *Host, name string) (*NIC, error) {
	dir := netDir + "/" + name
	if strings.ContainsAny(name, "/ ") || !h.exists(dir+"/mtu") {
		return nil, fmt.Errorf("there is no interface %s here; `ip link` lists them", name)
	}
	n := &NIC{Name: name, Node: -1, MTU: number(h.text(dir + "/mtu"))}
	if node := h.text(dir + "/device/numa_node"); node != "" {
		n.Node = number(node)
	} else if node := h.text(dir + "/device/../numa_node"); node != "" {
		n.Node = number(node)
	}
	driver, err := h.Ethtool.Driver(name)
	if err != nil && !unsupported(err) {
		return nil, fmt.Errorf("ask for the driver of %s: %w", name, err)
	}
	n.Driver = driver.Name
	// What cannot be read here is read again as a setting, which then says why.
	n.Channels, _ = h.Ethtool.Channels(name)
	n.Rings, _ = h.Ethtool.Rings(name)
	n.FlowRules, n.FlowSlots, n.FlowErr = h.Ethtool.FlowRules(name)
	queues, err := h.Files.ReadDir(dir + "/queues")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the queues of %s: %w", name, err)
	}
	n.RXQueues, n.TXQueues = numbered(queues, "rx-"), numbered(queues, "tx-")
	n.IRQs = readIRQs(h, name)
	return n, nil
}

func numbered(names []string, prefix string) []int {
	var list []int
	for _, name := range names {
		if text, ok := strings.CutPrefix(name, prefix); ok {
			list = append(list, number(text))
		}
	}
	slices.Sort(list)
	return list
}

// queueIRQ finds the queue in the names that drivers give: eth1-TxRx-3 (Intel, Broadcom), mlx5_comp3@pci:…,
// eth0-Tx-Rx-3 (ENA), virtio2-input.3.
var queueIRQ = regexp.MustCompile(`(?i)(?:_comp|txrx-|tx-rx-|input\.|output\.|-rx-|-tx-)(\d+)(?:@.*)?$`)

// readIRQs lists the interrupts of an interface's queues.
func readIRQs(h *Host, nic string) []IRQ {
	ours := map[int]bool{}
	for _, dir := range []string{"/device/msi_irqs", "/device/../msi_irqs"} {
		names, _ := h.Files.ReadDir(netDir + "/" + nic + dir)
		for _, name := range names {
			ours[number(name)] = true
		}
	}
	var list []IRQ
	for line := range strings.Lines(h.text("/proc/interrupts")) {
		left, rest, ok := strings.Cut(line, ":")
		irq, err := strconv.Atoi(strings.TrimSpace(left))
		fields := strings.Fields(rest)
		if !ok || err != nil || len(fields) == 0 {
			continue
		}
		name := fields[len(fields)-1]
		match := queueIRQ.FindStringSubmatch(name)
		if match != nil && (ours[irq] || strings.Contains(name, nic+"-")) {
			list = append(list, IRQ{irq, name, number(match[1])})
		}
	}
	return list
}

func readBalancer(h *Host) Balancer {
	b := Balancer{Settings: "/etc/default/irqbalance", Systemd: h.exists("/run/systemd/private") || dirExists(h, "/run/systemd/system")}
	if !h.exists(b.Settings) && h.exists("/etc/sysconfig/irqbalance") {
		b.Settings = "/etc/sysconfig/irqbalance"
	}
	names, _ := h.Files.ReadDir("/proc")
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && h.text("/proc/"+name+"/comm") == "irqbalance" {
			b.PID = pid
			break
		}
	}
	return b
}

func dirExists(h *Host, path string) bool {
	_, err := h.Files.ReadDir(path)
	return err == nil
}

// LookAt takes a snapshot of one interface, and tells whether its flow rules can be used: the filter may be off.
func LookAt(h *Host, nic string) (*NIC, Feature, error) {
	n, err := readNIC(h, nic)
	if err != nil {
		return nil, Feature{}, err
	}
	filter, err := h.Ethtool.Feature(nic, "rx-ntuple-filter")
	if err != nil {
		filter.Fixed = true
	}
	return n, filter, nil
}

package tuningtest

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"gannet/tuning"
)

// NIC is an interface that answers as drivers do.
type NIC struct {
	Name, DriverName string
	Node             int
	Combined         int
	MaxCombined      int
	RingNow          int
	RingMax          int
	IRQName          string // with a verb for the queue
	RSSLength        int    // 0 = the driver has no table to set
	FlowSlots        int    // 0 = no flow rules
	Adaptive         bool
	MicrosNow        int  // 0 = no interrupt moderation to set
	Virtio           bool // interrupts are those of the parent device
	// Renumber gives interrupts new numbers each time queues are made.
	Renumber bool
	// NoEthtool makes everything but the driver's name unsupported.
	NoEthtool bool

	tree     *Tree
	nextIRQ  int
	irqs     []int // by queue
	rssSet   []uint32
	ntuple   bool
	lro      bool
	rings    tuning.Rings
	coalesce tuning.Coalesce
	rules    []tuning.FlowRule
}

var _ tuning.Ethtool = (*NIC)(nil)

var errUnsupported = fmt.Errorf("%w (%w)", tuning.ErrUnsupported, unix.EOPNOTSUPP)

// is tells whether the question is for this interface and can be answered.
func (n *NIC) is(nic string, has bool) error {
	switch {
	case nic != n.Name:
		return unix.ENODEV
	case !has || n.NoEthtool:
		return errUnsupported
	}
	return nil
}

const firstIRQ = 120

func (n *NIC) dir() string { return "/sys/class/net/" + n.Name }

// plug puts the interface into a tree.
func (n *NIC) plug(t *Tree) {
	n.tree, n.nextIRQ, n.lro = t, firstIRQ, true
	n.rings = tuning.Rings{RX: uint32(n.RingNow), TX: uint32(n.RingNow), MaxRX: uint32(n.RingMax), MaxTX: uint32(n.RingMax)}
	n.coalesce = tuning.Coalesce{AdaptiveRX: n.Adaptive, AdaptiveTX: n.Adaptive, RXMicros: uint32(n.MicrosNow), TXMicros: uint32(n.MicrosNow)}
	t.Set(n.dir()+"/mtu", 1500)
	t.Set(n.dir()+"/napi_defer_hard_irqs", 0)
	t.Set(n.dir()+"/gro_flush_timeout", 0)
	if !n.Virtio {
		t.Set(n.dir()+"/device/numa_node", n.Node)
	}
	n.makeQueues(n.Combined)
}

// makeQueues makes queues as drivers do: with new interrupts, and everything that hangs on them as at the start.
func (n *NIC) makeQueues(count int) {
	for len(n.irqs) > count {
		last := len(n.irqs) - 1
		n.tree.Delete(fmt.Sprintf("/proc/irq/%d", n.irqs[last]))
		n.tree.Delete(fmt.Sprintf("%s/%d", n.msiDir(), n.irqs[last]))
		n.tree.Delete(fmt.Sprintf("%s/queues/rx-%d", n.dir(), last))
		n.tree.Delete(fmt.Sprintf("%s/queues/tx-%d", n.dir(), last))
		n.irqs = n.irqs[:last]
	}
	online := n.tree.Get("/sys/devices/system/cpu/online")
	for len(n.irqs) < count {
		queue := len(n.irqs)
		irq := firstIRQ + queue
		if n.Renumber {
			irq = n.nextIRQ
			n.nextIRQ++
		}
		n.irqs = append(n.irqs, irq)
		n.tree.Set(fmt.Sprintf("/proc/irq/%d/smp_affinity_list", irq), online)
		n.tree.Set(fmt.Sprintf("%s/%d", n.msiDir(), irq), "msix")
		n.tree.Set(fmt.Sprintf("%s/queues/rx-%d/rps_cpus", n.dir(), queue), n.zeroMask())
		n.tree.Set(fmt.Sprintf("%s/queues/tx-%d/xps_cpus", n.dir(), queue), n.zeroMask())
	}
	n.listIRQs()
}

func (n *NIC) msiDir() string {
	if n.Virtio {
		return n.dir() + "/device/../msi_irqs"
	}
	return n.dir() + "/device/msi_irqs"
}

func (n *NIC) zeroMask() string {
	cpus, _ := tuning.ParseCPUs(n.tree.Get("/sys/devices/system/cpu/online"))
	groups := (len(cpus) + 31) / 32
	if groups == 1 {
		return strings.Repeat("0", (len(cpus)+3)/4)
	}
	return strings.TrimSuffix(strings.Repeat("00000000,", groups), ",")
}

func (n *NIC) listIRQs() {
	text := "           CPU0       CPU1\n  8:          0          1  IO-APIC   8-edge      rtc0\n"
	for queue, irq := range n.irqs {
		text += fmt.Sprintf("%4d: %10d %10d  PCI-MSIX %d-edge      %s\n", irq, 0, 0, queue, fmt.Sprintf(n.IRQName, queue))
	}
	n.tree.Set("/proc/interrupts", text)
}

// state writes down what is not in the tree.
func (n *NIC) state() string {
	return fmt.Sprintf("channels %d rings %v coalesce %v rss %v ntuple %v lro %v rules %v\n",
		n.Combined, n.rings, n.coalesce, n.rssSet, n.ntuple, n.lro, n.rules)
}

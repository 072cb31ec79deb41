package bpf

import (
	"sync"

	"github.com/cilium/ebpf"
)

// counterRows are the programs' counters: a row of reasonSlots words for each
// CPU, of which that CPU is the only writer.
type counterRows struct {
	mu   sync.Mutex // keeps a reader off rows that are being unmapped
	rows mappedWords
	last [reasons]uint64 // the sums when the rows were unmapped
}

// sizeCounters gives every CPU that can ever run a program its row.
func sizeCounters(spec *ebpf.CollectionSpec) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	spec.Maps["counters"].MaxEntries = uint32(cpus)
	return nil
}

func (c *counterRows) open(m *ebpf.Map) (err error) {
	c.rows, err = mapWords(m)
	return err
}

// sum adds up the reasons from first to last over the CPUs.
func (c *counterRows) sum(first, last Reason) map[Reason]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	sums := make(map[Reason]uint64, last-first+1)
	for reason := first; reason <= last; reason++ {
		sums[reason] = c.one(reason)
	}
	return sums
}

func (c *counterRows) one(reason Reason) uint64 {
	sum := c.last[reason]
	for i := int(reason); i < len(c.rows.words); i += reasonSlots {
		sum += c.rows.load(i)
	}
	return sum
}

func (c *counterRows) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var sums [reasons]uint64
	for reason := range sums {
		sums[reason] = c.one(Reason(reason))
	}
	c.last = sums
	return c.rows.close()
}

package tuning

import (
	"errors"
	"fmt"
	"slices"
)

// LayoutOptions says what is to be placed.
type LayoutOptions struct {
	NICNode int   // memory node of the interface; -1 = the machine does not say
	Queues  int   // most receive queues that the interface can have; 0 = no limit is known
	Shards  int   // 0 = as many as fit
	Cores   []int // processors that may be used; nil = all
	// ShardCPUs has the shards' CPUs, in their order, where they are settled already; nil = choose.
	ShardCPUs []int
}

// Layout says which processor does what. Shard n serves queue n.
type Layout struct {
	Shards  []int    `json:"shards"`  // CPU of each shard
	IRQs    []int    `json:"irqs"`    // CPU of each queue's interrupt
	Control []int    `json:"control"` // CPUs of the control process and of everything else on the machine
	Idle    []int    `json:"idle"`    // threads beside a shard which get nothing to do
	Notes   []string `json:"notes"`   // what is not as good as it could be, and why
}

// oneControlFor is how many cores one core of the control process goes with: replication and TLS of a shard cost
// about an eighth of what serving costs, when one request in ten is a write.
const oneControlFor = 8

// NewLayout places shards, interrupts and the control process.
//
// Shards get a core each, those nearest to the interface first and, within a node, one cache after the other, so that
// as few caches as possible are shared with anything else. The core of the lowest CPU is never a shard's: the kernel
// keeps its own timers there, and it cannot be isolated. The second thread of a shard's core takes the interrupts of the
// shard's queue: what it brings in is then in the cache that the shard reads from, and no third party runs there.
// Without a second thread interrupts go to the shard's own CPU, where the polling shard drives them itself.
func NewLayout(t *Topology, o LayoutOptions) (Layout, error) {
	cores, err := usable(t, o.Cores)
	if err != nil {
		return Layout{}, err
	}
	if o.Shards < 0 {
		return Layout{}, fmt.Errorf("%d shards cannot be placed; 0 takes as many as fit", o.Shards)
	}
	if len(o.ShardCPUs) > 0 {
		return settled(t, cores, o)
	}
	order := nearestFirst(t, cores, o.NICNode)
	limit := len(order)
	if o.Queues > 0 {
		limit = min(limit, o.Queues)
	}
	l := Layout{Idle: []int{}, Notes: []string{}}
	count, err := l.count(len(order), limit, o)
	if err != nil {
		return Layout{}, err
	}
	for i, core := range order {
		if i < count {
			l.addShard(core)
			continue
		}
		for _, thread := range core {
			l.Control = append(l.Control, thread.ID)
		}
	}
	l.finish(t, o)
	return l, nil
}

func (l *Layout) finish(t *Topology, o LayoutOptions) {
	if len(l.Control) == 0 {
		l.Control = slices.Clone(l.Shards[:1])
		l.Notes = append(l.Notes, fmt.Sprintf("the control process shares CPU %d with shard 0: give the machine one more core", l.Shards[0]))
	}
	slices.Sort(l.Control)
	l.noteDistance(t, o.NICNode)
}

// settled builds the rest around shards whose CPUs are given.
func settled(t *Topology, cores [][]CPU, o LayoutOptions) (Layout, error) {
	l := Layout{Shards: slices.Clone(o.ShardCPUs), Idle: []int{}, Notes: []string{}}
	if o.Shards != 0 && o.Shards != len(o.ShardCPUs) {
		return Layout{}, fmt.Errorf("%d shards on %d CPUs (%s): make the numbers equal", o.Shards, len(o.ShardCPUs), FormatCPUs(o.ShardCPUs))
	}
	interrupts := map[int]int{} // by the shard's CPU
	for _, core := range cores {
		serving := slices.DeleteFunc(slices.Clone(core), func(c CPU) bool { return !slices.Contains(o.ShardCPUs, c.ID) })
		for _, thread := range core {
			switch {
			case slices.Contains(o.ShardCPUs, thread.ID):
			case len(serving) == 0:
				l.Control = append(l.Control, thread.ID)
			case !has(interrupts, serving[0].ID):
				interrupts[serving[0].ID] = thread.ID
			default:
				l.Idle = append(l.Idle, thread.ID)
			}
		}
		if len(serving) > 1 {
			l.Notes = append(l.Notes, fmt.Sprintf("CPUs %d and %d are threads of one core: two shards there take turns", serving[0].ID, serving[1].ID))
		}
	}
	known := t.ids()
	for _, cpu := range l.Shards {
		if !slices.Contains(known, cpu) {
			return Layout{}, fmt.Errorf("CPU %d of the shards is not there or offline; online are %s", cpu, FormatCPUs(known))
		}
		if thread, ok := interrupts[cpu]; ok {
			l.IRQs = append(l.IRQs, thread)
		} else {
			l.IRQs = append(l.IRQs, cpu)
		}
	}
	l.finish(t, o)
	return l, nil
}

// count decides how many shards there are.
func (l *Layout) count(cores, limit int, o LayoutOptions) (int, error) {
	most := max(1, cores-1)
	if o.Shards > most {
		return 0, fmt.Errorf("%d shards need %d cores with one for the control process, and there are %d: use --shards %d at most, or allow more with --cores", o.Shards, o.Shards+1, cores, most)
	}
	if o.Shards > 0 {
		if o.Shards > limit {
			l.Notes = append(l.Notes, fmt.Sprintf("%d shards on %d queues: the other shards get their requests through memory, from a neighbour", o.Shards, limit))
		}
		return o.Shards, nil
	}
	control := (cores + oneControlFor - 1) / oneControlFor
	if limit < cores-control {
		l.Notes = append(l.Notes, fmt.Sprintf("the interface has %d queues at most: the cores beyond stay with the control process", limit))
	}
	return max(1, min(limit, cores-control)), nil
}

func (l *Layout) addShard(core []CPU) {
	l.Shards = append(l.Shards, core[0].ID)
	if len(core) == 1 {
		l.IRQs = append(l.IRQs, core[0].ID)
		return
	}
	l.IRQs = append(l.IRQs, core[1].ID)
	for _, thread := range core[2:] {
		l.Idle = append(l.Idle, thread.ID)
	}
}

func (l *Layout) noteDistance(t *Topology, nicNode int) {
	if nicNode < 0 {
		return
	}
	far := 0
	for _, cpu := range t.CPUs {
		if cpu.Node != nicNode && slices.Contains(l.Shards, cpu.ID) {
			far++
		}
	}
	if far > 0 {
		l.Notes = append(l.Notes, fmt.Sprintf("%d of %d shards are on another memory node than the interface (node %d): each packet of theirs crosses between sockets", far, len(l.Shards), nicNode))
	}
}

// usable gives the cores of which at least one thread may be used.
func usable(t *Topology, allowed []int) ([][]CPU, error) {
	known := t.ids()
	for _, cpu := range allowed {
		if !slices.Contains(known, cpu) {
			return nil, fmt.Errorf("CPU %d is not there or offline; online are %s", cpu, FormatCPUs(known))
		}
	}
	var cores [][]CPU
	for _, threads := range t.cores() {
		var kept []CPU
		for _, thread := range threads {
			if len(allowed) == 0 || slices.Contains(allowed, thread.ID) {
				kept = append(kept, thread)
			}
		}
		if len(kept) > 0 {
			cores = append(cores, kept)
		}
	}
	if len(cores) == 0 {
		return nil, errors.New("no processors to place anything on")
	}
	return cores, nil
}

// nearestFirst sorts cores by how well they suit a shard. The housekeeping core comes last.
func nearestFirst(t *Topology, cores [][]CPU, nicNode int) [][]CPU {
	order := slices.Clone(cores)
	housekeeping := cores[0][0].Core
	far := func(c CPU) int {
		if nicNode < 0 {
			return c.Node
		}
		return t.distance(nicNode, c.Node)
	}
	slices.SortStableFunc(order, func(a, b []CPU) int {
		x, y := a[0], b[0]
		for _, d := range []int{
			boolInt(x.Core == housekeeping) - boolInt(y.Core == housekeeping),
			far(x) - far(y), x.Node - y.Node, x.Cache - y.Cache,
		} {
			if d != 0 {
				return d
			}
		}
		return x.ID - y.ID
	})
	return order
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func has(m map[int]int, key int) bool {
	_, ok := m[key]
	return ok
}

package tuning

import (
	"fmt"
	"slices"
	"strings"
)

// coresARow is how many cores stand beside each other in a picture.
const coresARow = 12

// Picture draws a layout: a block for each socket and memory node, in it a row for each cache, in it a column for each
// core with its threads below each other. nic may be nil.
func (l *Layout) Picture(t *Topology, nic *NIC) string {
	roles := l.roles()
	var b strings.Builder
	socket, node := -1, -1
	for _, group := range byCache(t) {
		first := group[0][0]
		if first.Socket != socket || first.Node != node {
			socket, node = first.Socket, first.Node
			fmt.Fprintf(&b, "socket %d, memory node %d%s\n", socket, node, nicHere(nic, node))
		}
		for row := range slices.Chunk(group, coresARow) {
			drawRow(&b, row, roles)
		}
	}
	fmt.Fprintf(&b, "S2 = shard 2, i2 = interrupts of queue 2, ctl = control process and system, . = left idle, - = not ours\n")
	for _, note := range l.Notes {
		fmt.Fprintf(&b, "Note: %s.\n", note)
	}
	return b.String()
}

func nicHere(nic *NIC, node int) string {
	if nic == nil || nic.Node != node {
		return ""
	}
	return fmt.Sprintf("  <== %s (%s)", nic.Name, nic.Driver)
}

func drawRow(b *strings.Builder, row [][]CPU, roles map[int]string) {
	threads := 0
	for _, core := range row {
		threads = max(threads, len(core))
	}
	for thread := range threads {
		label := "          "
		if thread == 0 {
			label = fmt.Sprintf("  L3 %-5d", row[0][0].Cache)
		}
		cpus, names := label+"cpu ", "          is  "
		for _, core := range row {
			cpu, name := "", ""
			if thread < len(core) {
				cpu, name = fmt.Sprint(core[thread].ID), "-"
				if role, ok := roles[core[thread].ID]; ok {
					name = role
				}
			}
			cpus += fmt.Sprintf("%6s", cpu)
			names += fmt.Sprintf("%6s", name)
		}
		fmt.Fprintf(b, "%s\n%s\n", strings.TrimRight(cpus, " "), strings.TrimRight(names, " "))
	}
}

// roles names what each CPU does.
func (l *Layout) roles() map[int]string {
	roles := map[int]string{}
	for _, cpu := range l.Control {
		roles[cpu] = "ctl"
	}
	for _, cpu := range l.Idle {
		roles[cpu] = "."
	}
	for queue, cpu := range l.IRQs {
		roles[cpu] = fmt.Sprintf("i%d", queue)
	}
	for shard, cpu := range l.Shards {
		roles[cpu] = fmt.Sprintf("S%d", shard)
	}
	return roles
}

// byCache groups cores by socket, node and cache, in that order.
func byCache(t *Topology) [][][]CPU {
	type key struct{ socket, node, cache int }
	groups := map[key][][]CPU{}
	var keys []key
	for _, core := range t.cores() {
		k := key{core[0].Socket, core[0].Node, core[0].Cache}
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], core)
	}
	slices.SortFunc(keys, func(a, b key) int {
		if a.socket != b.socket {
			return a.socket - b.socket
		}
		if a.node != b.node {
			return a.node - b.node
		}
		return a.cache - b.cache
	})
	list := make([][][]CPU, len(keys))
	for i, k := range keys {
		list[i] = groups[k]
	}
	return list
}

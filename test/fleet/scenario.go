package main

import (
	"fmt"

	"gannet/ring"
)

// steadySeconds pass before each scenario's event.
const steadySeconds = 10

// boot starts all nodes and gives all clients the first ring.
func (f *fleet) boot() error {
	for _, n := range f.nodes {
		n.start(true)
	}
	f.startBrain(f.nodes[1]) // in the second zone
	f.queue.run(f.queue.now+30*second, func() bool { return f.etcd.record.Ring != nil })
	if f.etcd.record.Ring == nil {
		return fmt.Errorf("no ring after %d s", f.queue.now/second)
	}
	for _, c := range f.clients {
		c.adopt(f.etcd.record.Ring)
	}
	if !f.settle(300 * second) {
		return fmt.Errorf("the fleet did not settle: epoch %d", f.etcd.record.Epoch())
	}
	f.pass(second - f.queue.now%second)
	return nil
}

// startNanos makes the scenario's time begin at 0 for the series.
func (f *fleet) startNanos() { f.series.origin = f.queue.now }

// zoneLoss kills all nodes of the first zone at once, and brings them back without
// their items.
func (f *fleet) zoneLoss() figures {
	f.begin("Zone loss", "100 of 300 nodes lose power at once and come back empty, 70 s after the copies were made again.")
	f.pass(steadySeconds * second)
	lost := f.zone("a")
	f.kill(lost)
	f.settle(900 * second)
	f.figures.LeastBytes = f.lostCopies(lost)
	f.pass(70 * second)
	for _, n := range lost {
		n.start(true)
		for _, other := range f.nodes {
			other.heardAgain(n.member.ID)
		}
	}
	f.settle(900 * second)
	return f.end(steadySeconds)
}

// zoneLossWithController loses the zone in which the elected controller runs: the
// next one is elected when its lease has ended.
func (f *fleet) zoneLossWithController() figures {
	f.begin("Zone loss, the controller in it", "The same, but the elected controller is among the lost: first the lease of its election must end.")
	f.pass(steadySeconds * second)
	lost := f.zone("b")
	f.kill(lost)
	f.settle(900 * second)
	f.figures.LeastBytes = f.lostCopies(lost)
	return f.end(steadySeconds)
}

func (f *fleet) zone(name string) []*node {
	var list []*node
	for _, n := range f.nodes {
		if n.member.Zone == name && n.alive {
			list = append(list, n)
		}
	}
	return list
}

// kill ends nodes and their machines: nothing says that they are dead but silence.
func (f *fleet) kill(nodes []*node) {
	for _, n := range nodes {
		n.stop()
		f.brainLoses(n, false)
		for _, other := range f.nodes {
			if other.alive {
				other.lost(n.member.ID)
			}
		}
	}
	f.failedAt = f.queue.now
	f.wakeClients()
}

// lostCopies is what these nodes held by the newest ring's points: each range that
// one of them would hold needs another copy.
func (f *fleet) lostCopies(nodes []*node) float64 {
	share := 0.0
	for _, n := range nodes {
		share += n.have.share()
	}
	return share * f.model.DataBytes
}

// rollingRestart restarts every node, some of a zone at a time: each asks to be down,
// stops when it is, and returns with its items.
func (f *fleet) rollingRestart() figures {
	atOnce := f.model.RestartsAtOnce
	f.begin("Rolling restart", fmt.Sprintf("Every node restarts with its items kept, %d of one zone at a time.", atOnce))
	f.pass(steadySeconds * second)
	for _, zone := range []string{"a", "b", "c"} {
		nodes := f.zone(zone)
		for len(nodes) > 0 {
			group := nodes[:min(atOnce, len(nodes))]
			nodes = nodes[len(group):]
			f.restart(group)
			if !f.settle(300 * second) {
				return f.end(steadySeconds)
			}
		}
	}
	return f.end(steadySeconds)
}

// rollingRestartPatient is the same with stand-ins that follow new writes at once and
// copy the old items only when a member has been away for long.
func (f *fleet) rollingRestartPatient() figures {
	f.model.StandInNanos = 30 * second
	g := f.rollingRestart()
	g.Name = "Rolling restart, patient"
	g.Text = "The same, but nobody copies items for a member that has been down for less than 30 s."
	return g
}

func (f *fleet) restart(group []*node) {
	stopped := 0
	for _, n := range group {
		n.resign, n.restarting = true, true
		n.goesDown = func() {
			n.stop()
			f.brainLoses(n, true)
			stopped++
			f.queue.after(f.model.RestartNanos, func() { n.start(false) })
		}
	}
	f.queue.run(f.queue.now+60*second, func() bool { return stopped == len(group) })
}

// scaleOut adds a tenth of the nodes.
func (f *fleet) scaleOut() figures {
	count := len(f.nodes) / 10
	f.begin("Scale-out by 10 %", fmt.Sprintf("%d nodes join %d at once; they serve when they have their items.", count, len(f.nodes)))
	f.pass(steadySeconds * second)
	for range count {
		f.addNode().start(true)
	}
	f.queue.run(f.queue.now+60*second, func() bool { return f.joining() > 0 })
	f.settle(1800 * second)
	f.figures.LeastBytes = f.model.DataBytes * float64(f.model.Replicas) * float64(count) / float64(len(f.nodes))
	return f.end(steadySeconds)
}

func (f *fleet) joining() int {
	count := 0
	for _, m := range f.etcd.record.Ring.Members() {
		if m.State == ring.Joining {
			count++
		}
	}
	return count
}

package replication

import (
	"slices"

	"gannet/replication/internal/plant"
	"gannet/ring"
)

// peer is what a node knows about another. Times are patient.
type peer struct {
	heard        [detectors]int64
	traced       [traces]int64 // 0: none since it was heard last
	epoch        uint32        // the newest it has shown
	newsAt       int64         // not before then is it told about a newer one
	grantedUntil int64
}

func (n *Node) peer(id uint64) *peer {
	p := n.peers[id]
	if p == nil {
		p = &peer{}
		for d := range p.heard {
			p.heard[d] = n.patient // the benefit of the doubt
		}
		n.peers[id] = p
	}
	return p
}

func (n *Node) heard(from uint64, over Detector) {
	if over >= detectors {
		return
	}
	p := n.peer(from)
	p.heard[over] = n.patient
	p.traced = [traces]int64{}
}

func (n *Node) traced(e Traced) {
	if e.Sign < traces {
		n.peer(e.Of).traced[e.Sign] = n.patient
	}
}

// signAgainst is what a node has in hand against a member: both detectors silent, or
// both traces of a dead process on a living machine.
func (n *Node) signAgainst(p *peer) Sign {
	first, last := p.heard[0], p.heard[0]
	for _, at := range p.heard {
		first, last = min(first, at), max(last, at)
	}
	if n.planted(plant.OneDetector) {
		last = first
	}
	if n.patient-last >= n.cfg.SilenceNanos {
		return Silence
	}
	reset, refused := p.traced[ConnectionReset], p.traced[PortUnreachable]
	if reset != 0 && refused != 0 && max(reset, refused)-min(reset, refused) <= n.cfg.SignNanos {
		return Refused
	}
	return 0
}

// accuse gives evidence against members that seem dead. A member that was granted its
// fence is spared until the grant has lapsed. What is accused once stays accused in
// this epoch.
func (n *Node) accuse() {
	if !n.trusted || n.cold || !n.serves() {
		return
	}
	changed := false
	for i := range n.members() {
		m := &n.members()[i]
		if m.ID == n.self || m.State == ring.Down || n.promises.accuses(m.ID) {
			continue
		}
		p := n.peer(m.ID)
		sign := n.signAgainst(p)
		if sign == 0 || n.patient < p.grantedUntil && !n.planted(plant.EvidenceWhileGrant) {
			continue
		}
		n.promises.accused = append(n.promises.accused, Accusation{Suspect: m.ID, Sign: sign})
		changed = true
	}
	if changed {
		n.remember() // before anybody hears of it
		n.report.changed = true
	}
}

// promises are what must survive this process: they bind the node for the epoch.
type promises struct {
	epoch    uint32
	resigned uint32 // the last epoch this node resigned from
	accused  []Accusation
}

func (p *promises) accuses(id uint64) bool {
	return slices.ContainsFunc(p.accused, func(a Accusation) bool { return a.Suspect == id })
}

// renew begins another epoch, in which nothing is promised yet.
func (p *promises) renew(epoch uint32) {
	if epoch > p.epoch {
		p.epoch, p.accused = epoch, nil
	}
}

// chatter shows life to all members, and asks their data paths for theirs.
func (n *Node) chatter() {
	if n.patient-n.beatAt < n.probeEvery() && n.beatAt != 0 {
		return
	}
	n.beatAt = n.patient
	for i := range n.members() {
		if id := n.members()[i].ID; id != n.self {
			n.send(id, Gossip, Beat{n.rec.Epoch()})
			n.do(Probe{id})
		}
	}
}

// probeEvery grows with the members, so that a node of hundreds sends about as much
// as one of a hundred, and stays well below the silence that accuses.
func (n *Node) probeEvery() int64 {
	every := max(n.cfg.ProbeNanos, int64(len(n.members()))*millisecond/2)
	return min(every, n.cfg.SilenceNanos/5)
}

package replication

import (
	"slices"

	"gannet/replication/internal/plant"
)

// fence remembers when the renewals that succeeded were sent, on this node's clock.
type fence struct {
	etcdSent int64            // the last renewal that etcd answered
	grants   map[uint64]int64 // by member: when the last ask it granted was sent
	asked    int64            // when grants were asked last
	tried    int64            // when etcd was asked last
	said     int64            // the deadline on the board
	firstTry int64            // when renewals began, for want of an answer
	lapsed   int64            // patient: since when no renewal stands, 0 = one does
	alone    bool             // acknowledging on its own account, see AcceptPartitioned
	refused  uint32           // the last epoch that etcd said is over
}

// lose forgets all renewals.
func (f *fence) lose() { f.etcdSent, f.grants, f.said, f.lapsed, f.alone = 0, nil, 0, 0, false }

// mayLead tells whether this node acknowledges writes in its epoch at all.
func (n *Node) mayLead() bool {
	return n.serves() && n.dataUp && !n.cold && n.promises.resigned != n.rec.Epoch()
}

// renew asks for what moves the fence on: etcd, and when that is silent the members.
func (n *Node) renew() {
	if !n.mayLead() {
		if n.fence.said != 0 && !n.handsOver() {
			n.fence.lose()
			n.do(SetFence{})
		}
		return
	}
	f := &n.fence
	if n.rec.Revision != 0 && n.now-f.tried >= n.cfg.RenewNanos {
		f.tried = n.now
		n.do(Renew{Revision: n.rec.Revision})
	}
	if n.now-max(f.etcdSent, f.firstTry) >= n.cfg.AskNanos && n.now-f.asked >= n.cfg.RenewNanos {
		f.asked = n.now
		n.askGrants()
	}
	n.setFence()
}

func (n *Node) askGrants() {
	n.takeGrant(n.self, n.now)
	for _, id := range n.rec.Voters() {
		if id != n.self {
			n.send(id, Gossip, GrantAsk{Epoch: n.rec.Epoch(), SentNanos: n.now})
		}
	}
}

func (n *Node) takeGrant(from uint64, sentNanos int64) {
	if n.fence.grants == nil {
		n.fence.grants = map[uint64]int64{}
	}
	n.fence.grants[from] = max(n.fence.grants[from], sentNanos)
}

// renewed: etcd had this node's ring. That ring is therefore the newest there was
// when the renewal was sent.
func (n *Node) renewed(e Renewed) {
	if e.Revision != n.rec.Revision {
		return
	}
	n.trusted = true
	sent := e.SentNanos
	if n.planted(plant.FenceFromReceipt) {
		sent = n.now
	}
	if sent > n.now {
		return
	}
	n.fence.etcdSent = max(n.fence.etcdSent, sent)
	n.setFence()
}

// granted: the answer carries this node's own clock back, so that it counts from when
// it was asked.
func (n *Node) granted(from uint64, e Grant) {
	if e.Epoch != n.rec.Epoch() || e.SentNanos > n.now || !slices.Contains(n.rec.Voters(), from) {
		return
	}
	sent := e.SentNanos
	if n.planted(plant.FenceFromReceipt) {
		sent = n.now
	}
	n.takeGrant(from, sent)
	n.setFence()
}

// majorityNanos is the latest moment at which a majority had been asked that granted.
func (n *Node) majorityNanos() int64 {
	var sent []int64
	for _, id := range n.rec.Voters() {
		if at := n.fence.grants[id]; at != 0 {
			sent = append(sent, at)
		}
	}
	need := majority(len(n.rec.Voters()))
	if n.planted(plant.MinorityGrants) {
		need = 1
	}
	if len(sent) < need {
		return 0
	}
	slices.Sort(sent)
	return sent[len(sent)-need]
}

func (n *Node) setFence() {
	if !n.mayLead() {
		return
	}
	at := max(n.fence.etcdSent, n.majorityNanos())
	if n.cfg.AcceptPartitioned {
		at = n.onOwnAccount(at)
	}
	if at == 0 {
		return
	}
	at += n.cfg.FenceNanos
	if n.planted(plant.AckPastFence) {
		at += 10 * n.cfg.FenceNanos
	}
	if at > max(n.fence.said, n.now) {
		n.fence.said = at
		n.do(SetFence{Nanos: at})
	}
}

// onOwnAccount is the moment that stands in for a renewal where writes are accepted in
// a partition. It takes a fence's length of silence after the lapse, in which this
// process ran: one that wakes from a stall hears first what happened meanwhile.
func (n *Node) onOwnAccount(sent int64) int64 {
	f := &n.fence
	if sent != 0 && n.now < sent+n.cfg.FenceNanos || !n.trusted || f.refused == n.rec.Epoch() {
		n.setAlone(false)
		f.lapsed = 0
		return sent
	}
	if f.lapsed == 0 {
		f.lapsed = n.patient
	}
	n.setAlone(n.patient-f.lapsed >= n.cfg.FenceNanos)
	if !f.alone {
		return sent
	}
	return n.now
}

// setAlone marks what is acknowledged alone before any of it is, and as long as such a
// fence stands.
func (n *Node) setAlone(alone bool) {
	f := &n.fence
	if f.alone == alone {
		return
	}
	if !alone {
		f.said = 0
		n.do(SetFence{})
	}
	f.alone = alone
	n.say()
}

// refused: etcd has another ring. Whoever knows that is not cut off.
func (n *Node) refused(e RenewRefused) {
	if e.Revision == n.rec.Revision {
		n.fence.refused = n.rec.Epoch()
	}
	n.askRing()
}

// asked grants a leader its fence: under the newest epoch this node knows, and never
// against its own evidence.
func (n *Node) asked(from uint64, e GrantAsk) {
	epoch := n.rec.Epoch()
	if n.planted(plant.GrantOldEpoch) && e.Epoch < epoch {
		epoch = e.Epoch
	}
	if e.Epoch != epoch || !n.trusted || !n.votes(from) {
		return
	}
	if n.promises.accuses(from) && !n.planted(plant.GrantAfterEvidence) {
		return
	}
	n.peer(from).grantedUntil = n.patient + n.cfg.FenceNanos + n.cfg.MarginNanos
	n.send(from, Gossip, Grant(e))
}

// votes: grants go from voter to voter; one that lost its items has no voice until it
// is told what to do.
func (n *Node) votes(from uint64) bool {
	if n.planted(plant.GrantOldEpoch) {
		return true
	}
	if n.cold || n.promises.resigned == n.rec.Epoch() {
		return false
	}
	voters := n.rec.Voters()
	return slices.Contains(voters, from) && slices.Contains(voters, n.self)
}

// askRing wants the newest ring from etcd, not too often.
func (n *Node) askRing() {
	if n.patient >= n.askRingAt {
		n.askRingAt = n.patient + 20*millisecond
		n.do(ReadRing{})
	}
}

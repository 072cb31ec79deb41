package client

// How far the search for source ports goes. A search ends when one port fits,
// or after portTries replies from ports that do not: then the NIC does not
// spread by port, or the node has fewer queues than shards.
const portTries = 64

// fit is what is known of a source port.
type fit uint8

const (
	fitUnknown fit = iota // no reply yet
	fitGood               // its requests arrive on the shard's own queue
	fitBad
)

// learner chooses among the source ports to one shard. Receive-side scaling
// hashes ports to queues in a way no client can compute, but every reply says on
// which queue its request arrived. The learner prefers ports that fit, swaps
// ports that do not for new ones until one fits, and is content with any when
// none does. It is pure: the sockets behind the slots are its caller's.
type learner struct {
	queue uint16 // the queue that is the shard's own
	fits  []fit
	good  int
	tries int
	turn  int
}

func newLearner(queue uint16, slots int) learner {
	return learner{queue: queue, fits: make([]fit, slots)}
}

// pick returns the slot for the next request.
func (l *learner) pick() int {
	l.turn++
	for range l.fits {
		slot := l.turn % len(l.fits)
		if l.good == 0 || l.fits[slot] != fitBad {
			return slot
		}
		l.turn++
	}
	return 0
}

// learn takes in the queue on which a request from slot arrived. It returns true
// when the slot should get a new source port.
func (l *learner) learn(slot int, queue uint16) (replace bool) {
	now := fitBad
	if queue == l.queue {
		now = fitGood
	}
	if l.fits[slot] == now {
		return false
	}
	if l.fits[slot] == fitGood {
		l.good--
	}
	l.fits[slot] = now
	if now == fitGood {
		l.good++
		return false
	}
	if l.good > 0 || l.tries >= portTries {
		return false
	}
	l.tries++
	l.fits[slot] = fitUnknown
	return true
}

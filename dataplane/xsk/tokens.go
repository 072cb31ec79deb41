package xsk

// tokens is the queue of completed tokens. A place is reserved at Send, so that a
// completion always finds one.
type tokens struct {
	slots      []uint64
	head, size int
	reserved   int // sent, not completed, plus size
}

func newTokens(capacity int) tokens { return tokens{slots: make([]uint64, capacity)} }

func (t *tokens) reserve() bool {
	if t.reserved == len(t.slots) {
		return false
	}
	t.reserved++
	return true
}

// push queues a token whose place was reserved.
func (t *tokens) push(token uint64) {
	t.slots[(t.head+t.size)%len(t.slots)] = token
	t.size++
}

func (t *tokens) take(into []uint64) int {
	n := min(len(into), t.size)
	for i := range n {
		into[i] = t.slots[t.head]
		t.head = (t.head + 1) % len(t.slots)
	}
	t.size -= n
	t.reserved -= n
	return n
}

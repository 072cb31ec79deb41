package porttest

// queue is a bounded first-in first-out queue. It never grows.
type queue[T any] struct {
	slots      []T
	head, size int
}

func newQueue[T any](capacity int) queue[T] { return queue[T]{slots: make([]T, capacity)} }

func (q *queue[T]) full() bool { return q.size == len(q.slots) }

func (q *queue[T]) push(v T) bool {
	if q.full() {
		return false
	}
	at := q.head + q.size
	if at >= len(q.slots) {
		at -= len(q.slots)
	}
	q.slots[at] = v
	q.size++
	return true
}

func (q *queue[T]) front() *T { return &q.slots[q.head] }

// at is the i-th, from the front.
func (q *queue[T]) at(i int) *T { return &q.slots[(q.head+i)%len(q.slots)] }

// toFront moves the i-th to the front; the order of the others stays.
func (q *queue[T]) toFront(i int) {
	v := *q.at(i)
	for ; i > 0; i-- {
		*q.at(i) = *q.at(i - 1)
	}
	*q.at(0) = v
}

func (q *queue[T]) pop() (v T, ok bool) {
	if q.size == 0 {
		return v, false
	}
	v = q.slots[q.head]
	q.head++
	if q.head == len(q.slots) {
		q.head = 0
	}
	q.size--
	return v, true
}

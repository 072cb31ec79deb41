package main

import "container/heap"

// queue is the simulation's clock: events in the order of their time, those of one
// time in the order in which they were put there.
type queue struct {
	now   int64
	count uint64
	heap  events
}

type event struct {
	at     int64
	number uint64
	do     func()
}

type events []event

func (e events) Len() int { return len(e) }

func (e events) Less(a, b int) bool {
	return e[a].at < e[b].at || e[a].at == e[b].at && e[a].number < e[b].number
}

func (e events) Swap(a, b int) { e[a], e[b] = e[b], e[a] }

func (e *events) Push(x any) { *e = append(*e, x.(event)) }

func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// after has something done later.
func (q *queue) after(nanos int64, do func()) {
	q.count++
	heap.Push(&q.heap, event{q.now + nanos, q.count, do})
}

// every has something done again and again, until it returns false.
func (q *queue) every(first, nanos int64, do func() bool) {
	q.after(first, func() {
		if do() {
			q.every(nanos, nanos, do)
		}
	})
}

// run goes on until the time is reached or done returns true.
func (q *queue) run(untilNanos int64, done func() bool) {
	for len(q.heap) > 0 && q.heap[0].at <= untilNanos && !done() {
		e := heap.Pop(&q.heap).(event)
		q.now = e.at
		e.do()
	}
}

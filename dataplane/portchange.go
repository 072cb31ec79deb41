package dataplane

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gannet/board"
	"gannet/dataplane/port"
)

// A loop's port can be exchanged while it serves: the interface was reset, its
// queues have changed, or a rung of the ladder has turned out bad. A hardware queue
// takes one socket at a time, so the old port goes first; in between the loop has
// none, and does all but receive and send. Items stay where they are; requests that
// were under way are asked again by their clients.
//
// While there is no port, slots that were in flight stay pinned: a card may go on
// reading them until the kernel has taken its queue back. That it has is certain once
// something else is bound to it, so the pins end with the new port.
type portChange struct {
	next  atomic.Pointer[portRequest] // set by ChangePort, taken by the loop
	wake  atomic.Pointer[func()]      // of the present port
	ended chan struct{}               // closed when Run returns
	past  port.Drops                  // of the ports before
}

type portRequest struct {
	port  port.Port // nil = none for now
	stamp func(int64)
	err   error         // of the old port's end; written by the loop before it closes taken
	taken chan struct{} // closed by the loop
}

// errLoopEnded says that a loop runs no more.
var errLoopEnded = errors.New("dataplane: the loop has ended")

// ChangePort closes the port of a loop that runs, and gives it p, nil for none until
// the next change. stamp takes the place of Config.Stamp. The loop owns p from then
// on, unless an error says that it has ended. One change may be under way at a time.
func (l *Loop) ChangePort(p port.Port, stamp func(int64)) error {
	r := &portRequest{port: p, stamp: stamp, taken: make(chan struct{})}
	l.change.next.Store(r)
	l.Wake()
	select {
	case <-r.taken:
		return r.err
	case <-l.change.ended:
		return fmt.Errorf("change the port of shard %d: %w", l.cfg.Shard, errLoopEnded)
	}
}

// Wake ends the loop's sleep. It is safe to call from any goroutine.
func (l *Loop) Wake() { (*l.change.wake.Load())() }

func (l *Loop) initPortChange() {
	l.change.ended = make(chan struct{})
	wake := l.port.Wake
	l.change.wake.Store(&wake)
}

// changePort does what ChangePort asks for, if anything.
func (l *Loop) changePort() {
	if l.change.next.Load() == nil {
		return
	}
	r := l.change.next.Swap(nil)
	l.cfg.Stamp = r.stamp
	l.hot.drop() // its table goes with the port
	r.err = l.takePort(r.port)
	close(r.taken)
}

// takePort gives everything that is held back to the present port, and closes it.
func (l *Loop) takePort(p port.Port) error {
	l.giveUp()
	err := l.port.Close()
	l.port.Drops(&l.change.past)
	if p == nil {
		p = newNoPort()
	} else {
		l.store.UnpinAll()
		l.counts.n[board.CountPortChanges]++
	}
	l.usePort(p)
	if err != nil {
		return fmt.Errorf("shard %d: close its port: %w", l.cfg.Shard, err)
	}
	return nil
}

// usePort makes p the loop's port.
func (l *Loop) usePort(p port.Port) {
	l.port, l.caps = p, p.Caps()
	l.tailBytes = l.cfg.tailBytes(l.caps)
	l.sums = l.caps.Rung != port.RungUDP
	if frames := p.Census().All; frames > cap(l.tx) {
		l.tx = make([]port.Tx, 0, frames)
	}
	wake := p.Wake
	l.change.wake.Store(&wake)
}

// noPort stands in while a loop has no port.
type noPort struct{ wake chan struct{} }

var _ port.Port = noPort{}

func newNoPort() noPort { return noPort{make(chan struct{}, 1)} }

func (noPort) Caps() port.Caps                              { return port.Caps{MaxBatch: batchDatagrams} }
func (noPort) Recv([]port.Rx) int                           { return 0 }
func (noPort) Send([]port.Tx) int                           { return 0 }
func (noPort) Release(port.Frame)                           {}
func (noPort) Lease(port.Frame) (port.Rx, bool)             { return port.Rx{}, false }
func (noPort) Raw(port.Frame) []byte                        { return nil }
func (noPort) Import([]byte, uint16, int64) (port.Rx, bool) { return port.Rx{}, false }
func (noPort) Flush() error                                 { return nil }
func (noPort) Completed([]uint64) int                       { return 0 }
func (noPort) Census() port.Census                          { return port.Census{} }
func (noPort) Drops(*port.Drops)                            {}
func (noPort) Close() error                                 { return nil }

func (n noPort) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n noPort) Wait(timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-n.wake:
	case <-timer.C:
	}
	return nil
}

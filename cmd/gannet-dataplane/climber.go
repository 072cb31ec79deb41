package main

import (
	"runtime"
	"time"
)

// climber is the one thread that can raise privileges again once the node serves: a
// new rung needs new sockets and another XDP program. The shards' threads and the
// main one hold none, not even to raise; the others hold them, as this one does,
// permitted but without effect.
type climber struct{ work chan func() }

// startClimber starts it where the rung may change.
func (n *node) startClimber() {
	if !n.usesInterface() {
		return
	}
	n.rungs.events = make(chan struct{}, 1)
	n.rungs.seen = n.look()
	n.planRetry(time.Now(), nil)
	c := &climber{work: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: nobody else shall run on it
		for work := range c.work {
			work()
		}
	}()
	n.climber = c
}

// do runs f with privileges, and waits for it.
func (c *climber) do(f func() error) error {
	done := make(chan error)
	c.work <- func() {
		if err := raisePrivileges(); err != nil {
			done <- err
			return
		}
		err := f()
		lowerPrivileges()
		done <- err
	}
	return <-done
}

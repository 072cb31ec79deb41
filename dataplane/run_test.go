package dataplane

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestRunStampsAfterWork, also while no heartbeat is due: the clock stands still.
func TestRunStampsAfterWork(t *testing.T) {
	var stamps atomic.Int64
	r := newRig(t, rigOptions{config: Config{Stamp: func(int64) { stamps.Add(1) }}})
	ask, now := datagram(r.header(), get("k")), r.now
	var stop Stop
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.loop.Run(&stop, -1, func() int64 { return now }); err != nil {
			t.Error(err)
		}
	})
	<-r.loop.Started()
	before := stamps.Load()
	if !r.port.Inject(ask, r.from) {
		t.Fatal("no frame")
	}
	for deadline := time.Now().Add(time.Minute); stamps.Load() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("no stamp in a minute")
			break
		}
	}
	stop.Set()
	r.port.Wake()
	running.Wait()
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gannet/board"
	"gannet/dataplane"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/security"
	"gannet/shard"
	"gannet/test/lab/space"
	"gannet/test/rows"
	"gannet/wire"
)

const (
	wheelHeld    = 64 // replies on the wheel at once
	wheelReplies = 20_000
	wheelMost    = 2000 // µs, of an offset
	// wheelRest is between batches: the kernel stops threads with precedence that spin
	// for a second.
	wheelRest = 200 * time.Millisecond
)

// measureWheel grants replies random offsets, on a loop that spins, and compares when
// they are sent with when they should be.
func measureWheel(t *rows.Table, full bool) error {
	batches := 1
	if full {
		batches = 50
	}
	w, err := newWheelRig()
	if err != nil {
		return err
	}
	var late []int64
	err = space.OnOwnThread(func() (err error) {
		precede()
		for i := 0; i < batches && err == nil; i++ {
			var more []int64
			more, err = w.run(wheelReplies)
			late = append(late, more...)
			time.Sleep(wheelRest)
		}
		return err
	})
	if err = errors.Join(err, w.close()); err != nil {
		return err
	}
	if early := slices.Min(late); early < 0 {
		return fmt.Errorf("a reply left %d ns before its time", -early)
	}
	t.Report("wheel_error_us", quantile(late, 0.99)/1e3, int64(len(late)), "µs",
		fmt.Sprintf("p99 of departure minus grant, a spinning loop on a port in memory; p50 %.2f, %d replies held, offsets to %d µs",
			quantile(late, 0.5)/1e3, wheelHeld, wheelMost))
	return nil
}

// wheelRig is a loop with its port, driven on this goroutine.
type wheelRig struct {
	dir     string
	board   *board.Board
	loop    *dataplane.Loop
	port    *porttest.Memory
	cookies *security.Cookies
	from    port.Addr
}

func newWheelRig() (_ *wheelRig, err error) {
	w := &wheelRig{from: port.Addr{Port: 40000}, cookies: security.NewCookies([16]byte{1}, int64(time.Hour))}
	copy(w.from.IP[10:], []byte{0xff, 0xff, 10, 0, 0, 1})
	if w.dir, err = os.MkdirTemp("", "gannet-wheel-"); err != nil {
		return nil, err
	}
	if w.board, err = board.Create(filepath.Join(w.dir, "board"), board.Spec{Shards: 1}); err != nil {
		return nil, err
	}
	store, _, err := shard.Open(shard.Config{MemoryBytes: serverMemory, Policy: "default", NUMANode: -1}, port.BootNanos())
	if err != nil {
		return nil, err
	}
	w.port = porttest.New(porttest.Options{NowNanos: port.BootNanos})
	w.loop, err = dataplane.New(dataplane.Config{
		Shards: 1, Port: w.port, Store: store, Board: w.board, Cookies: w.cookies, Policy: "default",
		MemoryBytes: serverMemory, BasePort: dataPort, Clock: port.BootNanos,
	})
	return w, err
}

func (w *wheelRig) close() error {
	return errors.Join(w.loop.Close(), w.board.Close(), os.RemoveAll(w.dir))
}

// run keeps wheelHeld replies on the wheel until so many have left, and returns how
// late each was.
func (w *wheelRig) run(replies int) (late []int64, err error) {
	late = make([]int64, 0, replies)
	wanted := map[uint64]int64{}
	var next uint64
	var reply wire.Reply
	for end := time.Now().Add(time.Minute); len(late) < replies; {
		if time.Now().After(end) {
			return nil, fmt.Errorf("only %d of %d replies in a minute", len(late), replies)
		}
		for len(wanted) < wheelHeld {
			next++
			if !w.ask(next, wanted) {
				return nil, errors.New("the port has no frame")
			}
		}
		w.loop.Turn(port.BootNanos())
		for payload, _, ok := w.port.Take(); ok; payload, _, ok = w.port.Take() {
			now := port.BootNanos()
			if reason := wire.ParseReply(payload, &reply); reason != wire.ReasonNone {
				return nil, fmt.Errorf("reply does not parse: %v", reason)
			}
			late = append(late, now-wanted[reply.RequestID])
			delete(wanted, reply.RequestID)
		}
	}
	return late, nil
}

// ask injects a GET with a grant, and notes when its reply should leave.
func (w *wheelRig) ask(id uint64, wanted map[uint64]int64) bool {
	now := port.BootNanos()
	offset := uint32(50 + id*7919%wheelMost)
	key := []byte("none")
	h := wire.RequestHeader{
		RequestID: id, SessionID: 7, KeyHash: wire.KeyHash(key), Cookie: w.cookies.Make(w.from.IP, w.from.Port, now),
		GrantOffsetMicros: offset, GrantRateKbit: 1e6,
	}
	request := wire.AppendOp(wire.AppendRequest(nil, &h), 0, &wire.Op{Code: wire.Get, Key: key})
	// The port stamps the arrival itself: within the two readings around it.
	if !w.port.Inject(request, w.from) {
		return false
	}
	wanted[id] = now + int64(offset)*1000
	return true
}

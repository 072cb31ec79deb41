package porttest

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"gannet/dataplane/port"
)

var (
	peer4 = port.Addr{IP: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 7}, Port: 40000}
	peer6 = port.Addr{IP: [16]byte{0: 0xfd, 15: 9}, Port: 40001}
)

func TestConform(t *testing.T) {
	shapes := map[string]struct {
		options Options
		peer    port.Addr
	}{
		"plain":           {Options{}, peer4},
		"strict":          {Options{Strict: true}, peer4},
		"two segments":    {Options{Strict: true, MaxSegments: 2}, peer4},
		"IPv6":            {Options{Strict: true, MaxSegments: 2}, peer6},
		"late":            {Options{Strict: true, MaxSegments: 2, LateFlushes: 7}, peer4},
		"back pressure":   {Options{Strict: true, SendAtMost: 3}, peer4},
		"little room":     {Options{Strict: true, TxSlots: 4, LateFlushes: 2}, peer4},
		"few frames":      {Options{Strict: true, Frames: 40, FillFrames: 24}, peer4},
		"queue and port":  {Options{Strict: true, Queue: 3, LocalPort: 9803}, peer4},
		"frames of 4,096": {Options{Strict: true, FrameBytes: 4096, MaxPayload: 3400}, peer4},
	}
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			Conform(t, func(t *testing.T) Setup {
				m := New(s.options)
				t.Cleanup(func() { _ = m.Close() })
				return Setup{Port: m, Peer: m.Peer(s.peer)}
			})
		})
	}
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s did not panic", what)
		}
	}()
	f()
}

func TestStrictFindsBrokenContracts(t *testing.T) {
	fresh := func() (*Memory, port.Rx) {
		m := New(Options{Strict: true, MaxSegments: 2})
		m.Inject(make([]byte, 128), peer4)
		rx := make([]port.Rx, 1)
		if m.Recv(rx) != 1 {
			t.Fatal("the injected datagram did not arrive")
		}
		return m, rx[0]
	}
	m, rx := fresh()
	m.Send([]port.Tx{{Frame: rx.Frame, Bytes: 10}})
	mustPanic(t, "sending a frame twice", func() { m.Send([]port.Tx{{Frame: rx.Frame, Bytes: 10}}) })
	mustPanic(t, "releasing a sent frame", func() { m.Release(rx.Frame) })
	mustPanic(t, "naming a frame that does not exist", func() { m.Release(9999) })

	m, rx = fresh()
	m.Send([]port.Tx{{Frame: rx.Frame, Bytes: 10}})
	rx.Payload[3]++
	mustPanic(t, "writing a sent frame", func() { _ = m.Flush() })

	m, rx = fresh()
	tail := make([]byte, 100)
	m.Send([]port.Tx{{Frame: rx.Frame, Bytes: 10, Tail: tail}})
	tail[99] = 1
	mustPanic(t, "writing a sent tail", func() { _ = m.Flush() })

	m, rx = fresh()
	m.Release(rx.Frame)
	if !bytes.Equal(rx.Payload, bytes.Repeat([]byte{PoisonByte}, 128)) {
		t.Error("a released frame is not poisoned")
	}
}

func TestLossIsCounted(t *testing.T) {
	m := New(Options{Frames: 8, FillFrames: 4})
	if m.Inject(make([]byte, 4096), peer4) {
		t.Error("a datagram longer than a frame arrived")
	}
	for range 4 {
		if !m.Inject(make([]byte, 64), peer4) {
			t.Error("lost although frames were lent to the wire")
		}
	}
	if m.Inject(make([]byte, 64), peer4) {
		t.Error("arrived although no frame was lent to the wire")
	}
	m.Reset()
	if n := m.Recv(make([]port.Rx, 8)); n != 0 {
		t.Errorf("%d datagrams survived the reset", n)
	}
	var d port.Drops
	m.Drops(&d)
	if d[port.DropTruncated] != 1 || d[port.DropKernelNoFill] != 1 {
		t.Errorf("drops %v", d)
	}
}

func TestResetLosesButCompletes(t *testing.T) {
	m := New(Options{MaxSegments: 2, LateFlushes: 100})
	m.Inject(make([]byte, 64), peer4)
	rx := make([]port.Rx, 1)
	m.Recv(rx)
	m.Send([]port.Tx{{Frame: rx[0].Frame, Bytes: 8, Tail: make([]byte, 8), Token: 77}})
	m.Reset()
	if _, _, ok := m.Take(); ok {
		t.Error("a datagram left despite the reset")
	}
	// Late completions stay late: the token comes only after the flushes.
	for range 101 {
		_ = m.Flush()
	}
	tokens := make([]uint64, 2)
	if m.Completed(tokens) != 1 || tokens[0] != 77 {
		t.Errorf("tokens %v", tokens)
	}
	if c := m.Census(); !c.Balanced() || c.Held+c.Tx+c.Completion != 0 {
		t.Errorf("census %+v", c)
	}
}

// TestAnyOrderOfCalls does what a loop might do in any order; frames never get lost.
func TestAnyOrderOfCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(Options{
			Strict: true, Frames: rapid.IntRange(1, 12).Draw(t, "frames"),
			TxSlots:     rapid.IntRange(1, 12).Draw(t, "slots"),
			LateFlushes: rapid.IntRange(0, 3).Draw(t, "late"), MaxSegments: 2,
		})
		var held []port.Rx
		rx, tokens := make([]port.Rx, 4), make([]uint64, 2)
		wanted, got := 0, 0
		pick := func() port.Rx {
			i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
			r := held[i]
			held = append(held[:i], held[i+1:]...)
			return r
		}
		t.Repeat(map[string]func(*rapid.T){
			"inject": func(*rapid.T) { m.Inject(make([]byte, 32), peer4) },
			"recv":   func(*rapid.T) { held = append(held, rx[:m.Recv(rx)]...) },
			"release": func(t *rapid.T) {
				if len(held) > 0 {
					m.Release(pick().Frame)
				}
			},
			"send": func(t *rapid.T) {
				if len(held) == 0 {
					return
				}
				r := pick()
				if m.Send([]port.Tx{{Frame: r.Frame, Bytes: 16, Tail: make([]byte, 8), Token: 5}}) == 1 {
					wanted++
				} else {
					held = append(held, r)
				}
			},
			"lease": func(*rapid.T) {
				if len(held) > 0 {
					if l, ok := m.Lease(held[0].Frame); ok {
						held = append(held, l)
					}
				}
			},
			"flush":     func(*rapid.T) { _ = m.Flush() },
			"stall":     func(t *rapid.T) { m.Stall(rapid.Bool().Draw(t, "stalled")) },
			"reset":     func(*rapid.T) { m.Reset() },
			"completed": func(*rapid.T) { got += m.Completed(tokens) },
			"": func(t *rapid.T) {
				if c := m.Census(); !c.Balanced() || c.Held != len(held) {
					t.Fatalf("census %+v with %d frames held", c, len(held))
				}
				if got > wanted {
					t.Fatalf("%d tokens for %d sends", got, wanted)
				}
			},
		})
	})
}

func BenchmarkEcho(b *testing.B) {
	m := New(Options{Sink: func(_, _ []byte, _ port.Addr) {}})
	rx, tx := make([]port.Rx, 64), make([]port.Tx, 64)
	payload := make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		for range 64 {
			m.Inject(payload, peer4)
		}
		n := m.Recv(rx)
		for i := range n {
			tx[i] = port.Tx{Frame: rx[i].Frame, Bytes: 128}
		}
		m.Send(tx[:n])
		_ = m.Flush()
	}
}

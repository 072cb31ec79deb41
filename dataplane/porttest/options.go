package porttest

import "gannet/dataplane/port"

// Options shapes a memory port. The zero value is a well-behaved port.
type Options struct {
	Frames      int    // frames in all; 0 = 256
	FrameBytes  int    // bytes a frame, headroom included; 0 = 2048
	FillFrames  int    // most frames lent to the wire at once; 0 = half of Frames
	TxSlots     int    // datagrams sent and not completed; 0 = Frames. Send takes no more
	MaxBatch    int    // 0 = 64
	MaxPayload  int    // for IPv4 peers; 0 = 1472. IPv6 peers get 20 less
	MaxSegments int    // 1 or 2; 0 = 1
	Queue       uint16 // reported as Caps.Queue and Rx.Queue
	LocalPort   uint16 // 0 = 9800

	// Strict checks the contract and panics where it is broken. It hashes every
	// sent byte twice: leave it off in benchmarks.
	Strict bool
	// LateFlushes keeps transmitted frames uncompleted for that many Flushes more.
	LateFlushes int
	// InPlace lets datagrams with room in front of their tail leave in one piece: the
	// frame's part is copied into that room.
	InPlace bool
	// NextCompletion, when set, says which of n transmitted datagrams, oldest first,
	// completes next: 0 to n-1, or -1 for none now. It replaces LateFlushes.
	NextCompletion func(n int) int
	// LoseAtReset makes Reset lose completions as well: slots and frames in flight
	// never come back, as from a device that is gone.
	LoseAtReset bool
	// SendAtMost makes each Send take no more than that many, so that callers meet
	// backpressure all the time; 0 = no limit.
	SendAtMost int
	// Sink, when set, gets each transmitted datagram in place of Take's queue. The
	// two pieces are valid during the call only. It is called by the port's owner.
	Sink func(frame, tail []byte, to port.Addr)
	// Replies is how many transmitted datagrams may wait for Take; 0 = 4 × Frames.
	// More are lost and counted as DropTxError.
	Replies int
	// NowNanos gives arrival times (CLOCK_BOOTTIME); nil reads the clock.
	NowNanos func() int64
}

const headroomBytes = 64

func orElse(v, fallback int) int {
	if v > 0 {
		return v
	}
	return fallback
}

func (o Options) withDefaults() Options {
	o.Frames = orElse(o.Frames, 256)
	o.FrameBytes = orElse(o.FrameBytes, 2048)
	o.FillFrames = min(orElse(o.FillFrames, max(1, o.Frames/2)), o.Frames)
	o.TxSlots = orElse(o.TxSlots, o.Frames)
	o.MaxBatch = orElse(o.MaxBatch, 64)
	o.MaxPayload = min(orElse(o.MaxPayload, 1472), o.FrameBytes-headroomBytes)
	o.MaxSegments = orElse(o.MaxSegments, 1)
	o.Replies = orElse(o.Replies, 4*o.Frames)
	if o.LocalPort == 0 {
		o.LocalPort = 9800
	}
	if o.NowNanos == nil {
		o.NowNanos = port.BootNanos
	}
	return o
}

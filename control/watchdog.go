package control

// Watchdog decides when a data plane is frozen. It is a pure step function: Tick
// gets the time and what stands on the board, and returns a verdict.
//
// Silence is counted in time during which this process ran: the gap between two
// ticks counts for creditNanos at most, however long it was. A data plane that
// wants to run and gets no CPU is not frozen; it is spared up to sparedLimits times
// the limit.
type Watchdog struct {
	limitNanos  int64
	creditNanos int64

	started  bool
	lastTick int64
	target   Target
	pulses   []pulse
	killed   bool // the verdict on this target has been passed
}

type pulse struct {
	beatNanos   int64
	silentNanos int64
}

// Target names a data plane for good: process ids are reused, with their start
// time they are not.
type Target struct {
	PID        int
	StartTicks uint64
}

// Verdict is what a tick found.
type Verdict struct {
	Kill        bool
	Shard       int   // the most silent one
	SilentNanos int64 // how long
}

// sparedLimits bounds how long starvation is an excuse, in limits.
const sparedLimits = 10

// NewWatchdog makes a watchdog that is ticked every tickNanos and bites after
// limitNanos of silence.
func NewWatchdog(limitNanos, tickNanos int64) *Watchdog {
	// Ticks come late on a busy machine; twice the interval still is "it ran".
	return &Watchdog{limitNanos: limitNanos, creditNanos: 2 * tickNanos}
}

// Tick compares the heartbeats with those of the tick before. serving tells whether
// the data plane claims to serve: one that is starting up or draining owes no
// heartbeat. starved is asked from half the limit on, whether a thread of the data
// plane has waited for a CPU since it was asked last. Kill is returned once for each
// target.
func (w *Watchdog) Tick(nowNanos int64, target Target, serving bool, beats []int64, starved func() bool) Verdict {
	ran := w.ranNanos(nowNanos)
	if target != w.target || len(beats) != len(w.pulses) {
		w.target, w.killed = target, false
		w.pulses = make([]pulse, len(beats))
	}
	if !serving || target.PID == 0 {
		for i := range w.pulses {
			w.pulses[i] = pulse{beatNanos: beats[i]}
		}
		return Verdict{}
	}
	verdict := w.listen(ran, beats)
	excused := verdict.SilentNanos >= w.limitNanos/2 && starved() && verdict.SilentNanos < sparedLimits*w.limitNanos
	verdict.Kill = verdict.SilentNanos >= w.limitNanos && !excused && !w.killed
	w.killed = w.killed || verdict.Kill
	return verdict
}

func (w *Watchdog) ranNanos(nowNanos int64) int64 {
	ran := min(max(nowNanos-w.lastTick, 0), w.creditNanos)
	if !w.started {
		ran = 0
	}
	w.started, w.lastTick = true, nowNanos
	return ran
}

func (w *Watchdog) listen(ran int64, beats []int64) Verdict {
	var worst Verdict
	for i := range w.pulses {
		p := &w.pulses[i]
		if beats[i] != p.beatNanos {
			*p = pulse{beatNanos: beats[i]}
			continue
		}
		p.silentNanos += ran
		if p.silentNanos > worst.SilentNanos {
			worst = Verdict{Shard: i, SilentNanos: p.silentNanos}
		}
	}
	return worst
}

package board

import "sync/atomic"

// Control is the control process's word on itself. Writer: control process.
type Control struct{ words []atomic.Uint64 }

const (
	controlBytes   = lineBytes
	controlPID     = 0
	controlStarted = 1
	controlBeat    = 2
	controlKills   = 3
)

// Control returns the control process's area.
func (b *Board) Control() *Control { return &Control{b.words(AreaControl, 0)} }

// Start is called by a control process that has come up.
func (c *Control) Start(pid int, nowNanos int64) {
	c.words[controlStarted].Store(uint64(nowNanos))
	c.words[controlPID].Store(uint64(pid))
	c.Beat(nowNanos)
}

// PID returns the process id, 0 = none yet.
func (c *Control) PID() int { return int(c.words[controlPID].Load()) }

// StartedNanos returns when the control process started.
func (c *Control) StartedNanos() int64 { return int64(c.words[controlStarted].Load()) }

// Beat says that the control process is alive.
func (c *Control) Beat(nowNanos int64) { c.words[controlBeat].Store(uint64(nowNanos)) }

// BeatNanos returns when it said so last.
func (c *Control) BeatNanos() int64 { return int64(c.words[controlBeat].Load()) }

// CountKill counts a frozen data plane that the watchdog killed.
func (c *Control) CountKill() { c.words[controlKills].Add(1) }

// Kills returns how many frozen data planes the watchdog killed.
func (c *Control) Kills() uint64 { return c.words[controlKills].Load() }

// Fence is the moment after which no write is acknowledged. Writer: control process.
type Fence struct{ word *atomic.Uint64 }

// Fence returns the fence's area.
func (b *Board) Fence() *Fence { return &Fence{&b.words(AreaFence, 0)[0]} }

// Set moves the fence.
func (f *Fence) Set(bootNanos int64) { f.word.Store(uint64(bootNanos)) }

// Nanos returns the fence; 0 = no write is allowed yet.
func (f *Fence) Nanos() int64 { return int64(f.word.Load()) }

// Allows says whether a write may be acknowledged at the given time.
func (f *Fence) Allows(nowNanos int64) bool { return nowNanos < f.Nanos() }

// Heartbeat is a shard's sign of life. Writer: that shard.
type Heartbeat struct{ words []atomic.Uint64 }

// Heartbeat returns a shard's heartbeat.
func (b *Board) Heartbeat(shard int) *Heartbeat { return &Heartbeat{b.words(AreaHeartbeat, shard)} }

// Beat says that the shard's loop turned.
func (h *Heartbeat) Beat(nowNanos int64, turns uint64) {
	h.words[1].Store(turns)
	h.words[0].Store(uint64(nowNanos))
}

// SetThread names the kernel thread of the shard.
func (h *Heartbeat) SetThread(tid int) { h.words[2].Store(uint64(tid)) }

// SetEpoch says that the shard gives versions of an epoch from now on: all older
// ones stand in its log.
func (h *Heartbeat) SetEpoch(epoch uint32) { h.words[3].Store(uint64(epoch)) }

// SetVersion says which version the shard gave last, before the beat that follows.
func (h *Heartbeat) SetVersion(version uint64) { h.words[4].Store(version) }

// Version returns it.
func (h *Heartbeat) Version() uint64 { return h.words[4].Load() }

// SetTombstones says since when the shard remembers every delete.
func (h *Heartbeat) SetTombstones(sinceNanos int64) { h.words[5].Store(uint64(sinceNanos)) }

// TombstonesNanos returns it.
func (h *Heartbeat) TombstonesNanos() int64 { return int64(h.words[5].Load()) }

// SetPatient says that no acknowledgement waits for followers: what they have need not
// be told to a shard that sleeps. A shard that becomes impatient looks at Replicated
// once more before it sleeps.
func (h *Heartbeat) SetPatient(patient bool) {
	word := uint64(0)
	if patient {
		word = 1
	}
	h.words[6].Store(word)
}

// Patient returns it.
func (h *Heartbeat) Patient() bool { return h.words[6].Load() != 0 }

// Epoch returns the epoch whose versions the shard gives.
func (h *Heartbeat) Epoch() uint32 { return uint32(h.words[3].Load()) }

// Nanos returns when the loop turned last, 0 = never.
func (h *Heartbeat) Nanos() int64 { return int64(h.words[0].Load()) }

// Turns returns how often the loop turned.
func (h *Heartbeat) Turns() uint64 { return h.words[1].Load() }

// Thread returns the kernel thread of the shard, 0 = none yet.
func (h *Heartbeat) Thread() int { return int(h.words[2].Load()) }

package replication

import "gannet/replication/internal/plant"

const millisecond = int64(1e6)

// Config holds the durations of the group's logic. The zero value of a field means
// its default.
type Config struct {
	// FenceNanos is how far the fence stands ahead of its renewal's sending: the time
	// that every change of a leader costs, and the longest stall of etcd and of the
	// other members that writes do not notice.
	FenceNanos int64 // 200 ms
	// MarginNanos is added wherever something must have lasted: two ticks, and the
	// drift of two clocks over a fence (1,000 ppm each: 0.4 ms).
	MarginNanos int64 // 25 ms
	// RenewNanos is the time between two renewals. Three of them fit into a fence, so
	// one may be lost.
	RenewNanos int64 // 60 ms
	// AskNanos of etcd's silence make a node ask the members for grants.
	AskNanos int64 // 100 ms
	// SilenceNanos is how long both detectors must have heard nothing.
	SilenceNanos int64 // 750 ms
	// ProbeNanos is the time between two signs of life to each member; it grows with
	// the members, see probeEvery.
	ProbeNanos int64 // 50 ms
	// SignNanos is how near to each other a reset and an unreachable port must be.
	SignNanos int64 // 500 ms
	// LagNanos bounds the age of the oldest unreplicated write under which
	// acknowledgements are not marked degraded.
	LagNanos int64 // 50 ms
	// TombstoneNanos is how long deletes are remembered by every data plane.
	TombstoneNanos int64 // 60 s
	// RetainBytes is the window of a shard's log that is kept for followers that
	// reconnect; WindowBytes what may be on its way to one follower.
	RetainBytes int // 64 MiB
	WindowBytes int // 4 MiB
	// RepairBytesPerSecond limits what one follower's repair reads.
	RepairBytesPerSecond int // 100 MB
	// GatherNanos is how long a controller that can promote waits for the other
	// members of a common failure; SettleNanos how long one that was down must be
	// well before it returns; LossNanos how long a loss counts as happening at once
	// with others.
	GatherNanos int64 // 30 ms
	SettleNanos int64 // 1 s
	LossNanos   int64 // 30 s
	// AcceptPartitioned lets a leader that reaches neither etcd nor a majority go on
	// acknowledging, every write marked degraded: what it took is lost if the others
	// have chosen another leader meanwhile. Otherwise it refuses.
	AcceptPartitioned bool
	// Expect is how many members a first ring waits for.
	Expect int // 1
	// Replicas is the size of the replica sets of a first ring.
	Replicas uint8 // 2

	plant plant.Fault
}

// Plant returns the configuration with a fault in it: see package plant, which only
// the tests of this package can import.
func (c Config) Plant(f plant.Fault) Config {
	c.plant = f
	return c
}

func (c *Config) has(f plant.Fault) bool { return c.plant == f }

func orDefault[T int | int64 | uint8](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// WithDefaults fills the fields that are 0.
func (c Config) WithDefaults() Config {
	orDefault(&c.FenceNanos, 200*millisecond)
	orDefault(&c.MarginNanos, 25*millisecond)
	orDefault(&c.RenewNanos, 60*millisecond)
	orDefault(&c.AskNanos, 100*millisecond)
	orDefault(&c.SilenceNanos, 750*millisecond)
	orDefault(&c.ProbeNanos, 50*millisecond)
	orDefault(&c.SignNanos, 500*millisecond)
	orDefault(&c.LagNanos, 50*millisecond)
	orDefault(&c.TombstoneNanos, 60_000*millisecond)
	orDefault(&c.RetainBytes, 64<<20)
	orDefault(&c.WindowBytes, 4<<20)
	orDefault(&c.RepairBytesPerSecond, 100_000_000)
	orDefault(&c.GatherNanos, 30*millisecond)
	orDefault(&c.SettleNanos, 1000*millisecond)
	orDefault(&c.LossNanos, 30_000*millisecond)
	orDefault(&c.Expect, 1)
	orDefault(&c.Replicas, 2)
	return c
}

package replication

// Event is what happens to a Node or a Controller.
type Event interface{ event() }

// Tick comes every 10 ms or so, and after each event's actions nothing else is owed.
type Tick struct{}

// RecordSeen brings the ring: from etcd (Linear says that it was read from a quorum
// after this process had started) or from elsewhere.
type RecordSeen struct {
	Record Record
	Linear bool
}

// Renewed says that etcd still had the ring of Revision when it answered the renewal
// sent at SentNanos.
type Renewed struct {
	Revision  int64
	SentNanos int64
}

// RenewRefused says that etcd has another ring than that of Revision.
type RenewRefused struct{ Revision int64 }

// Received brings a message; the transport has verified who sent it.
type Received struct {
	From    uint64
	Message Message
}

// Detector is a way in which a member's life shows.
type Detector uint8

// The detectors.
const (
	DataPath Detector = iota // an answer to a Probe
	Chatter                  // anything over gossip
	detectors
)

// Heard is a sign of life.
type Heard struct {
	From uint64
	Over Detector
}

// Trace is a sign of death.
type Trace uint8

// The traces.
const (
	ConnectionReset Trace = iota // of the control process
	PortUnreachable              // ICMP, from the data port
	traces
)

// Traced brings a sign of death.
type Traced struct {
	Of   uint64
	Sign Trace
}

// LinkUp and LinkDown tell about the stream between this node and a member. Messages
// of an earlier link never arrive after LinkUp.
type (
	LinkUp   struct{ With uint64 }
	LinkDown struct{ With uint64 }
)

// Appended is a piece of a shard's mutation log that the driver has read and keeps
// until Retain lets it go. Its versions are of one epoch.
type Appended struct {
	Shard     uint16
	Upto      uint64 // version of its last mutation
	Bytes     int
	BornNanos int64 // when its oldest mutation may have been made, at the earliest
}

// LogRead says that the shard's log was empty at AtNanos: all older writes came by
// Appended. An idle shard says so, too.
type LogRead struct {
	Shard   uint16
	AtNanos int64
}

// LogAt says that what is read next follows Upto, and that nothing before is kept: at
// the start of the driver, and when records were lost.
type LogAt struct {
	Shard uint16
	Upto  uint64
}

// Hinted says that the driver has read hints of a shard: they go out with this Step,
// or never.
type Hinted struct {
	Shard   uint16
	Records uint32
}

// Drained says that every write made under rings before Epoch came by Appended, and
// that the data plane makes no more of them.
type Drained struct{ Epoch uint32 }

// Applied says that the data plane has taken a batch.
type Applied struct {
	From  uint64
	Life  uint64
	Shard uint16
	Upto  uint64
}

// PartApplied says that the data plane has taken a part.
type PartApplied struct {
	From   uint64
	ID     uint64
	Number uint32
}

// Scanned answers Scan: the next piece of a repair is with the driver.
type Scanned struct {
	To      uint64
	ID      uint64
	Bytes   int
	Records uint32
	Last    bool
	// Upto, by shard, are the greatest versions that the data plane had given or seen
	// before the piece was read.
	Upto []uint64
}

// DataPlane tells that the data plane stopped (Up false), or is up again with its
// items (Cold false), or without them (Cold true: also when it never ran before).
type DataPlane struct {
	Up   bool
	Cold bool
	// SinceNanos is when it started on the boot clock: it remembers no older deletes.
	SinceNanos int64
}

// Want is the operator's: leave the ring, or be in it again.
type Want struct{ Leave bool }

// Elected tells a Controller whether it is the one that etcd elected.
type Elected struct{ Yes bool }

// Registered lists the members whose records stand in etcd under a live lease.
type Registered struct{ Members []Registration }

// Swapped tells how a Swap went; RecordSeen brings what stands there.
type Swapped struct{ Done bool }

// Reported brings a node's report to the Controller.
type Reported struct{ Report Report }

func (Tick) event()         {}
func (RecordSeen) event()   {}
func (Renewed) event()      {}
func (RenewRefused) event() {}
func (Received) event()     {}
func (Heard) event()        {}
func (Traced) event()       {}
func (LinkUp) event()       {}
func (LinkDown) event()     {}
func (Appended) event()     {}
func (LogRead) event()      {}
func (LogAt) event()        {}
func (Hinted) event()       {}
func (Drained) event()      {}
func (Applied) event()      {}
func (PartApplied) event()  {}
func (Scanned) event()      {}
func (DataPlane) event()    {}
func (Want) event()         {}
func (Elected) event()      {}
func (Registered) event()   {}
func (Swapped) event()      {}
func (Reported) event()     {}

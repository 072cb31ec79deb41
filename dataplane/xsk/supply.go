package xsk

// supply decides how many frames lie in the fill queue. The kernel takes them in turn,
// so that all of them pass through the cache: few stay in it from one packet to the
// next, many outlast a pause of the shard. Without a pause few are enough, so the
// number halves after some thousand packets that never made a queue, and doubles when
// there is one.
//
// That is for copy mode. A card in zero-copy mode takes its own queue's worth of frames
// out of the fill queue at once: it gets all.
type supply struct {
	frames      int // wanted in the fill queue
	least, most int
	calm        int // packets since a queue of a quarter of them was met
}

const (
	leastBatches = 4       // supply at least, in batches
	calmPackets  = 1 << 14 // after so many without a queue it halves
)

func newSupply(o *PortOptions) supply {
	most := min(o.Slots, o.Frames/2)
	s := supply{frames: most, least: most, most: most}
	if o.Bind == BindCopy {
		s.least = min(most, leastBatches*o.MaxBatch)
	}
	return s
}

// note is told at each reception how many packets wait.
func (s *supply) note(waiting int) {
	switch {
	case waiting > s.frames/2:
		s.frames, s.calm = min(2*s.frames, s.most), 0
	case waiting > s.frames/4:
		s.calm = 0
	default:
		if s.calm += waiting; s.calm >= calmPackets {
			s.frames, s.calm = max(s.frames/2, s.least), 0
		}
	}
}

// smallFrameBytes holds a packet of the usual MTU.
const smallFrameBytes = 2048

// frameBytes chooses the size of frames. Those of 4 KiB all begin in the same few sets
// of a cache, which then holds no more than some hundred of them: in copy mode, and
// without slabs to be cut into frames as well, smaller ones do where packets fit.
func (o *PortOptions) frameBytes(mtu int) int {
	if o.Bind == BindCopy && o.Slabs == nil && dataOffsetBytes+ethernetBytes+vlanBytes+mtu <= smallFrameBytes {
		return smallFrameBytes
	}
	return defaultFrameBytes
}

package wire

import "strconv"

const sequenceBits = 40

// MaxSequence is the greatest sequence number within an epoch.
const MaxSequence = 1<<sequenceBits - 1

// Version orders the writes of an item: epoch in the upper 24 bits, sequence in the lower 40. The greater integer wins everywhere.
// 0 is no version.
type Version uint64

// MakeVersion puts a version together; both parts are cut to their widths.
func MakeVersion(epoch uint32, sequence uint64) Version {
	return Version(uint64(epoch)<<sequenceBits | sequence&MaxSequence)
}

// Epoch of the ring under which the write was made.
func (v Version) Epoch() uint32 {
	return uint32(v >> sequenceBits)
}

// Sequence of the write within its epoch.
func (v Version) Sequence() uint64 {
	return uint64(v) & MaxSequence
}

func (v Version) String() string {
	return strconv.FormatUint(uint64(v.Epoch()), 10) + "." + strconv.FormatUint(v.Sequence(), 10)
}

package bpf

import "encoding/binary"

// MetaBytes is the size of the metadata the steering program puts in front of
// a redirected packet: [start-MetaBytes, start) of the frame.
const MetaBytes = 16

const metaMagic = 0x4D744E47 // "GNtM" in memory

// Meta is what the steering program knew about a packet.
//
//	0        8        12       16
//	+--------+--------+--------+
//	| arrival| queue  | magic  |   little-endian
//	+--------+--------+--------+
type Meta struct {
	ArrivalNanos int64  // CLOCK_BOOTTIME; a few packets of one turn may share a reading
	Queue        uint32 // rx queue
}

// ReadMeta reads the MetaBytes in front of a packet. It is false when the
// program could not write any.
//
// A frame keeps its bytes from use to use: whoever gives it to the fill queue
// calls ClearMeta where the next packet will start, lest old metadata be taken
// for new.
func ReadMeta(front []byte) (Meta, bool) {
	if len(front) < MetaBytes || binary.LittleEndian.Uint32(front[12:]) != metaMagic {
		return Meta{}, false
	}
	return Meta{
		ArrivalNanos: int64(binary.LittleEndian.Uint64(front)),
		Queue:        binary.LittleEndian.Uint32(front[8:]),
	}, true
}

// ClearMeta makes ReadMeta of the same bytes false.
func ClearMeta(front []byte) {
	if len(front) >= MetaBytes {
		clear(front[12:MetaBytes])
	}
}

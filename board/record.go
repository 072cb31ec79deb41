package board

import (
	"encoding/binary"
	"sync/atomic"
)

// record is a run of words behind a sequence lock: word 0 is the sequence (odd
// while being written), word 1 the length in bytes, the rest the data. It has one
// writer and any number of readers, in any process.
//
// Data words are atomic, too. With plain ones a reader on arm64 could move its
// loads past the second look at the sequence.
type record struct {
	words []atomic.Uint64
}

const (
	recordHeadBytes = 16
	readAttempts    = 64
)

func recordStride(bytes int) int64 {
	return int64((bytes+7)&^7) + recordHeadBytes
}

func (r record) room() int { return (len(r.words) - 2) * 8 }

// write replaces the content. False when data does not fit. A sequence that a
// dead writer left odd is taken over.
func (r record) write(data []byte) bool {
	if len(data) > r.room() {
		return false
	}
	seq := r.words[0].Load() | 1
	r.words[0].Store(seq)
	r.words[1].Store(uint64(len(data)))
	storeBytes(r.words[2:], data)
	r.words[0].Store(seq + 1)
	return true
}

// read appends the content to dst. False when nothing was ever written, or when
// a writer is in the middle of it all the time (it may have died there).
func (r record) read(dst []byte) ([]byte, bool) {
	for range readAttempts {
		seq := r.words[0].Load()
		if seq == 0 {
			return dst, false
		}
		if seq&1 != 0 {
			continue
		}
		n := r.words[1].Load()
		if n > uint64(r.room()) {
			continue
		}
		out := loadBytes(dst, r.words[2:], int(n))
		if r.words[0].Load() == seq {
			return out, true
		}
	}
	return dst, false
}

func storeBytes(words []atomic.Uint64, data []byte) {
	i := 0
	for ; len(data) >= 8; i++ {
		words[i].Store(binary.LittleEndian.Uint64(data))
		data = data[8:]
	}
	if len(data) > 0 {
		var last [8]byte
		copy(last[:], data)
		words[i].Store(binary.LittleEndian.Uint64(last[:]))
	}
}

func loadBytes(dst []byte, words []atomic.Uint64, n int) []byte {
	for i := 0; n > 0; i++ {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], words[i].Load())
		dst = append(dst, w[:min(n, 8)]...)
		n -= 8
	}
	return dst
}

func storeUint64(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }

func loadUint64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

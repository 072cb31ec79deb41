package board

import (
	"fmt"
	"sync/atomic"
)

// Ring holds the published consistent-hash ring: two slots, the older one is
// overwritten, so that a reader of the newer one is not disturbed.
// Writer: control process.
//
//	word 0  generation: how often a ring was published; slot = generation mod 2
//	word 1  epoch of the newest
//	line 1… slot 0, slot 1: records of epoch (8 bytes) and ring bytes
type Ring struct {
	words []atomic.Uint64
	slots [2]record
}

const ringEpochBytes = 8

func ringStride(ringBytes int) int64 {
	return lineBytes + 2*recordStride(ringBytes+ringEpochBytes)
}

// Ring returns the ring's area.
func (b *Board) Ring() *Ring {
	w := b.words(AreaRing, 0)
	slots := w[8:]
	half := len(slots) / 2
	return &Ring{words: w[:8], slots: [2]record{{slots[:half]}, {slots[half : 2*half]}}}
}

// MaxBytes returns the length of the longest ring that fits.
func (r *Ring) MaxBytes() int { return r.slots[0].room() - ringEpochBytes }

// Publish puts a ring up. It allocates.
func (r *Ring) Publish(epoch uint32, ring []byte) error {
	if len(ring) > r.MaxBytes() {
		return fmt.Errorf("board: ring of epoch %d takes %d bytes, there is room for %d: raise RingBytes and restart both processes",
			epoch, len(ring), r.MaxBytes())
	}
	data := make([]byte, ringEpochBytes, ringEpochBytes+len(ring))
	storeUint64(data, uint64(epoch))
	data = append(data, ring...)
	next := r.words[0].Load() + 1
	r.slots[next%2].write(data)
	r.words[1].Store(uint64(epoch))
	r.words[0].Store(next)
	return nil
}

// Generation changes with every Publish: a cheap look for readers. 0 = no ring.
func (r *Ring) Generation() uint64 { return r.words[0].Load() }

// Epoch returns the epoch of the newest ring.
func (r *Ring) Epoch() uint32 { return uint32(r.words[1].Load()) }

// Read appends the newest ring to dst and returns its epoch. False when there is
// none.
func (r *Ring) Read(dst []byte) (ring []byte, epoch uint32, ok bool) {
	for range readAttempts {
		generation := r.words[0].Load()
		if generation == 0 {
			return dst, 0, false
		}
		out, ok := r.slots[generation%2].read(dst)
		// The slot is written again only once the generation has moved on: one that
		// is still the same vouches for what was read.
		if ok && r.words[0].Load() == generation && len(out) >= len(dst)+ringEpochBytes {
			epoch := uint32(loadUint64(out[len(dst):]))
			copy(out[len(dst):], out[len(dst)+ringEpochBytes:])
			return out[:len(out)-ringEpochBytes], epoch, true
		}
	}
	return dst, 0, false
}

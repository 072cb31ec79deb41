package dataplane

const (
	heatRows = 2
	// heatWidth is a power of two: 2 rows of it are 64 KB.
	heatWidth = 1 << 15
	// heatParts is how many steps of fade it takes for all that was counted to count half:
	// 4 s. A step is short, and the loop does not stand still for all of them at once.
	heatParts = 32
	mostFades = 4 * heatParts // that are made up for, after a pause
	// fadeTotal is what the total loses in a step, as one in so many.
	fadeTotal = 46
	// heatBudget is how many GETs between two steps are counted, roughly, however many
	// there are.
	heatBudget = 1024
	mostSkip   = 1 << 12 // of so many GETs one is counted at least
	// A key is hot from so many counts on, and from a share of one in heatShare of all.
	heatFromCount = 4
	heatShare     = 8192
)

// heat estimates which keys a shard was asked for often lately: a count-min sketch with
// conservative update, as the client's (Estan and Varghese, "New Directions in Traffic
// Measurement and Accounting", 2002), of a sample. It counts every GET of a calm shard,
// and of a busy one as many as cost nothing to speak of.
type heat struct {
	skip    int32 // GETs until the next one that counts
	every   int32 // one in so many is counted
	random  uint32
	counted uint32 // since the last step
	total   uint32 // fades like the cells
	part    int    // of the cells to be halved next
	cells   [heatRows][heatWidth]uint8
}

func (h *heat) init() { h.every, h.random = 1, 1 }

// due is called for each GET, and says whether this one is to be counted.
func (h *heat) due() bool {
	h.skip--
	return h.skip < 0
}

// count counts a use if it is due, and says whether the key is hot then; of the others it
// says no.
func (h *heat) count(hash uint64) (hot bool) {
	if h.skip >= 0 {
		return false
	}
	h.rest()
	if h.counted++; h.counted > heatBudget && h.every < mostSkip {
		h.every, h.counted = 2*h.every, 0
	}
	h.total++
	a, b := h.of(hash)
	now := min(*a, *b)
	if now == 255 {
		return true
	}
	now++
	*a, *b = max(*a, now), max(*b, now)
	return now >= heatFromCount && uint32(now) >= h.total/heatShare
}

// of returns the cells of a key. They fade at the same time.
func (h *heat) of(hash uint64) (a, b *uint8) {
	const n = heatWidth / heatParts
	first, second := hash*0x9E3779B97F4A7C15, hash*0xC2B2AE3D27D4EB4F
	part := first >> 59 % heatParts * n
	return &h.cells[0][part+first>>40%n], &h.cells[1][part+second>>40%n]
}

// rest draws the gap to the next use that counts. It varies, so that a client's pattern
// cannot hide from it.
func (h *heat) rest() {
	h.skip = 0
	if h.every > 1 {
		h.random ^= h.random << 13
		h.random ^= h.random >> 17
		h.random ^= h.random << 5
		h.skip = int32(h.random % uint32(2*h.every-1))
	}
}

// fade is called every grantSweepNanos, or for several of them at once.
func (h *heat) fade(steps int) {
	if h.counted < heatBudget/4 && h.every > 1 {
		h.every /= 2
		h.skip = min(h.skip, h.every)
	}
	h.counted = 0
	for range steps {
		h.total -= h.total / fadeTotal
		const n = heatWidth / heatParts
		for row := range h.cells {
			part := h.cells[row][h.part*n:][:n]
			for i := range part {
				part[i] /= 2
			}
		}
		h.part = (h.part + 1) % heatParts
	}
}

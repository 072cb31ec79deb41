package dataplane

// load measures how busy the loop is, and whether it is behind.
type load struct {
	figure      uint16 // share of the last window that was work, 65535 = all of it
	startNanos  int64  // of the running window; 0 = none yet
	busyNanos   int64
	lastNanos   int64 // when the last turn began
	lastWorked  bool
	fullBatches int // receptions in a row that filled the batch
}

const (
	loadWindowNanos   = int64(10e6)
	behindFullBatches = 4
)

// turn is told when each turn began, and whether it worked. A turn's own length is
// known when the next one begins.
func (d *load) turn(nowNanos int64, worked bool) {
	if d.startNanos == 0 {
		d.startNanos = nowNanos
	} else if d.lastWorked {
		d.busyNanos += nowNanos - d.lastNanos
	}
	d.lastNanos, d.lastWorked = nowNanos, worked
	if window := nowNanos - d.startNanos; window >= loadWindowNanos {
		d.figure = uint16(min(d.busyNanos*65535/window, 65535))
		d.startNanos, d.busyNanos = nowNanos, 0
	}
}

// received is told how much of the batch a reception filled.
func (d *load) received(n, room int) {
	if room == 0 || n < room {
		d.fullBatches = 0
		return
	}
	d.fullBatches++
}

// behind says that a backlog persists.
func (d *load) behind() bool { return d.fullBatches >= behindFullBatches }

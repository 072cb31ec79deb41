package transport

import "gannet/board"

// writeBuffer collects the writes of a turn: what the log holds is gone once it was
// read.
type writeBuffer struct {
	keys   []byte
	writes []Write
}

// noteWrite keeps a write for tellWrites. A touch leaves the version as it is: whoever
// has a copy of that version must ask again for its times.
func (d *Driver) noteWrite(m *board.Mutation) {
	if d.cfg.Wrote == nil {
		return
	}
	version := m.Version
	switch m.Kind {
	case board.MutationPut, board.MutationDelete:
	case board.MutationTouch:
		version++
	default:
		return
	}
	w := &d.writes
	from := len(w.keys)
	w.keys = append(w.keys, m.Key...)
	w.writes = append(w.writes, Write{Key: w.keys[from:len(w.keys):len(w.keys)], Hash: m.Hash, Version: version, Cached: m.Cached})
}

// noteLoss has tellWrites say that there were writes of which nothing is known.
func (d *Driver) noteLoss() {
	if d.cfg.Wrote != nil {
		d.writes.writes = append(d.writes.writes, Write{Lost: true})
	}
}

// tellWrites tells of the writes that were read in this turn.
func (d *Driver) tellWrites() {
	w := &d.writes
	if len(w.writes) == 0 {
		return
	}
	d.cfg.Wrote(w.writes)
	w.keys, w.writes = w.keys[:0], w.writes[:0]
}

// watchLogs follows the logs of a node that is alone while somebody wants to hear of
// its writes.
func (d *Driver) watchLogs() {
	watching := d.begun && !d.replicating && d.cfg.Watched != nil && d.cfg.Watched()
	if watching == d.watching {
		return
	}
	d.watching = watching
	if d.replicating || !d.begun {
		return
	}
	for _, r := range d.logs {
		r.queue.Follow(watching)
		r.glancing, r.lost = watching, r.queue.Lost()
	}
}

// glance reads a log that nobody replicates.
func (r *logReader) glance() {
	if lost := r.queue.Lost(); lost != r.lost {
		r.lost = lost
		r.missed()
	}
	var m board.Mutation
	for range recordsPerTurn {
		ok, err := r.queue.PeekMutation(&m)
		if err != nil {
			r.missed()
			continue // it was skipped
		}
		if !ok {
			return
		}
		r.wrote(&m)
		r.queue.Pop()
	}
}

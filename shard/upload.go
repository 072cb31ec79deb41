package shard

// uploads are values that arrive in segments. Each fills a slot that no key
// leads to; when the last part is in, it is published like any other write. One
// that stands still is dropped when room is needed or its time is over.
type uploads struct {
	rows  []upload
	bytes int64 // of the slots they hold
	limit int64
	count int
}

type upload struct {
	h         Handle // 0 = row not in use
	client    uint64
	transfer  uint64
	word      uint64
	lastNanos int64
	w         Write
	key       [MaxKeyBytes]byte
	missing   int
	got       [MaxValueBytesLimit / UnitBytes / 64]uint64 // by unit
}

// UploadPart takes one part. Partial means that others are still missing; any
// other status is the answer of the whole write, and ends the upload. The answer
// is also in u.Write.
func (s *Shard) UploadPart(u *Upload, nowNanos int64) Status {
	s.begin(nowNanos)
	u.Write.Status = s.uploadPart(u)
	s.balance()
	return u.Write.Status
}

func (s *Shard) uploadPart(u *Upload) Status {
	w := &u.Write
	w.Status, w.Version, w.Value, w.Repeated = OK, 0, nil, false
	row := s.findUpload(w.Client, u.Transfer)
	if row == nil {
		if done := s.finished(u); done != nil {
			w.Version, w.Repeated = done.version, true
			return done.status
		}
		var status Status
		if row, status = s.beginUpload(u); row == nil {
			return status
		}
	}
	if !s.takePart(row, u) {
		return BadRequest
	}
	row.lastNanos = s.now
	if row.missing > 0 {
		return Partial
	}
	return s.finishUpload(row, u)
}

func (s *Shard) findUpload(client, transfer uint64) *upload {
	for i := range s.uploads.rows {
		if r := &s.uploads.rows[i]; r.h != 0 && r.client == client && r.transfer == transfer {
			return r
		}
	}
	return nil
}

// finished finds the answer to an upload that was completed: a part sent twice.
func (s *Shard) finished(u *Upload) *answered {
	probe := Write{Client: u.Write.Client, Request: u.Transfer, Hash: u.Write.Hash, Op: Put}
	return s.window.find(&probe)
}

func (s *Shard) beginUpload(u *Upload) (*upload, Status) {
	w := &u.Write
	if w.Op != Put && w.Op != Add && w.Op != Replace && w.Op != CAS || u.TotalBytes < 1 || !s.validWrite(w) {
		return nil, BadRequest
	}
	if u.TotalBytes > s.cfg.MaxValueBytes {
		s.stats.ByDrop[DropTooLarge]++
		return nil, TooLarge
	}
	word := makeWord(len(w.Key), u.TotalBytes, s.sec, w.TTLSeconds != 0, w.SoftSeconds != 0)
	row := s.uploadRow(int64(s.mem.size(word)))
	if row == nil {
		return nil, BusyUploads
	}
	h := s.slotFor(s.mem.size(word))
	if h == 0 {
		s.stats.ByDrop[DropNoMemory]++
		return nil, NoMemory
	}
	*row = upload{h: h, client: w.Client, transfer: u.Transfer, word: word, w: *w, missing: units(u.TotalBytes)}
	row.w.Key = row.key[:copy(row.key[:], w.Key)]
	s.uploads.count++
	s.uploads.bytes += int64(s.slotBytes(h))
	s.slabOf(h).pins++
	return row, OK
}

// uploadRow finds a row, if need be that of an upload that stands still.
func (s *Shard) uploadRow(bytes int64) *upload {
	var vacant *upload
	for i := range s.uploads.rows {
		r := &s.uploads.rows[i]
		if r.h != 0 && s.now-r.lastNanos >= s.cfg.UploadNanos {
			s.dropUpload(r)
		}
		if r.h == 0 {
			vacant = r
		}
	}
	if s.uploads.bytes+bytes > s.uploads.limit {
		return nil
	}
	return vacant
}

// takePart copies a part into the slot; a part sent twice changes nothing.
func (s *Shard) takePart(r *upload, u *Upload) bool {
	total, end := valueLen(r.word), u.OffsetBytes+len(u.Data)
	whole := len(u.Data)%UnitBytes == 0 || end == total
	if u.OffsetBytes < 0 || u.OffsetBytes%UnitBytes != 0 || len(u.Data) == 0 || end > total || !whole || u.TotalBytes != total || r.w.Hash != u.Write.Hash {
		return false
	}
	copy(s.mem.value(r.h, r.word)[u.OffsetBytes:], u.Data)
	for i := u.OffsetBytes / UnitBytes; i < units(end); i++ {
		if bit := uint64(1) << (i % 64); r.got[i/64]&bit == 0 {
			r.got[i/64] |= bit
			r.missing--
		}
	}
	return true
}

// finishUpload publishes the filled slot under the conditions of the write.
func (s *Shard) finishUpload(r *upload, u *Upload) Status {
	w, h := r.w, r.h
	s.countWrite(w.Op)
	n := newItem{key: w.Key, version: s.super.version + 1, expires: s.deadline(w.TTLSeconds), soft: s.deadline(w.SoftSeconds)}
	copy(s.mem.key(h, r.word), w.Key)
	fillUnits(s.mem.table(h, r.word), s.mem.value(h, r.word))
	s.setTimes(h, r.word, &n)
	head := s.mem.head(h)
	head.version, head.word = n.version, r.word|s.gen
	s.write(&w, h)
	s.closeUpload(r)
	if w.Status != OK {
		s.freeSlot(h)
	}
	u.Write.Version = w.Version
	done := Write{Client: w.Client, Request: u.Transfer, Hash: w.Hash, Op: Put, Status: w.Status, Version: w.Version}
	s.window.put(&done)
	return w.Status
}

func (s *Shard) closeUpload(r *upload) {
	s.slabOf(r.h).pins--
	s.uploads.count--
	s.uploads.bytes -= int64(s.slotBytes(r.h))
	r.h = 0
}

func (s *Shard) dropUpload(r *upload) {
	h := r.h
	s.closeUpload(r)
	s.stats.ByDrop[DropUpload]++
	s.freeSlot(h)
}

// AbortUpload ends an upload; false when there is none.
func (s *Shard) AbortUpload(client, transfer uint64) bool {
	r := s.findUpload(client, transfer)
	if r != nil {
		s.dropUpload(r)
	}
	return r != nil
}

// Missing calls visit for each range of an upload that is still missing.
func (s *Shard) Missing(client, transfer uint64, visit func(fromBytes, toBytes int)) bool {
	r := s.findUpload(client, transfer)
	if r == nil {
		return false
	}
	total := valueLen(r.word)
	for i := 0; i < units(total); i++ {
		if r.got[i/64]&(1<<(i%64)) != 0 {
			continue
		}
		from := i
		for i+1 < units(total) && r.got[(i+1)/64]&(1<<((i+1)%64)) == 0 {
			i++
		}
		visit(from*UnitBytes, min((i+1)*UnitBytes, total))
	}
	return true
}

// reclaimUploads drops those that stand still.
func (s *Shard) reclaimUploads() (work int) {
	if s.uploads.count == 0 {
		return 0
	}
	for i := range s.uploads.rows {
		if r := &s.uploads.rows[i]; r.h != 0 && s.now-r.lastNanos >= s.cfg.UploadNanos {
			s.dropUpload(r)
			work++
		}
	}
	return work
}

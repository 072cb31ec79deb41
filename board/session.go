package board

// Session is the key material of one client's datagrams.
type Session struct {
	ID         uint64
	Generation uint64 // rises with every change of keys
	ExpiresAt  int64  // boot clock; 0 = never
	Mode       uint64 // the wire's sealed or auth flag
	ReceiveKey [16]byte
	SendKey    [16]byte
	ReceiveIV  [12]byte
	SendIV     [12]byte
}

// Sessions is the table of session keys, filled by the control process, which
// also gives out the slots. Writer: control process.
type Sessions struct{ slots []record }

const (
	sessionData  = 32 + 16 + 16 + 12 + 12
	sessionBytes = 128
)

// Sessions returns the table of session keys. It allocates.
func (b *Board) Sessions() *Sessions {
	s := &Sessions{slots: make([]record, max(1, b.areas[AreaSessions].elements))}
	for i := range s.slots {
		s.slots[i] = record{b.words(AreaSessions, i)}
	}
	return s
}

// Len returns the number of slots.
func (s *Sessions) Len() int { return len(s.slots) }

// Set fills a slot; a zero Session empties it. False when there is no such slot.
func (s *Sessions) Set(slot int, k *Session) bool {
	if slot < 0 || slot >= len(s.slots) {
		return false
	}
	var data [sessionData]byte
	storeUint64(data[:], k.ID)
	storeUint64(data[8:], k.Generation)
	storeUint64(data[16:], uint64(k.ExpiresAt))
	storeUint64(data[24:], k.Mode)
	copy(data[32:], k.ReceiveKey[:])
	copy(data[48:], k.SendKey[:])
	copy(data[64:], k.ReceiveIV[:])
	copy(data[76:], k.SendIV[:])
	return s.slots[slot].write(data[:])
}

// Get reads a slot into k. False when it is empty.
func (s *Sessions) Get(slot int, k *Session) bool {
	if slot < 0 || slot >= len(s.slots) {
		return false
	}
	var room [sessionData]byte
	data, ok := s.slots[slot].read(room[:0])
	if !ok || len(data) != sessionData || loadUint64(data) == 0 {
		return false
	}
	k.ID, k.Generation = loadUint64(data), loadUint64(data[8:])
	k.ExpiresAt, k.Mode = int64(loadUint64(data[16:])), loadUint64(data[24:])
	copy(k.ReceiveKey[:], data[32:])
	copy(k.SendKey[:], data[48:])
	copy(k.ReceiveIV[:], data[64:])
	copy(k.SendIV[:], data[76:])
	return true
}

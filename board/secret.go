package board

// Secret is the master of the cookies. It outlives a restart of the data plane, so
// that clients' cookies stay good. Writer: data plane.
type Secret struct{ rec record }

const secretBytes = 16

// Secret returns the cookie master's area.
func (b *Board) Secret() *Secret { return &Secret{record{b.words(AreaSecret, 0)}} }

// Set stores the master.
func (s *Secret) Set(master [16]byte) { s.rec.write(master[:]) }

// Get returns the master; false when none was stored.
func (s *Secret) Get() (master [16]byte, ok bool) {
	var room [secretBytes]byte
	data, ok := s.rec.read(room[:0])
	if !ok || len(data) != secretBytes {
		return master, false
	}
	return [16]byte(data), true
}

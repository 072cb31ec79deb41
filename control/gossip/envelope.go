package gossip

import "encoding/binary"

// Kind says whose a message is.
type Kind uint8

// The kinds, most urgent first: that is the order in which they are sent.
const (
	KindReplication  Kind = iota // grants, evidence, suspicion: bytes of package replication
	KindInvalidation             // batches of invalidations
	kindCount
)

var kindNames = [kindCount]string{"replication", "invalidation"}

// String is the kind as a label.
func (k Kind) String() string {
	if k < kindCount {
		return kindNames[k]
	}
	return "unknown"
}

// An envelope, little-endian:
//
//	0 1  layout version (1)
//	1 1  kind
//	2 1  flags: bit 0, to be passed on by whom it is news to
//	3 1  0
//	4 8  origin: id of the node that spoke first
//	12 … payload
const (
	envelopeLayout = 1
	envelopeBytes  = 12
	flagPassOn     = 1
)

// MaxPayload is the largest payload: with envelope, encryption and the neighbours'
// framing it stays in one datagram of an ordinary network.
const MaxPayload = 1180

type envelope struct {
	kind    Kind
	passOn  bool
	origin  uint64
	payload []byte
}

func (e *envelope) encode() []byte {
	b := make([]byte, 0, envelopeBytes+len(e.payload))
	flags := byte(0)
	if e.passOn {
		flags = flagPassOn
	}
	b = append(b, envelopeLayout, byte(e.kind), flags, 0)
	b = binary.LittleEndian.AppendUint64(b, e.origin)
	return append(b, e.payload...)
}

func decodeEnvelope(b []byte) (e envelope, ok bool) {
	if len(b) < envelopeBytes || b[0] != envelopeLayout || b[1] >= byte(kindCount) || b[2]&^flagPassOn != 0 {
		return e, false
	}
	return envelope{
		kind: Kind(b[1]), passOn: b[2]&flagPassOn != 0,
		origin: binary.LittleEndian.Uint64(b[4:]), payload: b[envelopeBytes:],
	}, true
}

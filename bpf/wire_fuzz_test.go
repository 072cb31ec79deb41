package bpf_test

import (
	"testing"

	"gannet/bpf"
	"gannet/wire"
)

// refusals says which refusal of the wire's parser a drop foretells. Those of
// the program are the coarser.
var refusals = map[bpf.Reason][]wire.Reason{
	bpf.DropMagic:        {wire.ReasonMagic},
	bpf.DropVersion:      {wire.ReasonVersion},
	bpf.DropReply:        {wire.ReasonDirection, wire.ReasonFlags},
	bpf.DropFlags:        {wire.ReasonFlags},
	bpf.DropHeaderLength: nil, // any: the program wants room for an operation, too
	bpf.DropNoOperation:  nil, // any: the parser looks at other fields first
	bpf.DropShort:        nil, // any: the program wants room for an operation, too
}

// FuzzSteerAgainstWire: no datagram that the wire's parser takes is dropped,
// and what is dropped is refused there for the same reason.
func FuzzSteerAgainstWire(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed)
	}
	s := bpf.LoadLive(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 3000 {
			return // more than the program's one buffer takes
		}
		var request wire.Request
		refused := wire.ParseRequest(payload, &request)
		reason := bpf.RunPayload(t, s, payload)
		switch {
		case reason == bpf.Redirected:
		case !reason.Dropped():
			t.Fatalf("%v for a datagram to our port", reason)
		case refused == wire.ReasonNone:
			t.Fatalf("%v, but the wire's parser takes it: %x", reason, payload)
		default:
			checkRefusal(t, reason, refused)
		}
	})
}

func checkRefusal(t *testing.T, reason bpf.Reason, refused wire.Reason) {
	t.Helper()
	expected, known := refusals[reason]
	if !known {
		t.Fatalf("%v for a whole datagram", reason)
	}
	for _, one := range expected {
		if one == refused {
			return
		}
	}
	if len(expected) != 0 {
		t.Fatalf("%v here, %v there", reason, refused)
	}
}

func seeds() [][]byte {
	get := wire.AppendRequest(nil, &wire.RequestHeader{RequestID: 1})
	get = wire.AppendOp(get, 0, &wire.Op{Code: wire.Get, Key: []byte("hello")})
	two := wire.AppendOp(append([]byte(nil), get...), 0, &wire.Op{Code: wire.Put, Key: []byte("k"), Value: make([]byte, 100)})
	extended := wire.AppendRequest(nil, &wire.RequestHeader{Shard: 1})
	extended = wire.AppendExtension(extended, 0, wire.Extension{Type: 7, Data: []byte("extra")})
	extended = wire.AppendOp(extended, 0, &wire.Op{Code: wire.Delete, Key: []byte("hello")})
	all := [][]byte{get, two, extended, nil, get[:96]}
	for _, offset := range []int{0, 1, 2, 3, 4, 6, 7, 96} {
		bad := append([]byte(nil), get...)
		bad[offset] ^= 0x11
		all = append(all, bad)
	}
	return all
}

package wire

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gannet/checksum"
)

// FuzzRequest: the parser agrees with its slow twin, and what it accepts is canonical: written again it is the same datagram.
func FuzzRequest(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		compareRequest(t, b)
		var r Request
		if ParseRequest(b, &r) != ReasonNone {
			return
		}
		for _, o := range collectOps(&r) {
			if reason := o.Check(); reason != ReasonNone {
				t.Fatalf("%+v was read, but may not be written: %v", o, reason)
			}
		}
		rebuilt := AppendRequest(nil, &r.RequestHeader)
		for rest := b[RequestHeaderBytes : int(b[OffsetHeaderWords])*AlignBytes]; len(rest) != 0; {
			var e Extension
			e, rest, _ = nextExtension(rest)
			rebuilt = AppendExtension(rebuilt, 0, e)
		}
		for _, o := range collectOps(&r) {
			rebuilt = AppendOp(rebuilt, 0, &o)
		}
		if !bytes.Equal(rebuilt[:min(len(rebuilt), len(b))], b) || len(rebuilt)-len(b) >= AlignBytes {
			t.Fatalf("%x is written again as %x", b, rebuilt)
		}
	})
}

// FuzzReply: the same of replies.
func FuzzReply(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		compareReply(t, b)
		var r Reply
		if ParseReply(b, &r) != ReasonNone || int(b[OffsetHeaderWords])*AlignBytes != r.Bytes() {
			return
		}
		if rebuilt := buildReply(&r.ReplyHeader, collectReplyOps(&r)); !bytes.Equal(rebuilt, b[:min(len(rebuilt), len(b))]) {
			t.Fatalf("%x is written again as %x", b, rebuilt)
		}
	})
}

// FuzzMutatedRequest starts from a vector's datagram and lets the fuzzer choose what to break: deeper than random bytes get.
func FuzzMutatedRequest(f *testing.F) {
	cases := requestCases()
	f.Fuzz(func(t *testing.T, which uint8, at uint16, mask uint64, cutBytes uint8) {
		b := cases[int(which)%len(cases)].build()
		for i := range 8 {
			b[(int(at)+i)%len(b)] ^= byte(mask >> (8 * i))
		}
		compareRequest(t, b[:len(b)-min(int(cutBytes), len(b))])
	})
}

// FuzzBuildReply: whatever the room and the values, the writer stays in its room and what it writes parses.
func FuzzBuildReply(f *testing.F) {
	f.Fuzz(func(t *testing.T, room uint16, valueBytes uint16, status, flags uint8, stages bool) {
		header := ReplyHeader{}
		if stages {
			header.Flags = FlagStages
		}
		buf := bytes.Repeat([]byte{0xEE}, min(max(int(room), MinReplyRoomBytes), MaxDatagramBytes))
		var w ReplyWriter
		w.Begin(buf, &header, true)
		value := buf[:min(int(valueBytes), len(buf))] // as a value may lie in a frame nearby
		value = bytes.Clone(value)
		o := ReplyOp{Code: Get, Status: Status(status % StatusCount), CRC: checksum.CRC(value), TotalBytes: uint32(len(value)), Value: value}
		o.Flags = ReplyFlags(flags) & knownReplyFlags &^ (ReplyMore | ReplySegment)
		for w.Append(&o) {
			o.Index++
		}
		if w.Count() == 0 {
			return
		}
		b := buf[:w.Finish()]
		var r Reply
		if reason := ParseReply(b, &r); reason != ReasonNone || r.OpCount != w.Count() || w.Sum() != checksum.Sum(b) {
			t.Fatalf("%v; %d operations of %d; sum %#x", reason, r.OpCount, w.Count(), w.Sum())
		}
	})
}

// TestVectorsSeedTheFuzzers writes every vector as a seed when asked to, and says so when one is missing.
func TestVectorsSeedTheFuzzers(t *testing.T) {
	seed := func(target, name, body string) {
		path := filepath.Join("testdata/fuzz", target, name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("go test fuzz v1\n"+body), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%v: go test ./wire -run Vectors -update writes it", err)
		}
	}
	for i, c := range requestCases() {
		seed("FuzzRequest", c.name, fmt.Sprintf("[]byte(%q)\n", c.build()))
		for _, at := range []uint16{0, 64, RequestHeaderBytes, RequestHeaderBytes + 16} {
			name := fmt.Sprintf("%s_%d", c.name, at)
			seed("FuzzMutatedRequest", name, fmt.Sprintf("byte('\\x%02x')\nuint16(%d)\nuint64(%d)\nbyte('\\x%02x')\n", i, at, uint64(1)<<(i*3), i%3))
		}
	}
	for _, c := range replyCases() {
		seed("FuzzReply", c.name, fmt.Sprintf("[]byte(%q)\n", buildReply(&c.header, c.ops)))
	}
	for _, v := range malformedCases() {
		target := map[string]string{"request": "FuzzRequest", "reply": "FuzzReply"}[v.Direction]
		seed(target, "bad_"+v.Name, fmt.Sprintf("[]byte(%q)\n", []byte(v.Datagram)))
	}
	for i, room := range []uint16{0, 1472, 3000, 65507} {
		seed("FuzzBuildReply", fmt.Sprintf("room_%d", room), fmt.Sprintf("uint16(%d)\nuint16(%d)\nbyte('\\x%02x')\nbyte('\\x%02x')\nbool(%v)\n", room, i*333, i, i*7, i%2 == 0))
	}
}

package checksum

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// slowSum is RFC 1071 word by word: the oracle of Sum.
func slowSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		sum += word
		for sum > 0xFFFF {
			sum = sum>>16 + sum&0xFFFF
		}
	}
	return uint16(sum)
}

// slowCRC is CRC32C bit by bit: the oracle of CRC.
func slowCRC(b []byte) uint32 {
	crc := ^uint32(0)
	for _, v := range b {
		crc ^= uint32(v)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low != 0 {
				crc ^= crc32.Castagnoli
			}
		}
	}
	return ^crc
}

func anyBytes(maxBytes int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		b := make([]byte, rapid.IntRange(0, maxBytes).Draw(t, "length"))
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0: // zeros: the one case whose sum is 0
		case 1:
			for i := range b {
				b[i] = 0xFF
			}
		default:
			random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			for i := range b {
				b[i] = byte(random.Uint32())
			}
		}
		return b
	})
}

func TestKnownSums(t *testing.T) {
	cases := []struct {
		in   []byte
		want uint16
	}{
		{nil, 0},
		{[]byte{0, 0, 0}, 0},
		{[]byte{0x12}, 0x1200},
		{[]byte{0xFF, 0xFF}, 0xFFFF},
		{[]byte{0xFF, 0xFF, 0, 1}, 1},
		{[]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0xddf2}, // RFC 1071, section 3
	}
	for _, c := range cases {
		if got := Sum(c.in); got != c.want {
			t.Errorf("Sum(%x) = %#04x, want %#04x", c.in, got, c.want)
		}
	}
	if got := CRC([]byte("123456789")); got != 0xE3069283 {
		t.Errorf("CRC of the check string = %#x", got)
	}
}

func TestSumMatchesSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := anyBytes(3000).Draw(t, "bytes")
		if got, want := Sum(b), slowSum(b); got != want {
			t.Fatalf("Sum = %#04x, slow twin %#04x", got, want)
		}
	})
}

func TestSumOfPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := anyBytes(600).Draw(t, "bytes")
		cut := rapid.IntRange(0, len(b)).Draw(t, "cut")
		if got, want := Combine(Sum(b[:cut]), Sum(b[cut:]), cut%2 == 1), Sum(b); got != want {
			t.Fatalf("cut at %d: %#04x, whole %#04x", cut, got, want)
		}
		if cut%2 == 0 {
			got, want := Sub(Sum(b), Sum(b[cut:])), Sum(b[:cut])
			if got%0xFFFF != want%0xFFFF {
				t.Fatalf("taking out the second part: %#04x, want %#04x", got, want)
			}
		}
	})
}

func TestDatagramVerifies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := anyBytes(300).Draw(t, "payload")
		datagram := append(make([]byte, 8), payload...)
		binary.BigEndian.PutUint16(datagram[4:], uint16(len(datagram)))
		var source, destination [16]byte
		copy(source[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "source"))
		copy(destination[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "destination"))
		pseudo := PseudoIPv6(source, destination, 17, uint32(len(datagram)))
		if rapid.Bool().Draw(t, "ipv4") {
			pseudo = PseudoIPv4([4]byte(source[:4]), [4]byte(destination[:4]), 17, uint16(len(datagram)))
		}
		binary.BigEndian.PutUint16(datagram[6:], Finish(Add(pseudo, Sum(datagram))))
		if !Verify(Add(pseudo, Sum(datagram))) {
			t.Fatal("an intact datagram does not verify")
		}
		datagram[rapid.IntRange(0, len(datagram)-1).Draw(t, "damaged")] ^= 0x40
		if Verify(Add(pseudo, Sum(datagram))) {
			t.Fatal("a damaged datagram verifies")
		}
	})
}

func TestPseudoHeaders(t *testing.T) {
	four := slowSum([]byte{10, 1, 2, 3, 192, 168, 255, 254, 0, 17, 0xFF, 0xEE})
	if got := PseudoIPv4([4]byte{10, 1, 2, 3}, [4]byte{192, 168, 255, 254}, 17, 0xFFEE); got != four {
		t.Errorf("PseudoIPv4 = %#04x, want %#04x", got, four)
	}
	source, destination := [16]byte{0xFE, 0x80, 15: 1}, [16]byte{0xFE, 0x80, 9: 7, 15: 2}
	whole := bytes.Join([][]byte{source[:], destination[:], {0, 1, 2, 3, 0, 0, 0, 17}}, nil)
	if got, want := PseudoIPv6(source, destination, 17, 0x010203), slowSum(whole); got != want {
		t.Errorf("PseudoIPv6 = %#04x, want %#04x", got, want)
	}
}

func TestFinishIsNeverZero(t *testing.T) {
	if got := Finish(0xFFFF); got != 0xFFFF {
		t.Errorf("Finish(0xFFFF) = %#04x: a UDP checksum of 0 means that there is none", got)
	}
	if got := Finish(0x1234); got != 0xEDCB {
		t.Errorf("Finish(0x1234) = %#04x", got)
	}
}

func TestCRCMatchesSlowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := anyBytes(2500).Draw(t, "bytes")
		if got, want := CRC(b), slowCRC(b); got != want {
			t.Fatalf("CRC = %#x, slow twin %#x", got, want)
		}
	})
}

func TestCRCOfPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyBytes(2500).Draw(t, "a"), anyBytes(2500).Draw(t, "b")
		if rapid.Bool().Draw(t, "whole unit") {
			b = append(b, make([]byte, UnitBytes)...)[:UnitBytes]
		}
		want := CRC(append(bytes.Clone(a), b...))
		if got := CombineCRC(CRC(a), CRC(b), len(b)); got != want {
			t.Fatalf("combined %#x, whole %#x", got, want)
		}
		if got := UpdateCRC(CRC(a), b); got != want {
			t.Fatalf("updated %#x, whole %#x", got, want)
		}
	})
}

func TestCombineCRCOverLongPieces(t *testing.T) {
	b := make([]byte, 1<<operatorCount+12345)
	b[0], b[len(b)-1] = 1, 2
	want := UpdateCRC(CRC([]byte("head")), b)
	if got := CombineCRC(CRC([]byte("head")), CRC(b), len(b)); got != want {
		t.Errorf("combined %#x, whole %#x", got, want)
	}
}

func TestNoAllocations(t *testing.T) {
	b := make([]byte, 1500)
	var sink uint32
	if n := testing.AllocsPerRun(100, func() {
		sink += uint32(Sum(b)) + CombineCRC(CRC(b), 1, 777)
		sink += uint32(PseudoIPv6([16]byte{1}, [16]byte{2}, 17, 100))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	_ = sink
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{0xFF, 0xFF, 0, 1}, 1)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut < 0 || cut > len(b) {
			return
		}
		if Sum(b) != slowSum(b) || Combine(Sum(b[:cut]), Sum(b[cut:]), cut%2 == 1) != slowSum(b) {
			t.Fatalf("sums of %x cut at %d differ from the slow twin", b, cut)
		}
		if CombineCRC(CRC(b[:cut]), CRC(b[cut:]), len(b)-cut) != slowCRC(b) {
			t.Fatalf("CRCs of %x cut at %d differ from the slow twin", b, cut)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"64B", 64}, {"112B", 112}, {"1KiB", 1024}} {
		data := make([]byte, size.bytes)
		b.Run(size.name, func(b *testing.B) {
			b.SetBytes(int64(size.bytes))
			for b.Loop() {
				Sum(data)
			}
		})
	}
}

func BenchmarkSumSlow1KiB(b *testing.B) {
	data := make([]byte, 1024)
	for b.Loop() {
		slowSum(data)
	}
}

func BenchmarkCRC1KiB(b *testing.B) {
	data := make([]byte, 1024)
	for b.Loop() {
		CRC(data)
	}
}

func BenchmarkCombineCRC(b *testing.B) {
	b.Run("unit", func(b *testing.B) {
		crc := uint32(1)
		for b.Loop() {
			crc = CombineCRC(crc, 7, UnitBytes)
		}
	})
	b.Run("general", func(b *testing.B) {
		crc, length := uint32(1), uint32(1)
		for b.Loop() {
			length = length*1664525 + 1013904223
			crc = CombineCRC(crc, 7, int(length>>22)) // 0 to 1023 bytes
		}
	})
}

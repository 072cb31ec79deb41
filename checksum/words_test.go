package checksum

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// TestWordsSumWhatTheyWrite: words, sums of pieces and copies together give the sum
// of the bytes.
func TestWordsSumWhatTheyWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Words
		var whole []byte
		for range rapid.IntRange(0, 8).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				word := rapid.Uint64().Draw(t, "word")
				w.Add(word)
				whole = binary.LittleEndian.AppendUint64(whole, word)
			case 1:
				six := rapid.SliceOfN(rapid.Uint64(), 6, 6).Draw(t, "six")
				w.Add6(six[0], six[1], six[2], six[3], six[4], six[5])
				for _, word := range six {
					whole = binary.LittleEndian.AppendUint64(whole, word)
				}
			case 2:
				piece := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "piece")
				w.AddSum(Sum(piece))
				whole = padded(append(whole, piece...))
			case 3:
				piece := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "copied")
				room := len(piece) + rapid.IntRange(0, (8-len(piece)%8)%8).Draw(t, "padding")
				to := bytes.Repeat([]byte{0xEE}, room+9)
				w = w.WithCopy(to[:room], piece)
				if !bytes.Equal(to[:len(piece)], piece) || !bytes.Equal(to[len(piece):room], make([]byte, room-len(piece))) ||
					!bytes.Equal(to[room:], bytes.Repeat([]byte{0xEE}, 9)) {
					t.Fatalf("copied %x as %x, in %d bytes", piece, to, room)
				}
				whole = padded(append(whole, piece...))
			}
		}
		if got, want := w.Sum(), Sum(whole); got != want {
			t.Fatalf("sum %04x, want %04x", got, want)
		}
	})
}

func padded(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

func TestWordsOfNothingAndOfAllOnes(t *testing.T) {
	var w Words
	if w.Sum() != 0 {
		t.Errorf("nothing has sum %04x", w.Sum())
	}
	for range 1000 {
		w.Add6(^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0))
	}
	if w.Sum() != 0xFFFF {
		t.Errorf("all ones have sum %04x", w.Sum())
	}
}

func BenchmarkCopy100B(b *testing.B) {
	from, to := make([]byte, 100), make([]byte, 100)
	b.SetBytes(100)
	for b.Loop() {
		Words{}.WithCopy(to, from)
	}
}

package bench

import (
	"testing"

	"pgregory.net/rapid"
)

// TestPendingAgainstMap compares the ring with the obvious thing.
func TestPendingAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const slots = 8
		p := newPending(slots, 3, true)
		open := map[uint64][]uint32{}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if p.open != len(open) {
					t.Fatalf("%d on their way, want %d", p.open, len(open))
				}
				oldest := p.next
				for sequence := range open {
					oldest = min(oldest, sequence)
				}
				if sequence, s := p.oldest(); (s == nil) != (len(open) == 0) || s != nil && sequence != oldest {
					t.Fatalf("the oldest is %d, want %d", sequence, oldest)
				}
			},
			"begin": func(t *rapid.T) {
				keys := rapid.SliceOfN(rapid.Uint32Range(0, answered-1), 1, 3).Draw(t, "keys")
				sequence, s := p.start()
				if _, full := open[sequence-slots]; full != (s.number != 0) {
					t.Fatal("a slot is free that is not, or the other way round")
				}
				if s.number != 0 {
					delete(open, s.number-1)
					p.end(s)
				}
				p.begin(sequence, s, keys, 0)
				open[sequence] = keys
			},
			"end": func(t *rapid.T) {
				sequence := rapid.Uint64Range(0, p.next+1).Draw(t, "sequence")
				s := p.find(sequence)
				keys, ok := open[sequence]
				if (s != nil) != ok {
					t.Fatalf("request %d is there: %v, want %v", sequence, s != nil, ok)
				}
				if s == nil {
					return
				}
				for op, want := range keys {
					if key, ok := p.take(sequence, s, op); !ok || key != want {
						t.Fatalf("operation %d has key %d, want %d", op, key, want)
					}
					if _, again := p.take(sequence, s, op); again {
						t.Fatal("an operation was answered twice")
					}
				}
				if found, s16 := p.find16(uint16(sequence)); s16 != s || found != sequence {
					t.Fatal("not found by its 16 bits")
				}
				if _, beyond := p.take(sequence, s, len(keys)); beyond {
					t.Fatal("an operation that there is not")
				}
				p.end(s)
				delete(open, sequence)
			},
		})
	})
}

func TestKeyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := keyText{rapid.IntRange(minKeyBytes, 250).Draw(t, "bytes")}
		number := rapid.Uint32().Draw(t, "number")
		key := text.append([]byte("x"), number)[1:]
		if got, ok := text.number(key); !ok || got != number || len(key) != text.bytes {
			t.Fatalf("%q reads as %d, want %d", key, got, number)
		}
		key[rapid.IntRange(0, len(key)-1).Draw(t, "at")] = 'z'
		if _, ok := text.number(key); ok {
			t.Fatalf("%q is no key", key)
		}
	})
}

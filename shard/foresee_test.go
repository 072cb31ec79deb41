package shard

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestForeseeChangesNothing: hashes of items, of none, and any others may be foreseen,
// more than fit one stage, between the writes that they belong to.
func TestForeseeChangesNothing(t *testing.T) {
	s := openShard(t, Config{MemoryBytes: 8 << 20})
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		var hashes []uint64
		for i := range 3 * batchStage / 2 {
			hashes = append(hashes, Hash([]byte(key(round, i))), random.Uint64())
		}
		before := s.stats.Gets
		s.Foresee(hashes)
		s.Foresee(nil)
		for i := range 3 * batchStage / 2 {
			mustPut(t, s, key(round, i), "value of "+key(round, i))
		}
		if s.stats.Gets != before {
			t.Fatal("what was foreseen counts as read")
		}
	}
	for round := range 20 {
		for i := range 3 * batchStage / 2 {
			if g := get(s, key(round, i)); string(g.Item.Value) != "value of "+key(round, i) {
				t.Fatalf("%s: %q", key(round, i), g.Item.Value)
			}
		}
	}
	intact(t, s)
}

func key(round, i int) string { return fmt.Sprintf("key-%d-%d", round, i) }

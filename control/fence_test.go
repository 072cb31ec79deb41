package control

import (
	"testing"

	"pgregory.net/rapid"
)

func TestFenceOfOneMemberIsItsOwn(t *testing.T) {
	f := NewFence()
	f.Grant(1, 1000)
	if f.DeadlineNanos() != 0 {
		t.Fatal("open without an epoch")
	}
	f.SetMembers([]uint64{1})
	if f.DeadlineNanos() != 0 {
		t.Fatal("open on a grant from before the epoch")
	}
	f.Grant(1, 5000)
	if got := f.DeadlineNanos(); got != 5000+fenceAheadNanos {
		t.Fatalf("deadline %d", got)
	}
	f.Grant(1, 4000) // late answer
	if got := f.DeadlineNanos(); got != 5000+fenceAheadNanos {
		t.Fatalf("an older grant moved the fence to %d", got)
	}
}

func TestFenceCountsTheMajority(t *testing.T) {
	f := NewFence()
	f.SetMembers([]uint64{1, 2, 3})
	f.Grant(1, 9000)
	if f.DeadlineNanos() != 0 {
		t.Fatal("open with one grant of three")
	}
	f.Grant(9, 9000) // no member
	if f.DeadlineNanos() != 0 {
		t.Fatal("a stranger's grant counted")
	}
	f.Grant(2, 3000)
	if got := f.DeadlineNanos(); got != 3000+fenceAheadNanos {
		t.Fatalf("deadline %d, want the moment both had granted", got)
	}
	f.Grant(3, 6000)
	if got := f.DeadlineNanos(); got != 6000+fenceAheadNanos {
		t.Fatalf("deadline %d, want that of the best two", got)
	}
	f.KeepAlive(7000)
	if got := f.DeadlineNanos(); got != 7000+fenceAheadNanos {
		t.Fatalf("deadline %d, want etcd's", got)
	}
	f.SetMembers([]uint64{2, 3, 4, 5, 6})
	if got := f.DeadlineNanos(); got != 7000+fenceAheadNanos {
		t.Fatalf("deadline %d after another epoch, want etcd's", got)
	}
}

// slowMajority is the definition: the latest moment at which more than half of the
// members had granted what was asked then or later.
func slowMajority(members []uint64, grants map[uint64]int64) (latest int64) {
	for _, at := range grants {
		count := 0
		for _, id := range members {
			if grants[id] >= at {
				count++
			}
		}
		if count > len(members)/2 {
			latest = max(latest, at)
		}
	}
	return latest
}

func TestFenceNeverExceedsTheMajority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := []uint64{1, 2, 3, 4, 5}[:rapid.IntRange(1, 5).Draw(t, "members")]
		f, grants := NewFence(), map[uint64]int64{}
		f.SetMembers(members)
		for range 30 {
			id, sent := members[rapid.IntRange(0, len(members)-1).Draw(t, "id")], rapid.Int64Range(1, 1e9).Draw(t, "sent")
			f.Grant(id, sent)
			grants[id] = max(grants[id], sent)
			want := slowMajority(members, grants)
			if want != 0 {
				want += fenceAheadNanos
			}
			if got := f.DeadlineNanos(); got != want {
				t.Fatalf("deadline %d, want %d", got, want)
			}
		}
	})
}

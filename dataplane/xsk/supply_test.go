package xsk

import "testing"

func TestSupplyShrinksInCalmAndGrowsWithQueues(t *testing.T) {
	o := &PortOptions{Options: Options{Bind: BindCopy}.withDefaults()}
	s := newSupply(o)
	if s.frames != 2048 {
		t.Fatalf("begins with %d frames", s.frames)
	}
	for range 10 * calmPackets {
		s.note(1)
	}
	if s.frames != leastBatches*o.MaxBatch {
		t.Fatalf("after a calm %d frames", s.frames)
	}
	for range calmPackets {
		s.note(s.frames/4 + 1)
	}
	if s.frames != leastBatches*o.MaxBatch {
		t.Fatalf("a queue of a quarter makes it %d frames", s.frames)
	}
	for _, want := range []int{512, 1024, 2048, 2048} {
		if s.note(s.frames/2 + 1); s.frames != want {
			t.Fatalf("a queue of a half makes it %d frames, want %d", s.frames, want)
		}
	}
	for range calmPackets - 1 {
		s.note(1)
	}
	s.note(s.frames/4 + 1) // ends the calm
	s.note(1)
	if s.frames != 2048 {
		t.Fatalf("halved without a calm: %d frames", s.frames)
	}
}

func TestSupplyOfACardIsWhole(t *testing.T) {
	s := newSupply(&PortOptions{Options: Options{Bind: BindZeroCopy}.withDefaults()})
	for range 10 * calmPackets {
		s.note(1)
	}
	if s.frames != 2048 {
		t.Fatalf("%d frames", s.frames)
	}
}

func TestFramesAreSmallWherePacketsFit(t *testing.T) {
	for _, c := range []struct {
		bind  Bind
		slabs *Slabs
		mtu   int
		want  int
	}{
		{BindCopy, nil, 1500, 2048},
		{BindCopy, nil, 1752, 2048},
		{BindCopy, nil, 1753, 4096},
		{BindCopy, nil, 3498, 4096},
		{BindCopy, &Slabs{}, 1500, 4096},
		{BindZeroCopy, nil, 1500, 4096},
	} {
		o := PortOptions{Options: Options{Bind: c.bind, Slabs: c.slabs}}
		if got := o.frameBytes(c.mtu); got != c.want {
			t.Errorf("%v, slabs %v, MTU %d: frames of %d bytes, want %d", c.bind, c.slabs != nil, c.mtu, got, c.want)
		}
	}
}

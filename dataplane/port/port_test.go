package port

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestIs4(t *testing.T) {
	for text, want := range map[string]bool{
		"10.1.2.3": true, "0.0.0.0": true, "::ffff:1.2.3.4": true, "::1": false, "fd00::ffff:1": false, "::": false,
	} {
		if got := (Addr{IP: netip.MustParseAddr(text).As16()}).Is4(); got != want {
			t.Errorf("%s: Is4 = %v", text, got)
		}
	}
}

func TestNamesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for r := RungXDPZeroCopy; r <= RungMemory; r++ {
		seen[r.String()] = true
	}
	for d := DropReason(0); d < NumDropReasons; d++ {
		seen[d.String()] = true
	}
	if want := int(RungMemory) + int(NumDropReasons); len(seen) != want || seen[""] || seen["unknown"] {
		t.Errorf("%d distinct names, want %d: %v", len(seen), want, seen)
	}
}

func TestWaker(t *testing.T) {
	w, err := NewWaker()
	if err != nil {
		t.Fatal(err)
	}
	w.Wake()
	w.Wake()
	if err := w.Poll(-1, 0, time.Minute); err != nil {
		t.Fatalf("a Wake before the Poll was lost: %v", err)
	}
	if w.pending.Load() {
		t.Error("Poll returned and left the Wake pending")
	}
	done := make(chan error)
	go func() { done <- w.Poll(-1, 0, -1) }()
	w.Wake()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { w.Wake(); _ = w.Poll(-1, 0, time.Second) }); n > 0 {
		t.Errorf("%v allocations a Wake and Poll", n)
	}
	if err := w.Poll(1<<20, unix.POLLIN, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("Poll of a descriptor that is not open: %v", err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	w.Wake()
	if err := w.Poll(-1, 0, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("Poll after Close: %v", err)
	}
}

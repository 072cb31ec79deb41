package xsk

import (
	"bytes"
	"encoding/binary"
	"testing"

	"gannet/alloc"
	"gannet/checksum"
	"gannet/dataplane/port"
)

// inPlaceKernel is a fake kernel of a card that takes one descriptor a packet, with one
// request held.
func inPlaceKernel(t *testing.T, slabBytes int) (*fakeKernel, port.Rx) {
	t.Helper()
	o := PortOptions{Options: Options{Frames: 16, Slots: 8, FrameBytes: 4096, MaxBatch: 4, Bind: BindZeroCopy}}
	k := newFakeKernel(o, slabBytes, Slabs{Huge: true, OneDescriptor: true})
	for i := range k.slab {
		k.slab[i] = byte(i * 7)
	}
	rx := make([]port.Rx, 1)
	if !k.deliver(samplePacket(t, "10.0.0.2", "10.0.0.1", 5, make([]byte, 200)), 4096) || k.p.Recv(rx) != 1 {
		t.Fatal("no request")
	}
	return k, rx[0]
}

// TestInPlaceIsOneDescriptor: headers, VLAN tag and frame part stand in front of the
// value, the value's bytes are where they were, the sums are right, and the slot comes
// back once.
func TestInPlaceIsOneDescriptor(t *testing.T) {
	k, rx := inPlaceKernel(t, 64<<10)
	const at, valueBytes = 4096 - 500, 1300 // across a border of 4 KiB
	value := k.slab[at : at+valueBytes]
	was := bytes.Clone(value)
	head := copy(rx.Payload, "the reply's header")
	sum := checksum.Combine(checksum.Sum(rx.Payload[:head]), checksum.Sum(value), false)
	tx := port.Tx{Frame: rx.Frame, Bytes: head, Tail: value, Token: 99, RoomBytes: port.HeaderRoomBytes, PayloadSum: sum, HasSum: true}
	if k.p.Send([]port.Tx{tx}) != 1 || k.p.Flush() != nil || !k.transmit() {
		t.Fatal("not sent")
	}
	if len(k.pending[0]) != 1 || k.pending[0][0] < k.p.sock.umem.framesBytes {
		t.Fatalf("descriptors %x: want one, in the slabs", k.pending[0])
	}
	payload, _, ok := slowParse(k.sent[0])
	if !ok || string(payload) != "the reply's header"+string(was) || !bytes.Equal(value, was) {
		t.Errorf("sent %d bytes, checksum right: %v", len(payload), ok)
	}
	tokens := make([]uint64, 4)
	if c := k.p.Census(); c.Slots != 1 || !c.Balanced() || k.p.Completed(tokens) != 0 {
		t.Errorf("before the completion: %+v", c)
	}
	k.complete(0)
	_ = k.p.Flush()
	if c := k.p.Census(); c.Slots != 0 || c.Tx+c.Completion != 0 || !c.Balanced() || k.p.Completed(tokens) != 1 || tokens[0] != 99 {
		t.Errorf("after it: %+v, tokens %v", c, tokens)
	}
}

// TestInPlaceFallsBack: too little room, a border between 2 MiB pages, or no slab at
// all: the value is copied, and its token due at once.
func TestInPlaceFallsBack(t *testing.T) {
	border := alloc.HugePageBytes - 16*4096 // of the UMEM, in the slabs
	for name, c := range map[string]struct {
		at, room int
	}{
		"little room":        {8192, inPlaceBytes + 10},
		"a border inside":    {border - 100, port.HeaderRoomBytes},
		"a border in front":  {border + 10, port.HeaderRoomBytes},
		"room of other data": {100, port.HeaderRoomBytes}, // would begin in the frames
	} {
		t.Run(name, func(t *testing.T) {
			k, rx := inPlaceKernel(t, alloc.HugePageBytes)
			value := k.slab[c.at : c.at+1200]
			tx := port.Tx{Frame: rx.Frame, Bytes: 40, Tail: value, Token: 5, RoomBytes: c.room}
			if k.p.Send([]port.Tx{tx}) != 1 || k.p.Flush() != nil || !k.transmit() {
				t.Fatal("not sent")
			}
			if len(k.pending[0]) != 1 || k.pending[0][0] >= k.p.sock.umem.framesBytes {
				t.Fatalf("descriptors %x: want one, of the frame", k.pending[0])
			}
			if payload, _, ok := slowParse(k.sent[0]); !ok || !bytes.Equal(payload[40:], value) {
				t.Error("the value is not what was sent")
			}
			if k.p.Completed(make([]uint64, 1)) != 1 {
				t.Error("the token of a copied tail is due at once")
			}
		})
	}
}

// TestForeignCompletion: an address that is no slot in flight, or whose ticket lies, is
// counted and harms nothing.
func TestForeignCompletion(t *testing.T) {
	k, rx := inPlaceKernel(t, 64<<10)
	tx := port.Tx{Frame: rx.Frame, Bytes: 40, Tail: k.slab[2048:3248], Token: 5, RoomBytes: port.HeaderRoomBytes}
	if k.p.Send([]port.Tx{tx}) != 1 || k.p.Flush() != nil || !k.transmit() {
		t.Fatal("not sent")
	}
	right := k.pending[0][0]
	base := k.p.sock.umem.framesBytes
	for i, wrong := range []uint64{base, base + 4, right + 8, right - 8, base + 64<<10, 1 << 60} {
		k.pending = append(k.pending, []uint64{wrong})
		k.complete(len(k.pending) - 1)
		_ = k.p.Flush()
		if got := k.p.drops[port.DropKernelInvalid]; got != uint64(i+1) {
			t.Fatalf("address %x: %d counted", wrong, got)
		}
	}
	binary.LittleEndian.PutUint64(k.p.sock.umem.memory[right&^1-ticketBytes:], 3)
	k.complete(0)
	_ = k.p.Flush()
	if c := k.p.Census(); c.Slots != 1 || !c.Balanced() || k.p.Completed(make([]uint64, 1)) != 0 {
		t.Errorf("a ticket of another frame was believed: %+v", c)
	}
}

package porttest

import (
	"errors"
	"testing"
	"time"

	"gannet/checksum"
	"gannet/dataplane/port"
)

var cases = []struct {
	name string
	run  func(r *rig)
}{
	{"Caps", caseCaps},
	{"Echo", caseEcho},
	{"ReplyOfOtherLength", caseReplyLength},
	{"RequestMetadata", caseMetadata},
	{"OrderWithinBatch", caseBatch},
	{"Tail", caseTail},
	{"TailSums", caseTailSums},
	{"InPlace", caseInPlace},
	{"TokensInOrder", caseTokens},
	{"Lease", caseLease},
	{"LeaseWhenNoneFree", caseExhaustion},
	{"Release", caseRelease},
	{"TooLong", caseTooLong},
	{"TokenOfTooLong", caseTooLongToken},
	{"RawImport", caseRaw},
	{"ImportOfJunk", caseJunk},
	{"WaitReturnsForDatagram", caseWait},
	{"WakeEndsWait", caseWake},
	{"WaitTimesOut", caseTimeout},
	{"NoAllocation", caseAllocation},
	{"CensusAfterMany", caseCensus},
	{"Closed", caseClosed},
}

func caseCaps(r *rig) {
	c := r.caps
	if c.Rung == 0 || c.MaxBatch < 1 || c.MaxPayload < 1200 || c.MaxPayload6 < 1200 {
		r.t.Errorf("implausible capabilities: %+v", c)
	}
	if c.MaxPayload6 > c.MaxPayload {
		r.t.Errorf("IPv6 headers are longer, yet MaxPayload6 %d > MaxPayload %d", c.MaxPayload6, c.MaxPayload)
	}
	if c.MaxSegments != 1 && c.MaxSegments != 2 {
		r.t.Errorf("MaxSegments = %d", c.MaxSegments)
	}
	r.settle()
}

func caseEcho(r *rig) {
	for _, n := range []int{1, 2, 17, 18, 64, 112, 127, 128, 1000, r.maxPayload() - 1, r.maxPayload()} {
		want := r.pattern(n, uint64(n))
		rx := r.request(want)
		r.same(rx.Payload, want)
		r.reply(port.Tx{Frame: rx.Frame, Bytes: n})
		r.expect(want)
	}
	r.settle()
}

func caseReplyLength(r *rig) {
	for i, n := range []int{1, 40, 500, 1001, r.maxPayload()} {
		rx := r.request(r.pattern(128, uint64(i)))
		if cap(rx.Payload) < r.maxPayload() {
			r.t.Fatalf("room for a reply of %d bytes, want at least %d", cap(rx.Payload), r.maxPayload())
		}
		want := r.pattern(n, uint64(n))
		copy(rx.Payload[:n], want)
		r.reply(port.Tx{Frame: rx.Frame, Bytes: n})
		r.expect(want)
	}
	r.settle()
}

func caseMetadata(r *rig) {
	before := port.BootNanos()
	rx := r.request(r.pattern(100, 1))
	after := port.BootNanos()
	if rx.From != r.Peer.Addr() {
		r.t.Errorf("From = %v, the peer is %v", rx.From, r.Peer.Addr())
	}
	if rx.Queue != r.caps.Queue {
		r.t.Errorf("Queue = %d, the port serves %d", rx.Queue, r.caps.Queue)
	}
	if rx.LocalPort == 0 {
		r.t.Error("no local port")
	}
	// Real-time stamps are converted with an offset measured now and then: 2 ms of
	// clock correction are forgiven.
	if slack := int64(2 * time.Millisecond); rx.ArrivedNanos < before-slack || rx.ArrivedNanos > after+slack {
		r.t.Errorf("arrived at %d, sent and received between %d and %d", rx.ArrivedNanos, before, after)
	}
	r.Port.Release(rx.Frame)
	r.settle()
}

func caseBatch(r *rig) {
	n := min(r.window(), r.caps.MaxBatch)
	r.flush()
	for i := range n {
		r.send(r.pattern(64+i, uint64(i)))
	}
	rx := r.receive(n)
	tx := make([]port.Tx, n)
	for i := range rx {
		r.same(rx[i].Payload, r.pattern(64+i, uint64(i)))
		tx[i] = port.Tx{Frame: rx[i].Frame, Bytes: 64 + i}
	}
	if c := r.Port.Census(); c.Held != n {
		r.t.Errorf("holding %d frames, the census says %+v", n, c)
	}
	r.reply(tx...)
	for i := range n {
		r.expect(r.pattern(64+i, uint64(i)))
	}
	r.settle()
}

// caseTail: the loop may always pass a tail, whatever MaxSegments says.
func caseTail(r *rig) {
	for i, pieces := range [][2]int{{112, 1024}, {113, 1024}, {112, 1}, {111, 333}, {112, r.maxPayload() - 112}} {
		head, tail := r.pattern(pieces[0], uint64(i)), r.tail(pieces[1], uint64(i+100))
		rx := r.request(r.pattern(128, 7))
		copy(rx.Payload[:len(head)], head)
		r.reply(port.Tx{Frame: rx.Frame, Bytes: len(head), Tail: tail, Token: uint64(i + 1)})
		r.expect(append(head, tail...))
		if got := r.tokens(1); len(got) != 1 || got[0] != uint64(i+1) {
			r.t.Fatalf("tokens %v, want %d", got, i+1)
		}
	}
	r.settle()
}

// caseInPlace offers room in front of the tail. A port may use it or not: what arrives
// is the same, the tail stays what it is, and its token comes back.
func caseInPlace(r *rig) {
	memory := r.Tails
	if memory == nil {
		memory = make([]byte, 64<<10)
	}
	const slotBytes = 9 << 10 // so that some cross a border of 4 KiB
	for i, pieces := range [][2]int{{112, 1024}, {111, 1}, {112, 1001}, {112, r.maxPayload() - 112}, {12, r.maxPayload() - 12}} {
		head, at := r.pattern(pieces[0], uint64(i)), i*slotBytes+port.HeaderRoomBytes
		tail := memory[at : at+pieces[1]]
		want := r.pattern(pieces[1], uint64(i+100))
		copy(tail, want)
		rx := r.request(r.pattern(128, 7))
		copy(rx.Payload[:len(head)], head)
		r.reply(port.Tx{Frame: rx.Frame, Bytes: len(head), Tail: tail, Token: uint64(i + 1), RoomBytes: port.HeaderRoomBytes})
		r.expect(append(head, want...))
		if got := r.tokens(1); len(got) != 1 || got[0] != uint64(i+1) {
			r.t.Fatalf("tokens %v, want %d", got, i+1)
		}
		r.same(tail, want)
		if c := r.Port.Census(); c.Slots != 0 {
			r.t.Fatalf("%d slots are in flight after their token came back", c.Slots)
		}
	}
	r.settle()
}

// caseTailSums gives the port the sum of the payload, so that it need not read the
// tail. A wrong use of it shows where a kernel verifies the checksum.
func caseTailSums(r *rig) {
	for i, pieces := range [][2]int{{112, 0}, {112, 1024}, {113, 1001}, {48, 7}, {1, 1}} {
		head, tail := r.pattern(pieces[0], uint64(i)), r.tail(pieces[1], uint64(i+100))
		whole := append(head, tail...)
		rx := r.request(r.pattern(128, 7))
		copy(rx.Payload[:pieces[0]], whole)
		r.reply(port.Tx{
			Frame: rx.Frame, Bytes: pieces[0], Tail: tail,
			PayloadSum: checksum.Sum(whole), HasSum: true,
		})
		r.expect(whole)
	}
	r.settle()
}

func caseTokens(r *rig) {
	n := min(r.window(), r.caps.MaxBatch)
	r.flush()
	for range n {
		r.send(r.pattern(128, 3))
	}
	tail := r.tail(512, 4)
	tx := make([]port.Tx, n)
	for i, rx := range r.receive(n) {
		tx[i] = port.Tx{Frame: rx.Frame, Bytes: 112, Tail: tail, Token: uint64(1000 + i)}
		if i%4 == 3 {
			tx[i].Token = 0 // not wanted: must not be reported
		}
	}
	r.reply(tx...)
	got := r.tokens(n - n/4)
	for i, at := 0, 0; i < n; i++ {
		if i%4 == 3 {
			continue
		}
		if got[at] != uint64(1000+i) {
			r.t.Fatalf("tokens %v are not in the order of the sends", got)
		}
		at++
	}
	r.settle()
	if extra := r.Port.Completed(make([]uint64, 4)); extra != 0 {
		r.t.Errorf("%d tokens too many", extra)
	}
}

func caseLease(r *rig) {
	rx := r.request(r.pattern(128, 1))
	want := [][]byte{r.pattern(1200, 10), r.pattern(1200, 11), r.pattern(1200, 12), r.pattern(300, 13)}
	tx := []port.Tx{{Frame: rx.Frame, Bytes: len(want[0])}}
	for _, w := range want[1:] {
		more, ok := r.Port.Lease(rx.Frame)
		if !ok {
			r.t.Fatal("no frame to lease")
		}
		if more.From != rx.From || more.LocalPort != rx.LocalPort {
			r.t.Errorf("leased frame is addressed to %v, not to %v", more.From, rx.From)
		}
		if len(more.Payload) != 0 || cap(more.Payload) < r.maxPayload() {
			r.t.Fatalf("leased payload has length %d and room for %d", len(more.Payload), cap(more.Payload))
		}
		copy(more.Payload[:len(w)], w)
		tx = append(tx, port.Tx{Frame: more.Frame, Bytes: len(w)})
	}
	copy(rx.Payload[:len(want[0])], want[0])
	r.reply(tx...)
	for _, w := range want {
		r.expect(w)
	}
	r.settle()
}

func caseExhaustion(r *rig) {
	rx := r.request(r.pattern(128, 1))
	var leased []port.Rx
	for {
		more, ok := r.Port.Lease(rx.Frame)
		if !ok {
			break
		}
		leased = append(leased, more)
		if len(leased) > r.all {
			r.t.Fatalf("leased %d frames, the port has only %d", len(leased), r.all)
		}
	}
	if c := r.Port.Census(); !c.Balanced() || c.Held != len(leased)+1 || c.Free != 0 {
		r.t.Errorf("with %d frames leased and one received the census is %+v", len(leased), c)
	}
	// Frames that were lent to the network before still receive.
	var late []port.Rx
	for i := range 3 {
		late = append(late, r.request(r.pattern(300, uint64(i))))
	}
	for i, l := range late {
		r.same(l.Payload, r.pattern(300, uint64(i)))
		r.Port.Release(l.Frame)
	}
	for _, l := range leased {
		r.Port.Release(l.Frame)
	}
	again, ok := r.Port.Lease(rx.Frame)
	if !ok {
		r.t.Fatal("released frames cannot be leased again")
	}
	r.Port.Release(again.Frame)
	r.Port.Release(rx.Frame)
	r.settle()
	want := r.pattern(200, 9)
	rx = r.request(want)
	r.reply(port.Tx{Frame: rx.Frame, Bytes: 200})
	r.expect(want)
	r.settle()
}

func caseRelease(r *rig) {
	for i := range 50 {
		rx := r.request(r.pattern(100+i, uint64(i)))
		r.Port.Release(rx.Frame)
	}
	r.expectNothing()
	r.settle()
}

func caseTooLong(r *rig) {
	rx := r.request(r.pattern(128, 1))
	before := r.drops(port.DropTooLong)
	r.reply(port.Tx{Frame: rx.Frame, Bytes: 1000, Tail: r.tail(r.maxPayload()-999, 2)})
	r.settle()
	if n := r.drops(port.DropTooLong) - before; n != 1 {
		r.t.Errorf("%d datagrams counted as too long, want 1", n)
	}
	r.expectNothing()
}

func caseTooLongToken(r *rig) {
	r.flush()
	r.send(r.pattern(128, 1))
	r.send(r.pattern(128, 1))
	rx := r.receive(2)
	tail := r.tail(r.maxPayload(), 2)
	r.reply(
		port.Tx{Frame: rx[0].Frame, Bytes: 112, Tail: tail[:100], Token: 1},
		port.Tx{Frame: rx[1].Frame, Bytes: 112, Tail: tail, Token: 2},
	)
	got := r.tokens(2)
	if len(got) != 2 || got[0]+got[1] != 3 {
		r.t.Errorf("tokens %v, want 1 and 2: a dropped datagram's tail is free, too", got)
	}
	r.settle()
}

func caseRaw(r *rig) {
	want := r.pattern(777, 5)
	rx := r.request(want)
	copied, ok := r.Port.Import(r.Port.Raw(rx.Frame), rx.Queue+5, 424242)
	if !ok {
		r.t.Fatal("a port does not understand its own raw datagram")
	}
	r.same(copied.Payload, want)
	if copied.Queue != rx.Queue+5 || copied.ArrivedNanos != 424242 || copied.From != rx.From || copied.LocalPort != rx.LocalPort {
		r.t.Errorf("imported %+v from %+v", copied, rx)
	}
	r.Port.Release(rx.Frame)
	answer := r.pattern(1111, 6)
	copy(copied.Payload[:len(answer)], answer)
	r.reply(port.Tx{Frame: copied.Frame, Bytes: len(answer)})
	r.expect(answer)
	r.settle()
}

func caseJunk(r *rig) {
	for _, n := range []int{0, 1, 13, 64, 200, 1 << 16} {
		if _, ok := r.Port.Import(r.pattern(n, 3), 0, 0); ok {
			r.t.Errorf("%d bytes of junk were taken for a datagram", n)
		}
	}
	r.settle()
}

func caseWait(r *rig) {
	r.flush()
	returned := make(chan error, 1)
	go func() {
		returned <- r.Port.Wait(giveUp)
	}()
	r.send(r.pattern(128, 1))
	if err := <-returned; err != nil {
		r.t.Fatalf("Wait: %v", err)
	}
	for _, rx := range r.receive(1) {
		r.Port.Release(rx.Frame)
	}
	r.settle()
}

func caseWake(r *rig) {
	r.flush()
	r.Port.Wake() // before the Wait: it must not be lost
	start := time.Now()
	if err := r.Port.Wait(giveUp); err != nil {
		r.t.Fatalf("Wait: %v", err)
	}
	returned := make(chan error, 1)
	go func() { returned <- r.Port.Wait(giveUp) }()
	r.Port.Wake()
	if err := <-returned; err != nil {
		r.t.Fatalf("Wait: %v", err)
	}
	if time.Since(start) >= giveUp {
		r.t.Error("Wait ended by its timeout, not by Wake")
	}
	r.settle()
}

func caseTimeout(r *rig) {
	r.settle()
	r.flush()
	if err := r.Port.Wait(time.Millisecond); err != nil {
		r.t.Errorf("Wait: %v", err)
	}
	if err := r.Port.Wait(0); err != nil {
		r.t.Errorf("Wait(0): %v", err)
	}
}

// caseAllocation counts allocations of the port alone: the peer sends and receives
// outside the measured part.
func caseAllocation(r *rig) {
	rx, tx := make([]port.Rx, 8), make([]port.Tx, 8)
	tokens := make([]uint64, 8)
	tail := r.tail(256, 1)
	payload := r.pattern(128, 2)
	const rounds = 20
	r.flush()
	for range rounds + 1 {
		r.send(payload)
	}
	served := 0
	allocations := testing.AllocsPerRun(rounds, func() {
		n := r.Port.Recv(rx[:1])
		for i := range n {
			tx[i] = port.Tx{Frame: rx[i].Frame, Bytes: 112, Tail: tail, Token: 1}
		}
		served += r.Port.Send(tx[:n])
		_ = r.Port.Flush()
		r.Port.Completed(tokens)
		_ = r.Port.Wait(time.Millisecond)
	})
	if served < rounds/2 {
		r.t.Fatalf("served only %d of %d: the measurement says nothing", served, rounds)
	}
	// A memory port without a sink copies each datagram for Take: not the port's.
	if limit := map[bool]float64{true: 1}[r.caps.Rung == port.RungMemory]; allocations > limit {
		r.t.Errorf("%.1f allocations a round", allocations)
	}
	for range r.receiveRest(rounds + 1 - served) {
		served++
	}
	r.settle()
}

// receiveRest receives and releases n datagrams.
func (r *rig) receiveRest(n int) []port.Rx {
	if n <= 0 {
		return nil
	}
	rest := r.receive(n)
	for _, rx := range rest {
		r.Port.Release(rx.Frame)
	}
	return rest
}

func caseCensus(r *rig) {
	total, window := orElse(r.Datagrams, 2000), r.window()
	payload := r.pattern(128, 1)
	tail := r.tail(600, 2)
	for done := 0; done < total; done += window {
		r.flush()
		for range window {
			r.send(payload)
		}
		tx := make([]port.Tx, 0, window)
		for i, rx := range r.receive(window) {
			switch i % 5 {
			case 0:
				r.Port.Release(rx.Frame)
			case 1:
				tx = append(tx, port.Tx{Frame: rx.Frame, Bytes: 112, Tail: tail, Token: uint64(done + i + 1)})
			default:
				tx = append(tx, port.Tx{Frame: rx.Frame, Bytes: 128})
			}
		}
		answers := len(tx)
		r.reply(tx...)
		for range answers {
			r.peerReceives()
		}
		r.Port.Completed(make([]uint64, window))
	}
	r.settle()
}

func (r *rig) peerReceives() {
	deadline := time.Now().Add(giveUp)
	for {
		_, err := r.Peer.Receive(r.buf, 20*time.Millisecond)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no datagram reached the peer: %v; census %+v", err, r.Port.Census())
		}
		r.flush()
	}
}

func caseClosed(r *rig) {
	rx := r.request(r.pattern(128, 1))
	r.Port.Release(rx.Frame)
	if err := r.Port.Close(); err != nil {
		r.t.Fatalf("Close: %v", err)
	}
	if err := r.Port.Flush(); !errors.Is(err, port.ErrClosed) {
		r.t.Errorf("Flush after Close: %v", err)
	}
	if err := r.Port.Wait(time.Second); !errors.Is(err, port.ErrClosed) {
		r.t.Errorf("Wait after Close: %v", err)
	}
	if n := r.Port.Recv(make([]port.Rx, 4)); n != 0 {
		r.t.Errorf("Recv after Close returned %d", n)
	}
	r.Port.Wake() // must not touch a closed descriptor
	if err := r.Port.Close(); err != nil {
		r.t.Errorf("second Close: %v", err)
	}
}

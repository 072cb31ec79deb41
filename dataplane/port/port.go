package port

import (
	"errors"
	"time"
)

// Frame names a frame of one port. It is meaningless to any other port.
type Frame uint32

// Addr is the peer of a datagram: an IPv6 address, or an IPv4 one mapped into it
// (RFC 4291, 2.5.5.2), and a UDP port in host order.
type Addr struct {
	IP   [16]byte
	Port uint16
}

// Rung is a step of the datapath ladder, best first.
type Rung uint8

// The ladder (best first).
const (
	RungXDPZeroCopy Rung = iota + 1
	RungXDPCopy
	RungXDPGeneric
	RungUDP
	RungMemory // tests and benchmarks only
)

var rungNames = [...]string{"none", "xdp-zerocopy", "xdp-copy", "xdp-generic", "udp", "memory"}

// String returns the name used in logs, metrics and command output.
func (r Rung) String() string {
	if int(r) < len(rungNames) {
		return rungNames[r]
	}
	return "unknown"
}

// Caps is what a port can do. It is constant while the port is open.
type Caps struct {
	Rung          Rung
	Queue         uint16 // hardware receive queue (xdp), or socket index (udp)
	MaxBatch      int    // datagrams a Recv or Send can take at most
	MaxPayload    int    // UDP payload bytes that fit the path's MTU for IPv4 peers
	MaxPayload6   int    // the same for IPv6 peers
	Headroom      int    // bytes in front of Payload reserved for headers, tags and metadata
	MaxSegments   int    // pieces a reply may have: 1 = frame only, 2 = frame and tail
	ZeroCopyTail  bool   // tails leave without a copy by the kernel, too
	InPlaceBytes  int    // room that Tx.RoomBytes must offer beyond Tx.Bytes; 0 = the port sends nothing in place
	Departure     bool   // Tx.DepartureNanos is honoured by the port itself
	RxTimestamps  bool   // Rx.ArrivedNanos is the arrival, not the moment of Recv
	MultiBufferRx bool   // requests longer than a frame arrive whole
}

// Rx is one received datagram. All slices are borrowed: they are valid until the
// frame is sent or released.
type Rx struct {
	Frame        Frame
	Payload      []byte  // UDP payload; its capacity is the room for a reply in place
	More         []Frame // further frames of a multi-buffer datagram; nil otherwise
	From         Addr
	LocalPort    uint16
	Queue        uint16 // queue on which it arrived
	ArrivedNanos int64  // CLOCK_BOOTTIME
}

// Tx is one datagram to send: a frame that the loop holds, whose payload has been
// overwritten with the reply, and perhaps a tail.
type Tx struct {
	Frame Frame
	Bytes int    // payload bytes in the frame
	Tail  []byte // continues the payload, outside the frame; nil for none
	Token uint64 // returned by Completed once Tail is no longer read; 0 = not wanted
	// RoomBytes is the memory in front of Tail that the port may write to until it
	// returns the token. With Caps.InPlaceBytes + Bytes of it or more, headers and
	// frame part go there, and the datagram leaves as one piece. 0 = none.
	RoomBytes  int
	PayloadSum uint16 // one's-complement sum over frame part and tail, when HasSum
	HasSum     bool   // false: the port computes the sum (or offloads it)
	// DepartureNanos is the earliest time to send (CLOCK_BOOTTIME), 0 = now.
	// Ports without Caps.Departure send at once: the loop holds such frames itself.
	DepartureNanos int64
}

// Census counts the frames of a port by where they are.
type Census struct {
	Free, Fill, Rx, Held, Tx, Completion int
	All                                  int
	Slots                                int // of Tx and Completion, those that stand for a slot in flight
}

// Balanced says whether every frame is accounted for exactly once.
func (c Census) Balanced() bool {
	return c.Free+c.Fill+c.Rx+c.Held+c.Tx+c.Completion == c.All
}

// HeaderRoomBytes is the room to keep in front of a value that shall leave in place:
// Ethernet with one VLAN tag, IPv6 and UDP (66), Gannet's header with its tag (64)
// and one operation (48), transmit metadata (24), and padding to a multiple of 8.
const HeaderRoomBytes = 208

// Port carries datagrams for one shard. It is not safe for concurrent use.
type Port interface {
	Caps() Caps

	// Recv lends up to len(rx) received datagrams and returns how many.
	// It never blocks.
	Recv(rx []Rx) int

	// Send takes the frames of tx over, in order, and returns how many it took;
	// the rest stay with the caller (the queue is full, or Completed is due: try again
	// later). Nothing leaves before Flush. A tail may always be passed: where it
	// cannot be sent from its place, Send copies it, and its token is due at once. A
	// datagram longer than the path takes is taken, dropped and counted (too_long).
	Send(tx []Tx) int

	// Release takes an unanswered frame back.
	Release(f Frame)

	// Lease lends an empty frame addressed to the peer of like (which the caller
	// holds): its Payload has length 0 and room for a reply. False when no frame is free.
	Lease(like Frame) (Rx, bool)

	// Raw returns the whole datagram of a held frame, headers and peer included,
	// in a form that Import of another port of the same rung understands.
	Raw(f Frame) []byte

	// Import copies a datagram taken from another port with Raw into a free frame
	// and lends it, with the given arrival queue and time. False when no frame is
	// free or raw is not of this rung.
	Import(raw []byte, queue uint16, arrivedNanos int64) (Rx, bool)

	// Flush pushes sent frames out, refills the fill queue and reclaims
	// completions: one system call at most, and none when the driver is awake.
	Flush() error

	// Completed moves tokens of sent tails into tokens and returns how many.
	Completed(tokens []uint64) int

	// Wait sleeps until something can be received, a held queue has room again,
	// the timeout has passed or Wake was called. It is the only blocking call.
	Wait(timeout time.Duration) error

	// Wake ends a Wait. It is safe to call from any goroutine.
	Wake()

	// Census counts frames. Quiet ports return exact figures; while the kernel
	// moves frames, a frame seen twice or not at all is possible.
	Census() Census

	// Drops adds the port's own drop counters to into, by reason.
	Drops(into *Drops)

	Close() error
}

// DropReason says why a port dropped a datagram.
type DropReason uint8

// Reasons of ports. The kernel's own (rx queue full, fill queue empty, invalid
// descriptors) come from XDP_STATISTICS or SO_RXQ_OVFL.
const (
	DropHeaders       DropReason = iota // Ethernet, IP or UDP headers are not as steered
	DropTruncated                       // longer than a frame
	DropNoFrame                         // no free frame
	DropTxError                         // the kernel refused to send
	DropTooLong                         // the reply is longer than the MTU
	DropKernelRxFull                    // the receive queue was full
	DropKernelNoFill                    // the fill queue was empty
	DropKernelInvalid                   // invalid descriptors
	NumDropReasons
)

var dropNames = [NumDropReasons]string{
	"headers", "truncated", "no_frame", "tx_error", "too_long", "kernel_rx_full", "kernel_no_fill", "kernel_invalid",
}

// String returns the reason as used in metrics.
func (r DropReason) String() string {
	if r < NumDropReasons {
		return dropNames[r]
	}
	return "unknown"
}

// Drops counts dropped datagrams by reason.
type Drops [NumDropReasons]uint64

// ErrClosed is returned by calls on a closed port.
var ErrClosed = errors.New("port is closed")

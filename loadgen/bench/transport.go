package bench

import "net/netip"

// transport carries one thread's messages over its lanes. It is used by that thread
// alone, and allocates nothing between open and close.
type transport interface {
	// open adds a lane. sourcePort 0 takes any.
	open(to netip.AddrPort, sourcePort uint16) (lane int, err error)

	// buffer lends room for a message of a lane; nil when there is none now.
	buffer(lane int) []byte
	// commit queues the first n bytes of the buffer lent last.
	commit(lane, n int)
	// flush sends what is queued. What cannot leave now stays queued.
	flush() error

	// receive takes in what is there and says how many messages that is. They are
	// valid until the next call.
	receive() (int, error)
	// message is one of them: a datagram, or all unread bytes of a connection.
	message(i int) (lane int, data []byte)
	// consume says that so many bytes of a connection's message have been read.
	consume(i, n int)

	// wait sleeps until something can be received or the time is over.
	wait(nanos int64) error

	// stream says that lanes are connections: what comes is in order, complete, and
	// has no borders.
	stream() bool
	// maxPayload is the longest message that can be sent.
	maxPayload() int
	close() error
}

// batch is how many messages leave or arrive at once.
const batch = 64

// codec speaks a protocol.
type codec interface {
	// parts is how many messages a request takes.
	parts(write bool, keys []uint32) int
	// encode writes one of them and returns its length; 0 when b is too short.
	encode(b []byte, l *lane, sequence uint64, s *slot, keys []uint32, part int) int
	// closings is how many answers of its own the protocol has after those of the
	// operations.
	closings(write bool) int
	// decode reads a message: a datagram whole, or the complete answers at the
	// beginning of a connection's bytes. It returns the bytes read.
	decode(w *worker, l *lane, data []byte) int
}

// lane is a flow.
type lane struct {
	index      int // in the transport
	shard      int
	pending    pending
	assemblies assemblies // memcached over UDP

	// Gannet's.
	epoch   uint32
	session uint64
	header  []byte // template of a request
	rxQueue uint16 // on which the server got the HELLO
}

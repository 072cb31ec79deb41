package wirefuzz

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"gannet/wire"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

const (
	batchSize = 64 // what a default socket buffer takes of full datagrams
	// ownID marks the request ids of questions whose answers are waited for.
	ownID = uint64(1) << 63
	// receiveBufferBytes is asked for, so that no reply is lost uncounted.
	receiveBufferBytes = 16 << 20
)

// answer is the first operation of a reply, with its value copied.
type answer struct {
	requestID uint64
	op        wire.ReplyOp
}

type batchConn interface {
	WriteBatch(messages []ipv4.Message, flags int) (int, error)
	ReadBatch(messages []ipv4.Message, flags int) (int, error)
}

// source is one socket, one address in the node's eyes. The sender's fields belong to the goroutine of Run; those behind mu are
// written by the receiver.
type source struct {
	conn     *net.UDPConn
	batch    batchConn
	messages []ipv4.Message // to be sent: pending of them
	buffers  [][]byte
	pending  int
	refused  int // sends that met an ICMP unreachable

	answers chan answer
	done    chan struct{}

	mu      sync.Mutex
	traffic Traffic
	lengths lengthTable
}

func newSource(target netip.AddrPort) (*source, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(target))
	if err != nil {
		return nil, fmt.Errorf("a socket for %v: %w", target, err)
	}
	s := &source{conn: conn, answers: make(chan answer, 64), done: make(chan struct{})}
	s.batch = ipv4.NewPacketConn(conn)
	if target.Addr().Is6() && !target.Addr().Is4In6() {
		s.batch = ipv6.NewPacketConn(conn)
	}
	if err := growReceiveBuffer(conn, receiveBufferBytes); err != nil {
		_ = conn.Close()
		return nil, err
	}
	for range batchSize {
		s.buffers = append(s.buffers, make([]byte, maxPayloadBytes+512))
	}
	s.messages = make([]ipv4.Message, batchSize)
	for i := range s.messages {
		s.messages[i].Buffers = make([][]byte, 1)
	}
	go s.receive()
	return s, nil
}

func (s *source) close() {
	_ = s.conn.Close()
	<-s.done
}

// slot returns the buffer in which the next datagram may be built.
func (s *source) slot() []byte {
	return s.buffers[s.pending][:maxPayloadBytes]
}

// add queues b, which was built in slot or beside it; a full batch is sent.
func (s *source) add(b []byte) error {
	s.messages[s.pending].Buffers[0] = b
	s.pending++
	s.mu.Lock()
	s.traffic.Sent++
	s.traffic.BytesSent += int64(len(b))
	s.lengths.put(b)
	s.mu.Unlock()
	if s.pending == batchSize {
		return s.flush()
	}
	return nil
}

// flush sends what is queued. An unreachable port is counted, not an error: the run's questions find out whether the node lives.
func (s *source) flush() error {
	for from := 0; from < s.pending; {
		n, err := s.batch.WriteBatch(s.messages[from:s.pending], 0)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			s.refused++
		case errors.Is(err, syscall.ENOBUFS):
		case err != nil:
			return fmt.Errorf("sending to the node: %w", err)
		}
		from += max(n, 0)
	}
	s.pending = 0
	return nil
}

// receive counts every reply until the socket is closed, and passes on the answers to questions.
func (s *source) receive() {
	defer close(s.done)
	messages := make([]ipv4.Message, batchSize)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, wire.MaxDatagramBytes)}
	}
	var reply wire.Reply
	for {
		n, err := s.batch.ReadBatch(messages, 0)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		for i := range max(n, 0) {
			s.take(messages[i].Buffers[0][:messages[i].N], &reply)
		}
	}
}

func (s *source) take(b []byte, reply *wire.Reply) {
	reason := wire.ParseReply(b, reply)
	s.mu.Lock()
	s.traffic.Replies++
	s.traffic.BytesReceived += int64(len(b))
	if reason != wire.ReasonNone {
		s.traffic.BadReplies++
		s.mu.Unlock()
		return
	}
	s.weigh(reply.RequestID, len(b))
	var op wire.ReplyOp
	ops := reply.Ops()
	ops.Next(&op)
	s.traffic.Statuses[op.Status]++
	s.mu.Unlock()
	if reply.RequestID&ownID == 0 {
		return
	}
	op.Value = append([]byte(nil), op.Value...)
	select {
	case s.answers <- answer{reply.RequestID, op}:
	default: // nobody waits: an answer to a question asked twice
	}
}

// weigh holds a reply against the datagram it answers.
func (s *source) weigh(requestID uint64, replyBytes int) {
	sent, received := s.lengths.received(requestID, replyBytes)
	if sent == 0 {
		return
	}
	if received > sent {
		s.traffic.Amplified++
	}
	s.traffic.WorstRatio = max(s.traffic.WorstRatio, float64(received)/float64(sent))
}

// waitFor returns the next answer to requestID.
func (s *source) waitFor(ctx context.Context, requestID uint64) (wire.ReplyOp, error) {
	for {
		select {
		case a := <-s.answers:
			if a.requestID == requestID {
				return a.op, nil
			}
		case <-ctx.Done():
			return wire.ReplyOp{}, ctx.Err()
		}
	}
}

func (s *source) snapshot() Traffic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.traffic
}

// lengthTable remembers the lengths of the datagrams sent last and what came back for each.
type lengthTable [1 << 14]struct {
	requestID      uint64
	sent, received int
}

// put remembers b by the request id that a reply would echo. Those too short to have one are answered by nobody.
func (t *lengthTable) put(b []byte) {
	if len(b) < wire.PrefixBytes {
		return
	}
	requestID := binary.LittleEndian.Uint64(b[wire.OffsetRequestID:])
	e := &t[requestID%uint64(len(t))]
	e.requestID, e.sent, e.received = requestID, len(b), 0
}

// received adds a reply; sent is 0 when the datagram is not known.
func (t *lengthTable) received(requestID uint64, replyBytes int) (sent, received int) {
	e := &t[requestID%uint64(len(t))]
	if e.requestID != requestID {
		return 0, 0
	}
	e.received += replyBytes
	return e.sent, e.received
}

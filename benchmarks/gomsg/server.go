package gomsg

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"gannet/checksum"
	"gannet/wire"
)

const (
	batch         = 64
	requestBytes  = 4096
	replyBytes    = 4096
	maxValueBytes = 2048
	// cookie is the same for everybody: this server is for measurements only.
	cookie = 0x6E47
	// wake is how often a blocked server looks whether it should end.
	wake = 100 * time.Millisecond
)

// item is a stored value; its CRC is taken once, when it is stored.
type item struct {
	value []byte
	crc   uint32
}

// Server is one socket with its map.
type Server struct {
	fd      int
	items   map[string]item
	version uint64
	in, out *datagrams
	queued  int // replies in out
	request wire.Request
	op      wire.Op
	writer  wire.ReplyWriter
}

// Listen opens the socket.
func Listen(addr netip.AddrPort) (*Server, error) {
	if !addr.Addr().Is4() {
		return nil, fmt.Errorf("gomsg: %v: give an IPv4 address", addr)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("gomsg: socket: %w", err)
	}
	timeout := unix.NsecToTimeval(int64(wake))
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20),
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("gomsg: %v: %w", addr, err)
	}
	return &Server{
		fd: fd, items: map[string]item{}, in: newDatagrams(batch, requestBytes), out: newDatagrams(batch, replyBytes),
	}, nil
}

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	defer unix.Close(s.fd)
	for ctx.Err() == nil {
		n, err := s.in.receive(s.fd)
		if err != nil {
			return err
		}
		for i := range n {
			s.answer(i)
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
	return nil
}

// answer builds the replies to datagram i. What is malformed is dropped.
func (s *Server) answer(i int) {
	if wire.ParseRequest(s.in.received(i), &s.request) != wire.ReasonNone {
		return
	}
	s.begin()
	ops := s.request.Ops()
	for ops.Next(&s.op) {
		reply := s.execute()
		if s.writer.Append(&reply) {
			continue
		}
		s.finish(i)
		s.begin()
		if !s.writer.Append(&reply) { // too long for any datagram
			s.writer.Append(&wire.ReplyOp{Code: reply.Code, Status: wire.StatusTooLarge, Index: reply.Index})
		}
	}
	s.finish(i)
}

// begin opens the next reply in a sending buffer; full ones go first.
func (s *Server) begin() {
	if s.queued == batch {
		_ = s.flush() // an error shows at the next flush, too
	}
	header := s.request.ReplyHeader()
	s.writer.Begin(s.out.buffer(s.queued)[:min(replyBytes, s.request.ReplyRoomBytes())], &header, false)
}

func (s *Server) finish(i int) {
	if s.writer.Count() == 0 {
		return
	}
	s.out.address(s.queued, s.in, i, s.writer.Finish())
	s.queued++
}

func (s *Server) flush() error {
	n := s.queued
	s.queued = 0
	return s.out.send(s.fd, n)
}

func (s *Server) execute() wire.ReplyOp {
	reply := wire.ReplyOp{Code: s.op.Code, Index: uint16(s.op.Index), TTLSeconds: wire.NoTTL}
	switch s.op.Code {
	case wire.Get:
		s.get(&reply)
	case wire.Put:
		s.put(&reply)
	case wire.Ping:
	case wire.Hello:
		hello := wire.HelloReply{Shards: 1, MaxValueBytes: maxValueBytes, MaxPayloadBytes: requestBytes, BasePort: s.Port(), NodeID: 1, BootID: 1}
		reply.Value = make([]byte, wire.HelloReplyBytes)
		hello.Put(reply.Value)
		reply.Token, reply.CRC = cookie, checksum.CRC(reply.Value)
		reply.TotalBytes = wire.HelloReplyBytes
	default:
		reply.Status = wire.StatusUnsupported
	}
	return reply
}

func (s *Server) get(reply *wire.ReplyOp) {
	found, ok := s.items[string(s.op.Key)]
	if !ok {
		reply.Status = wire.StatusMiss
		return
	}
	reply.Value, reply.CRC, reply.Version = found.value, found.crc, wire.MakeVersion(0, 1)
	reply.TotalBytes = uint32(len(found.value))
}

func (s *Server) put(reply *wire.ReplyOp) {
	if s.op.Flags&wire.OpSegment != 0 {
		reply.Status = wire.StatusTooLarge
		return
	}
	s.version++
	reply.Version = wire.MakeVersion(0, s.version)
	stored := item{value: append([]byte(nil), s.op.Value...)}
	stored.crc = checksum.CRC(stored.value)
	s.items[string(s.op.Key)] = stored
}

// Port is where it listens.
func (s *Server) Port() uint16 {
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return 0
	}
	if a, ok := name.(*unix.SockaddrInet4); ok {
		return uint16(a.Port)
	}
	return 0
}

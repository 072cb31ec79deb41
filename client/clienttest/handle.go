package clienttest

import (
	"net/netip"
	"time"

	"gannet/checksum"
	"gannet/wire"
)

// handle answers one datagram.
func (s *Server) handle(shard int, from netip.AddrPort, datagram []byte) ([][]byte, func([]byte) time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var request wire.Request
	if reason := wire.ParseRequest(datagram, &request); reason != wire.ReasonNone {
		return nil, nil
	}
	s.ports[from.Port()]++
	if !s.network.takes(&request) {
		return nil, nil
	}
	r := s.begin(shard, from, &request)
	ops := request.Ops()
	var op wire.Op
	for ops.Next(&op) {
		s.counts[op.Code]++
		if op.Code.NeedsCookie() && !s.config.NoCookies && request.Cookie != s.cookie(from) {
			return s.network.carry(r.demandCookie(s.cookie(from))), s.network.Delay
		}
		if status, forced := s.force(op.Code); forced {
			r.add(&wire.ReplyOp{Code: op.Code, Status: status, Index: uint16(op.Index)})
			continue
		}
		if s.moved(r, &op) {
			continue
		}
		s.do(r, &request, &op, from)
	}
	return s.network.carry(r.finish()), s.network.Delay
}

// cookie is a sum over the address, good enough to tell sockets apart.
func (s *Server) cookie(from netip.AddrPort) uint64 {
	return s.secret<<32 | uint64(from.Port())<<8 | 1
}

// force returns the status ordered by Answer, if any.
func (s *Server) force(code wire.Opcode) (wire.Status, bool) {
	for i := range s.forced {
		if f := &s.forced[i]; f.code == code && f.times > 0 {
			f.times--
			return f.status, true
		}
	}
	return 0, false
}

// do carries out one operation.
func (s *Server) do(r *replies, request *wire.Request, op *wire.Op, from netip.AddrPort) {
	answer := wire.ReplyOp{Code: op.Code, Index: uint16(op.Index), TTLSeconds: wire.NoTTL}
	switch op.Code {
	case wire.Hello:
		s.hello(&answer, from)
	case wire.Ping:
		if s.config.Echo && request.MaxReplyBytes > wire.DefaultReplyRoomBytes {
			answer.Value = op.Value
		}
	case wire.Stats:
		answer.Value = []byte(`{"evictions":0,"policy":"none","datapath":"test"}`)
	case wire.Ring:
		s.handOutRing(op, &answer)
	case wire.Get:
		s.get(r, request, op, &answer)
		return
	default:
		s.store.write(request, op, &answer)
	}
	answer.TotalBytes = max(answer.TotalBytes, uint32(len(answer.Value)))
	answer.CRC = checksum.CRC(answer.Value)
	r.add(&answer)
}

func (s *Server) hello(answer *wire.ReplyOp, from netip.AddrPort) {
	hello := wire.HelloReply{
		Shards: uint16(s.config.Shards), BasePort: s.base,
		MaxValueBytes: uint32(s.config.MaxValueBytes), MaxPayloadBytes: wire.MaxDatagramBytes,
		NodeID: s.config.NodeID, BootID: 1,
	}
	answer.Value = make([]byte, wire.HelloReplyBytes)
	hello.Put(answer.Value)
	answer.Token = s.cookie(from)
}

// get answers a GET, in several datagrams where one does not hold the value.
func (s *Server) get(r *replies, request *wire.Request, op *wire.Op, answer *wire.ReplyOp) {
	it := s.store.items[string(op.Key)]
	switch {
	case it == nil:
		answer.Status = wire.StatusMiss
		if op.Flags&wire.OpLease != 0 {
			s.store.lease(op, request, answer)
		}
		r.add(answer)
		return
	case it.version < uint64(request.MinVersion):
		answer.Status, answer.Version = wire.StatusBehind, wire.Version(it.version)
		r.add(answer)
		return
	case op.Flags&wire.OpSegment != 0 && op.Transfer != 0 && op.Transfer != it.version:
		answer.Status, answer.Version = wire.StatusChanged, wire.Version(it.version)
		r.add(answer)
		return
	}
	it.describe(answer)
	s.store.describeHot(it, op, request, answer)
	from, to := 0, len(it.value)
	if op.Flags&wire.OpSegment != 0 {
		from = min(int(op.OffsetBytes), to)
		if op.TotalBytes != 0 {
			to = min(from+int(op.TotalBytes), to)
		}
	}
	if op.Flags&wire.OpNoValue != 0 {
		to = from
	}
	r.addValue(answer, it.value, from, to)
}

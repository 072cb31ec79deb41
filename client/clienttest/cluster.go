package clienttest

import (
	"fmt"
	"net/netip"
	"testing"

	"gannet/ring"
	"gannet/wire"
)

// NewCluster starts nodes that end with the test, with a ring of them all. Each
// holds its items alone: what one stores the others do not get.
func NewCluster(t testing.TB, nodes int, config Config) []*Server {
	t.Helper()
	servers := make([]*Server, nodes)
	for i := range servers {
		config.NodeID = uint64(i + 1)
		servers[i] = New(t, config)
	}
	Publish(t, NewRing(t, 1, servers...), servers...)
	return servers
}

// NewRing makes a ring of the servers with two replicas.
func NewRing(t testing.TB, epoch uint32, servers ...*Server) *ring.Ring {
	t.Helper()
	members := make([]ring.Member, len(servers))
	for i, s := range servers {
		members[i] = s.Member()
	}
	r, err := ring.New(epoch, members)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Publish gives the servers a ring.
func Publish(t testing.TB, r *ring.Ring, servers ...*Server) {
	t.Helper()
	for _, s := range servers {
		s.SetRing(r)
	}
}

// Member is the node as it stands in a ring.
func (s *Server) Member() ring.Member {
	return ring.Member{
		ID: s.config.NodeID, Name: fmt.Sprintf("node-%d", s.config.NodeID), Weight: 1,
		Shards: uint16(s.config.Shards), Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.base),
		Control: s.control,
	}
}

// SetRing makes a ring the node's own.
func (s *Server) SetRing(r *ring.Ring) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring = r
}

func (s *Server) epoch() uint32 {
	if s.ring == nil {
		return 0
	}
	return s.ring.Epoch()
}

// moved answers MOVED when the ring gives the operation's key to other nodes: reads
// are for all replicas, writes for the leader.
func (s *Server) moved(r *replies, op *wire.Op) bool {
	if s.ring == nil || !op.Code.HasKey() {
		return false
	}
	replicas := s.ring.Replicas(wire.KeyHash(op.Key), nil)
	for i, m := range replicas {
		if m.ID == s.config.NodeID && (i == 0 || op.Code == wire.Get) {
			return false
		}
	}
	r.add(&wire.ReplyOp{Code: op.Code, Status: wire.StatusMoved, Index: uint16(op.Index), Token: uint64(s.epoch())})
	return true
}

func (s *Server) handOutRing(op *wire.Op, answer *wire.ReplyOp) {
	if s.ring == nil {
		answer.Status = wire.StatusMiss
		return
	}
	encoded := s.ring.AppendEncode(nil)
	if op.Arg > uint64(len(encoded)) {
		answer.Status = wire.StatusBadRequest
		return
	}
	answer.Version, answer.TotalBytes = wire.Version(s.epoch()), uint32(len(encoded))
	answer.Value = encoded[op.Arg:min(len(encoded), int(op.Arg)+wire.SegmentBytes)]
	if len(answer.Value) != len(encoded) {
		answer.Flags, answer.OffsetBytes = wire.ReplySegment, uint32(op.Arg)
	}
}

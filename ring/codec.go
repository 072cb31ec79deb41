package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
)

// The encoding, little-endian:
//
//	 0  4  magic "GNRG"
//	 4  2  layout version (2)
//	 6  2  number of members
//	 8  4  epoch
//	12  1  replicas
//	13  3  0
//	16  …  members, one after the other, in the order of their ids
//	 …  4  CRC32C of all before
//
// and a member:
//
//	 0  8  id
//	 8 16  data address: IPv6, or IPv4 mapped into it
//	24 16  control address; zeros: none
//	40 16  gossip address; zeros: none
//	56  2  data port of shard 0
//	58  2  control port
//	60  2  gossip port
//	62  2  shards
//	64  2  points; 0: 256 times the weight
//	66  1  weight
//	67  1  state
//	68  1  length of the name
//	69  1  length of the zone
//	70  …  name, zone
const (
	layoutVersion = 2
	headBytes     = 16
	memberBytes   = 70
	sumBytes      = 4
	maxNameBytes  = 63
)

var magic = [4]byte{'G', 'N', 'R', 'G'}

// The ways bytes can fail to be a ring.
var (
	ErrCorrupt = errors.New("not an encoded ring, or damaged")
	ErrLayout  = errors.New("encoded by another version of Gannet; upgrade the older one of the two processes")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendEncode appends what Decode reads.
func (r *Ring) AppendEncode(dst []byte) []byte {
	begin := len(dst)
	dst = append(dst, magic[:]...)
	dst = binary.LittleEndian.AppendUint16(dst, layoutVersion)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(r.members)))
	dst = binary.LittleEndian.AppendUint32(dst, r.epoch)
	dst = append(dst, byte(r.replicas), 0, 0, 0)
	for i := range r.members {
		dst = r.members[i].appendEncode(dst)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

func (m *Member) appendEncode(dst []byte) []byte {
	ends := [...]netip.AddrPort{m.Addr, m.Control, m.Gossip}
	dst = binary.LittleEndian.AppendUint64(dst, m.ID)
	for _, end := range ends {
		addr := end.Addr().As16()
		dst = append(dst, addr[:]...)
	}
	for _, end := range ends {
		dst = binary.LittleEndian.AppendUint16(dst, end.Port())
	}
	dst = binary.LittleEndian.AppendUint16(dst, m.Shards)
	dst = binary.LittleEndian.AppendUint16(dst, m.Points)
	dst = append(dst, m.Weight, byte(m.State), byte(len(m.Name)), byte(len(m.Zone)))
	dst = append(dst, m.Name...)
	return append(dst, m.Zone...)
}

// Decode reads a ring and derives its points.
func Decode(b []byte) (*Ring, error) {
	if len(b) < headBytes+sumBytes || [4]byte(b) != magic {
		return nil, ErrCorrupt
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != layoutVersion {
		return nil, fmt.Errorf("ring layout %d, expected %d: %w", v, layoutVersion, ErrLayout)
	}
	body := b[:len(b)-sumBytes]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[len(body):]) {
		return nil, ErrCorrupt
	}
	if b[12] == 0 || b[13]|b[14]|b[15] != 0 {
		return nil, ErrCorrupt
	}
	members, err := decodeMembers(body[headBytes:], int(binary.LittleEndian.Uint16(b[6:])))
	if err != nil {
		return nil, err
	}
	return Build(Spec{Epoch: binary.LittleEndian.Uint32(b[8:]), Replicas: b[12], Members: members})
}

func decodeMembers(b []byte, count int) ([]Member, error) {
	if count > MaxMembers {
		return nil, ErrCorrupt
	}
	members := make([]Member, 0, count)
	for i := range count {
		if len(b) < memberBytes {
			return nil, ErrCorrupt
		}
		length := memberBytes + int(b[68]) + int(b[69])
		if len(b) < length {
			return nil, ErrCorrupt
		}
		members = append(members, decodeMember(b[:length]))
		if i > 0 && members[i].ID <= members[i-1].ID {
			return nil, ErrCorrupt
		}
		b = b[length:]
	}
	if len(b) != 0 {
		return nil, ErrCorrupt
	}
	return members, nil
}

func decodeMember(b []byte) Member {
	zoneAt := memberBytes + int(b[68])
	return Member{
		ID:      binary.LittleEndian.Uint64(b),
		Addr:    decodeAddr(b[8:24], b[56:]),
		Control: decodeAddr(b[24:40], b[58:]),
		Gossip:  decodeAddr(b[40:56], b[60:]),
		Shards:  binary.LittleEndian.Uint16(b[62:]),
		Points:  binary.LittleEndian.Uint16(b[64:]),
		Weight:  b[66],
		State:   State(b[67]),
		Name:    string(b[memberBytes:zoneAt]),
		Zone:    string(b[zoneAt:]),
	}
}

func decodeAddr(addr, port []byte) netip.AddrPort {
	a, p := netip.AddrFrom16([16]byte(addr)), binary.LittleEndian.Uint16(port)
	if a == netip.IPv6Unspecified() && p == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Unmap(), p)
}

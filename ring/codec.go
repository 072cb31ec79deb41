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
//	 4  2  layout version (1)
//	 6  2  number of members
//	 8  4  epoch
//	12  …  members, one after the other
//	 …  4  CRC32C of all before
//
// and a member:
//
//	 0  8  id
//	 8 16  IPv6 address, or IPv4 mapped into it
//	24  2  data port of shard 0
//	26  2  shards
//	28  1  weight
//	29  1  length of the name
//	30  …  name
const (
	layoutVersion = 1
	headBytes     = 12
	memberBytes   = 30
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
	for i := range r.members {
		dst = r.members[i].appendEncode(dst)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

func (m *Member) appendEncode(dst []byte) []byte {
	addr := m.Addr.Addr().As16()
	dst = binary.LittleEndian.AppendUint64(dst, m.ID)
	dst = append(dst, addr[:]...)
	dst = binary.LittleEndian.AppendUint16(dst, m.Addr.Port())
	dst = binary.LittleEndian.AppendUint16(dst, m.Shards)
	dst = append(dst, m.Weight, byte(len(m.Name)))
	return append(dst, m.Name...)
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
	members, err := decodeMembers(body[headBytes:], int(binary.LittleEndian.Uint16(b[6:])))
	if err != nil {
		return nil, err
	}
	return New(binary.LittleEndian.Uint32(b[8:]), members)
}

func decodeMembers(b []byte, count int) ([]Member, error) {
	if count > MaxMembers {
		return nil, ErrCorrupt
	}
	members := make([]Member, 0, count)
	for range count {
		if len(b) < memberBytes || len(b) < memberBytes+int(b[29]) {
			return nil, ErrCorrupt
		}
		members = append(members, decodeMember(b))
		b = b[memberBytes+int(b[29]):]
	}
	if len(b) != 0 {
		return nil, ErrCorrupt
	}
	return members, nil
}

func decodeMember(b []byte) Member {
	addr := netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	return Member{
		ID:     binary.LittleEndian.Uint64(b),
		Addr:   netip.AddrPortFrom(addr, binary.LittleEndian.Uint16(b[24:])),
		Shards: binary.LittleEndian.Uint16(b[26:]),
		Weight: b[28],
		Name:   string(b[memberBytes : memberBytes+int(b[29])]),
	}
}

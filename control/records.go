package control

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"gannet/ring"
)

// The keys in etcd.
const (
	keyPrefix     = "/gannet/v1/"
	ringKey       = keyPrefix + "ring"       // replication.Record
	membersKey    = keyPrefix + "members/"   // + id: memberRecord, under a lease
	controllerKey = keyPrefix + "controller" // id of the elected controller, under its lease
	drainKey      = keyPrefix + "drain/"     // + id: this node is to leave the ring
)

func memberKey(id uint64) string { return fmt.Sprintf("%s%016x", membersKey, id) }

func drainKeyOf(id uint64) string { return fmt.Sprintf("%s%016x", drainKey, id) }

func idOfKey(key, prefix string) (uint64, bool) {
	text, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(text, 16, 64)
	return id, err == nil
}

// memberRecord is a node as it stands in etcd. What a ring decides, its state and its
// points, is not in it.
type memberRecord struct {
	ID      uint64         `json:"id,string"` // beyond what JSON's numbers carry safely
	Name    string         `json:"name"`
	Zone    string         `json:"zone,omitempty"`
	Addr    netip.AddrPort `json:"addr"` // data address and port of shard 0
	Control netip.AddrPort `json:"control"`
	Gossip  netip.AddrPort `json:"gossip"`
	Shards  uint16         `json:"shards"`
	Weight  uint8          `json:"weight"`
}

func encodeMember(m *ring.Member) (string, error) {
	raw, err := json.Marshal(memberRecord{
		ID: m.ID, Name: m.Name, Zone: m.Zone, Addr: m.Addr, Control: m.Control, Gossip: m.Gossip, Shards: m.Shards, Weight: m.Weight,
	})
	if err != nil {
		return "", fmt.Errorf("encode the member record: %w", err)
	}
	return string(raw), nil
}

func decodeMember(raw []byte) (ring.Member, error) {
	var r memberRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		return ring.Member{}, fmt.Errorf("a member record in etcd is damaged: %w", err)
	}
	return ring.Member{
		ID: r.ID, Name: r.Name, Zone: r.Zone, Addr: r.Addr, Control: r.Control, Gossip: r.Gossip, Shards: r.Shards, Weight: r.Weight,
	}, nil
}

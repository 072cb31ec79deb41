package control

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"gannet/ring"
)

// ringRecord is the ring as it stands in etcd.
type ringRecord struct {
	Epoch   uint32         `json:"epoch"`
	Members []memberRecord `json:"members"`
}

// memberRecord is a node as it stands in etcd.
type memberRecord struct {
	ID     uint64 `json:"id,string"` // beyond what JSON's numbers carry safely
	Name   string `json:"name"`
	Addr   string `json:"addr"` // data address and port of shard 0
	Shards uint16 `json:"shards"`
	Weight uint8  `json:"weight"`
}

func recordOf(m ring.Member) memberRecord {
	return memberRecord{ID: m.ID, Name: m.Name, Addr: m.Addr.String(), Shards: m.Shards, Weight: m.Weight}
}

func (r *ringRecord) ring() (*ring.Ring, error) {
	members := make([]ring.Member, len(r.Members))
	for i, m := range r.Members {
		addr, err := netip.ParseAddrPort(m.Addr)
		if err != nil {
			return nil, fmt.Errorf("member %s (%016x) in etcd: %w", m.Name, m.ID, err)
		}
		members[i] = ring.Member{ID: m.ID, Name: m.Name, Addr: addr, Shards: m.Shards, Weight: m.Weight}
	}
	return ring.New(r.Epoch, members)
}

// ForeignRingError is an etcd whose ring belongs to another node.
type ForeignRingError struct{ Name string }

func (e *ForeignRingError) Error() string {
	return fmt.Sprintf("etcd holds the ring of node %q; give this node an etcd of its own (etcd-embed), "+
		"or the same node-name if it takes that node's place", e.Name)
}

// nextRing decides what the ring in etcd must be for this node: raw is what stands
// there (nil: nothing). An epoch never falls below atLeast, the one this node has
// served already: versions of items would run backwards.
func nextRing(raw []byte, self ring.Member, atLeast uint32) (record ringRecord, changed bool, err error) {
	mine := recordOf(self)
	if raw == nil {
		return ringRecord{Epoch: max(1, atLeast), Members: []memberRecord{mine}}, true, nil
	}
	if err := json.Unmarshal(raw, &record); err != nil {
		return record, false, fmt.Errorf("the ring in etcd is damaged (delete key %s to begin anew): %w", ringKey, err)
	}
	for _, m := range record.Members {
		if m.ID != mine.ID {
			return record, false, &ForeignRingError{m.Name}
		}
	}
	if len(record.Members) == 1 && record.Members[0] == mine && record.Epoch >= atLeast {
		return record, false, nil
	}
	return ringRecord{Epoch: max(record.Epoch+1, atLeast), Members: []memberRecord{mine}}, true, nil
}

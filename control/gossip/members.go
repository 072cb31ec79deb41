package gossip

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"
)

// Member is another node, as it was heard of last.
type Member struct {
	ID    uint64
	Name  string
	Addr  string // host and port of its gossip
	Epoch uint32 // of the ring it serves
	Life  uint64 // of its process: greater after each start
}

// A member's metadata, little-endian: layout version (1), 1 byte; epoch, 4 bytes; name.
const (
	metaLayout    = 1
	metaHeadBytes = 5
	maxNameBytes  = 63
)

func encodeMeta(epoch uint32, name string) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{metaLayout}, epoch)
	return append(b, name...)
}

func decodeMeta(b []byte) (epoch uint32, name string, ok bool) {
	if len(b) < metaHeadBytes || len(b) > metaHeadBytes+maxNameBytes || b[0] != metaLayout {
		return 0, "", false
	}
	return binary.LittleEndian.Uint32(b[1:]), string(b[metaHeadBytes:]), true
}

// wireName is what the library calls a node: ids are unique, names need not be. A node
// that was started again is another one to it: who has heard of the former life at
// another address would take the new one for an impostor until that one is forgotten.
func wireName(id, life uint64) string { return fmt.Sprintf("%016x-%x", id, life) }

func parseWireName(name string) (id, life uint64, ok bool) {
	first, second, _ := strings.Cut(name, "-")
	id, err := strconv.ParseUint(first, 16, 64)
	if err != nil {
		return 0, 0, false
	}
	life, err = strconv.ParseUint(second, 16, 64)
	return id, life, err == nil
}

// members are the others. The library tells of them under its own lock, and what it
// hands out later may change meanwhile: hence a table of copies.
type members struct {
	self    uint64
	changed chan struct{}

	mu   sync.RWMutex
	byID map[uint64]Member // guarded by mu
	gone map[uint64]Member // guarded by mu: where those were that are members no more
}

// maxGone bounds the memory of nodes that will not come back.
const maxGone = 1024

func newMembers(self uint64) *members {
	return &members{self: self, changed: make(chan struct{}, 1), byID: map[uint64]Member{}, gone: map[uint64]Member{}}
}

// NotifyJoin hears of a member that came.
func (m *members) NotifyJoin(n *memberlist.Node) { m.put(n) }

// NotifyUpdate hears of one whose epoch changed.
func (m *members) NotifyUpdate(n *memberlist.Node) { m.put(n) }

// NotifyLeave hears of one that left or does not answer any more. That a former life of
// a member ended is no news.
func (m *members) NotifyLeave(n *memberlist.Node) {
	id, life, ok := parseWireName(n.Name)
	if !ok {
		return
	}
	m.mu.Lock()
	member, ok := m.byID[id]
	if ok = ok && member.Life == life; ok {
		if len(m.gone) < maxGone {
			m.gone[id] = member
		}
		delete(m.byID, id)
	}
	m.mu.Unlock()
	if ok {
		m.signal()
	}
}

func (m *members) put(n *memberlist.Node) {
	id, life, named := parseWireName(n.Name)
	epoch, name, ok := decodeMeta(n.Meta)
	if !named || !ok || id == m.self {
		return
	}
	m.mu.Lock()
	ok = m.byID[id].Life <= life
	if ok {
		delete(m.gone, id)
		m.byID[id] = Member{ID: id, Name: name, Addr: n.Address(), Epoch: epoch, Life: life}
	}
	m.mu.Unlock()
	if ok {
		m.signal()
	}
}

func (m *members) signal() {
	select {
	case m.changed <- struct{}{}:
	default: // it is signalled already
	}
}

// find returns a member, or where one was that is gone: it may have been cut off for a
// moment only, and a datagram costs nothing.
func (m *members) find(id uint64) (Member, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if member, ok := m.byID[id]; ok {
		return member, true
	}
	member, ok := m.gone[id]
	return member, ok
}

func (m *members) count() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.byID)
}

func (m *members) list() []Member {
	m.mu.RLock()
	list := make([]Member, 0, len(m.byID))
	for _, member := range m.byID {
		list = append(list, member)
	}
	m.mu.RUnlock()
	slices.SortFunc(list, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

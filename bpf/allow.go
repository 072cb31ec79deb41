package bpf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
)

// familyBits is how much of struct source comes before the address.
const familyBits = 32

// allowKey is struct allow_key.
type allowKey struct {
	PrefixBits uint32 // of all of Source
	Source     source
}

// source is struct source: an address behind its family, so that no IPv6
// prefix covers IPv4.
type source struct {
	Family  uint32
	Address [16]byte
}

func newSource(address netip.Addr) (s source) {
	s.Family = 6
	if address.Is4() {
		s.Family = 4
	}
	copy(s.Address[:], address.AsSlice())
	return s
}

// allowList owns two tries. The one in force is never written: a new list is
// built in the idle one and then put in force by one update, which the kernel
// makes visible between two packets, and after which it waits until no running
// program can still hold the old one.
type allowList struct {
	outer    *ebpf.Map    // slot 0: the trie in force; empty: everybody
	tries    [2]*ebpf.Map // idle and in force
	idle     int
	capacity int
}

func (a *allowList) open(maps *steerMaps, capacity int) {
	a.outer = maps.Allow
	a.tries = [2]*ebpf.Map{maps.AllowA, maps.AllowB}
	a.capacity = capacity
}

// SetAllow replaces the allow-list, all or nothing: on an error the old one
// stays in force. An empty list lets everybody in.
func (s *Steer) SetAllow(prefixes []netip.Prefix) error {
	keys, err := allowKeys(prefixes)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(keys) > s.allow.capacity {
		return configError("allow-list of %d prefixes: loaded for %d; raise the capacity or merge prefixes",
			len(keys), s.allow.capacity)
	}
	if len(keys) == 0 {
		return explain("lift the allow-list", s.allow.lift())
	}
	return explain("replace the allow-list", s.allow.replace(keys))
}

func (a *allowList) lift() error {
	err := a.outer.Delete(uint32(0))
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

func (a *allowList) replace(keys []allowKey) error {
	trie := a.tries[a.idle]
	if err := empty(trie); err != nil {
		return fmt.Errorf("empty the idle trie: %w", err)
	}
	for i := range keys {
		if err := trie.Put(&keys[i], uint8(1)); err != nil {
			return fmt.Errorf("fill the idle trie: %w", err)
		}
	}
	if err := a.outer.Put(uint32(0), trie); err != nil {
		return fmt.Errorf("put the trie in force: %w", err)
	}
	a.idle = 1 - a.idle
	return nil
}

func empty(trie *ebpf.Map) error {
	var key allowKey
	for {
		err := trie.NextKey(nil, &key)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := trie.Delete(&key); err != nil {
			return err
		}
	}
}

// allowKeys turns prefixes into distinct keys.
func allowKeys(prefixes []netip.Prefix) ([]allowKey, error) {
	keys := make([]allowKey, 0, len(prefixes))
	for _, prefix := range prefixes {
		key, err := newAllowKey(prefix)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b allowKey) int {
		return cmp.Or(
			cmp.Compare(a.Source.Family, b.Source.Family),
			bytes.Compare(a.Source.Address[:], b.Source.Address[:]),
			cmp.Compare(a.PrefixBits, b.PrefixBits),
		)
	})
	return slices.Compact(keys), nil
}

func newAllowKey(prefix netip.Prefix) (allowKey, error) {
	if !prefix.IsValid() {
		return allowKey{}, configError("allow-list: %v is no prefix; write 10.0.0.0/8 or fd00::/8", prefix)
	}
	address, bits := prefix.Addr(), prefix.Bits()
	if address.Is4In6() && bits >= 96 { // an IPv4 prefix in the longer spelling
		address, bits = address.Unmap(), bits-96
	}
	masked, err := address.Prefix(bits)
	if err != nil {
		return allowKey{}, configError("allow-list: %v: %v", prefix, err)
	}
	return allowKey{PrefixBits: uint32(familyBits + bits), Source: newSource(masked.Addr())}, nil
}

package shard

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// superblock is the first page of the index file: what a successor needs to
// attach. Only the shard's goroutine writes it; each field changes by one store.
type superblock struct {
	magic        uint64
	layout       uint32
	clean        uint32 // 1 while nobody has the shard open
	bootID       [16]byte
	originNanos  int64
	memoryBytes  int64
	slabBytes    uint32
	slabs        uint32
	growthMilli  uint32
	links        uint32
	room         uint32 // and from which length on: packRoom
	maxValue     uint32
	generation   uint32 // of verification, 0..3
	unverified   uint32 // generations since the last complete verification
	version      uint64 // the last one given
	items        uint64 // exact after a clean end
	buckets      uint64 // index: mapping before the sweep
	target       uint64 // index: mapping behind the sweep
	sweep        uint64 // homes from here on are mapped by target
	intentKind   uint32
	intentDetail uint64
	rewriting    Handle // see rewrite.go; 0 = none
}

const (
	superMagic  = 0x6472616853746E47 // "GntShard"
	superLayout = 2
	superBytes  = 4096
)

// intents name what was under way when the predecessor ended.
const (
	intentNone uint32 = iota
	intentSweep
	intentWithdraw
)

// attachable says why the file cannot be attached to, "" if it can.
func (b *superblock) attachable(want *superblock) string {
	switch {
	case b.magic == 0:
		return "new"
	case b.magic != superMagic:
		return "not a shard's file"
	case b.layout != superLayout:
		return fmt.Sprintf("layout %d, this program writes %d", b.layout, superLayout)
	case b.bootID != want.bootID:
		return "the machine was booted since"
	case b.memoryBytes != want.memoryBytes || b.slabBytes != want.slabBytes || b.slabs != want.slabs:
		return "memory size changed"
	case b.growthMilli != want.growthMilli || b.maxValue != want.maxValue:
		return "size classes changed"
	case b.links != want.links:
		return "eviction policy with another item layout"
	case b.target < b.buckets || b.sweep > b.buckets || b.buckets == 0:
		return "index header damaged"
	}
	return ""
}

// bootID identifies this boot of the machine; versions of an earlier one mean
// nothing now.
func bootID() ([16]byte, error) {
	var id [16]byte
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id, fmt.Errorf("shard: boot id: %w", err)
	}
	digits, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(raw)), "-", ""))
	if err != nil || copy(id[:], digits) != len(id) {
		return id, fmt.Errorf("shard: boot id %q is not a UUID", raw)
	}
	return id, nil
}

const roomBits = 10 // hold maxRoomBytes

// packRoom makes one word of the header room and the length from which values
// have it.
func packRoom(room, from int) uint32 { return uint32(room) | uint32(from)<<roomBits }

func unpackRoom(word uint32) (room, from int) {
	return int(word & (1<<roomBits - 1)), int(word >> roomBits)
}

package bpf

import (
	"encoding/binary"
	"errors"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
)

// Sizes of the hot stage (hot.h).
const (
	HotSlots         = hotSets * hotWays // of a shard
	HotMaxKeyBytes   = 250
	HotMaxValueBytes = 1024
	HotNever         = ^uint32(0) // a tick that does not come

	hotSets      = 32
	hotWays      = 8
	hotKeyBytes  = 256
	hotLineWords = 8 // struct hot_shard, hot_set and hot_settings

	// struct hot_slot, in words.
	slotSequence = 0
	slotVersion  = 1
	slotOrigin   = 2
	slotTTLs     = 3 // expires_tick | soft_tick
	slotStored   = 4 // stored_second | crc
	slotSizes    = 5 // value_bytes | key_bytes | sum
	slotKey      = 8
	slotValue    = slotKey + hotKeyBytes/8
	slotWords    = slotValue + HotMaxValueBytes/8

	// struct hot_row, in words.
	rowAnswers = 0
	rowHits    = 8
	rowWords   = rowHits + HotSlots + hotKeyBytes/8
)

// HotConfig is what the program needs to answer GETs itself.
type HotConfig struct {
	// CookieSecret and CookiePeriod are those of the node's cookies.
	CookieSecret [16]byte
	CookiePeriod time.Duration
}

func (c *HotConfig) check() error {
	if c.CookiePeriod < time.Second {
		return configError("cookie period %v: give at least 1s", c.CookiePeriod)
	}
	return nil
}

// HotItem is an item as it is published. Times are ticks of an eighth of a
// second since OriginNanos; StoredSecond is a second since then.
type HotItem struct {
	Hash         uint64
	Version      uint64
	OriginNanos  int64 // CLOCK_BOOTTIME
	ExpiresTick  uint32
	SoftTick     uint32 // HotNever: none; the same for ExpiresTick
	StoredSecond uint32
	CRC          uint32 // CRC32C of the value
	Sum          uint16 // one's-complement sum of the value, big-endian words
	Key          []byte
	Value        []byte
}

// hotMemory is what the stage and user space share.
type hotMemory struct {
	settings, shards, sets, slots, rows mappedWords
}

// sizeHot fits the stage's maps to the configuration, or takes the stage out.
func sizeHot(spec *ebpf.CollectionSpec, cfg *SteerConfig) error {
	if cfg.Hot == nil {
		return nil
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	shards := uint32(cfg.Shards)
	spec.Maps[steerMapHotShards].MaxEntries = shards
	spec.Maps[steerMapHotSets].MaxEntries = shards * hotSets
	spec.Maps[steerMapHotSlots].MaxEntries = shards * HotSlots
	spec.Maps[steerMapHotRows].MaxEntries = shards * uint32(cpus)
	return errors.Join(
		spec.Variables[steerVarHotLoaded].Set(uint8(1)),
		spec.Variables[steerVarHotWeakOrder].Set(weakOrder(runtime.GOARCH)),
	)
}

// weakOrder says whether the CPU may reorder loads with loads.
func weakOrder(arch string) uint8 {
	if arch == "amd64" {
		return 0
	}
	return 1
}

// openHot maps the stage's memory and tells it how to know a cookie.
func (s *Steer) openHot(cfg *HotConfig) (err error) {
	if cfg == nil {
		return nil
	}
	h := &s.hot
	for _, m := range []struct {
		to   *mappedWords
		from *ebpf.Map
	}{
		{&h.settings, s.maps.HotSettings},
		{&h.shards, s.maps.HotShards},
		{&h.sets, s.maps.HotSets},
		{&h.slots, s.maps.HotSlots},
		{&h.rows, s.maps.HotRows},
	} {
		if *m.to, err = mapWords(m.from); err != nil {
			return err
		}
	}
	h.settings.store(1, binary.LittleEndian.Uint64(cfg.CookieSecret[:8]))
	h.settings.store(2, binary.LittleEndian.Uint64(cfg.CookieSecret[8:]))
	h.settings.store(3, uint64(cfg.CookiePeriod))
	return nil
}

func (h *hotMemory) close() error {
	return errors.Join(h.settings.close(), h.shards.close(), h.sets.close(), h.slots.close(), h.rows.close())
}

// SetTrusted says whether the listeners are in trusted mode. Only then does the
// hot stage answer. It begins with no.
func (s *Steer) SetTrusted(trusted bool) {
	if len(s.hot.settings.words) == 0 {
		return
	}
	word := uint64(0)
	if trusted {
		word = 1
	}
	s.hot.settings.store(0, word)
}

// HotTable is one shard's part of the hot stage. It belongs to the shard's
// goroutine, makes no system call, allocates nothing, and must not be used
// during or after the Steer's Close.
type HotTable struct {
	shard  int
	shards int
	memory *hotMemory
	hashes []uint64 // of the slots, 0 = free; this side's copy
	cpus   int
}

// Hot returns a shard's table; nil when the stage was not loaded.
func (s *Steer) Hot(shard int) *HotTable {
	shards := len(s.hot.shards.words) / hotLineWords
	if shard < 0 || shard >= shards {
		return nil
	}
	return &HotTable{
		shard: shard, shards: shards, memory: &s.hot, hashes: make([]uint64, HotSlots),
		cpus: len(s.hot.rows.words) / rowWords / shards,
	}
}

// SetReply says what the header of each reply of the shard tells.
func (t *HotTable) SetReply(epoch uint32, load uint16) {
	t.memory.shards.store(t.shard*hotLineWords, uint64(epoch)|uint64(load)<<32)
}

// Stamp tells that the shard turns. From StaleAfter without a stamp on nothing
// is answered for it.
func (t *HotTable) Stamp(nowNanos int64) {
	t.memory.shards.store(t.shard*hotLineWords+2, uint64(nowNanos))
}

// Publish lets the program answer GETs of an item. ok is false when the item is
// too large, its key cannot be told apart, or its set is full. An item with the
// same key hash must have been withdrawn.
func (t *HotTable) Publish(item *HotItem) (slot int, ok bool) {
	if item.Hash == 0 || len(item.Key) == 0 || len(item.Key) > HotMaxKeyBytes || len(item.Value) > HotMaxValueBytes {
		return 0, false
	}
	set := int(item.Hash>>32) % hotSets
	for slot = set * hotWays; slot < (set+1)*hotWays; slot++ {
		if t.hashes[slot] == 0 {
			t.fill(slot, item)
			return slot, true
		}
	}
	return 0, false
}

// fill writes a free slot, whose sequence is odd, or 0 when it was never used.
func (t *HotTable) fill(slot int, item *HotItem) {
	words := t.slotWords(slot)
	sequence := words.load(slotSequence) | 1
	words.store(slotSequence, sequence)
	words.store(slotVersion, item.Version)
	words.store(slotOrigin, uint64(item.OriginNanos))
	words.store(slotTTLs, uint64(item.ExpiresTick)|uint64(item.SoftTick)<<32)
	words.store(slotStored, uint64(item.StoredSecond)|uint64(item.CRC)<<32)
	words.store(slotSizes, uint64(len(item.Value))|uint64(len(item.Key))<<16|uint64(swapped(item.Sum))<<32)
	words.storeBytes(slotKey, item.Key)
	words.storeBytes(slotValue, item.Value)
	words.store(slotSequence, sequence+1) // readers own it now
	t.setHash(slot, item.Hash)
	t.countPublished(1)
}

// Withdraw takes an item back. When it returns, no program that begins later
// answers with it.
func (t *HotTable) Withdraw(slot int) {
	if slot < 0 || slot >= HotSlots || t.hashes[slot] == 0 {
		return
	}
	words := t.slotWords(slot)
	words.store(slotSequence, words.load(slotSequence)|1) // nobody reads it now
	t.setHash(slot, 0)
	t.countPublished(-1)
}

func (t *HotTable) setHash(slot int, hash uint64) {
	t.hashes[slot] = hash
	t.memory.sets.store(t.shard*HotSlots+slot, hash)
}

func (t *HotTable) countPublished(by int) {
	at := t.shard*hotLineWords + 1
	t.memory.shards.store(at, t.memory.shards.load(at)+uint64(by))
}

// Hits returns how many GETs were answered out of a slot since the program was
// loaded, whatever was published there.
func (t *HotTable) Hits(slot int) (hits uint64) {
	for cpu := range t.cpus {
		row := (cpu*t.shards + t.shard) * rowWords
		if t.memory.rows.load(row+rowAnswers) != 0 { // few CPUs serve a shard's queue
			hits += t.memory.rows.load(row + rowHits + slot)
		}
	}
	return hits
}

func (t *HotTable) slotWords(slot int) mappedWords {
	at := (t.shard*HotSlots + slot) * slotWords
	return mappedWords{words: t.memory.slots.words[at : at+slotWords]}
}

// storeBytes stores bytes from a word on, the last word filled up with zeros.
// Words are stored atomically, one by one: with plain stores a reader on arm64
// could see them after the sequence.
func (w *mappedWords) storeBytes(at int, data []byte) {
	for ; len(data) >= 8; at++ {
		w.store(at, binary.LittleEndian.Uint64(data))
		data = data[8:]
	}
	if len(data) > 0 {
		var last [8]byte
		copy(last[:], data)
		w.store(at, binary.LittleEndian.Uint64(last[:]))
	}
}

// swapped turns a sum of big-endian words into one of little-endian words.
func swapped(sum uint16) uint16 { return sum<<8 | sum>>8 }

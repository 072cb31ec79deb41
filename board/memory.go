package board

import "sync/atomic"

// Purpose is one line of the memory account: bytes by what they are for.
type Purpose struct {
	Name  string
	Bytes uint64
}

// Class is one line of a shard's size classes.
type Class struct {
	SlotBytes uint32
	SlabKiB   uint32 // memory of its slabs
	Items     uint64
}

// Memory is the memory account. Writer: data plane; the process's part by its main
// thread, a shard's part by that shard.
type Memory struct {
	purposes record
	classes  record
	numbers  []atomic.Uint64 // limit, used
}

const (
	memoryPurposeBytes = 4 << 10
	memoryClassBytes   = 16 << 10
	memoryBytes        = lineBytes + memoryPurposeBytes + memoryClassBytes + 2*recordHeadBytes
	purposeNameBytes   = 24
)

func (b *Board) memory(element int) *Memory {
	w := b.words(AreaMemory, element)
	split := 8 + (memoryPurposeBytes+recordHeadBytes)/8
	return &Memory{numbers: w[:8], purposes: record{w[8:split]}, classes: record{w[split:]}}
}

// ShardMemory returns a shard's memory account.
func (b *Board) ShardMemory(shard int) *Memory { return b.memory(shard + 1) }

// ProcessMemory returns the account of the data plane's process.
func (b *Board) ProcessMemory() *Memory { return b.memory(0) }

// SetTotals says how much memory may be used, and is.
func (m *Memory) SetTotals(limitBytes, usedBytes int64) {
	m.numbers[0].Store(uint64(limitBytes))
	m.numbers[1].Store(uint64(usedBytes))
}

// Totals returns how much memory may be used, and is.
func (m *Memory) Totals() (limitBytes, usedBytes int64) {
	return int64(m.numbers[0].Load()), int64(m.numbers[1].Load())
}

// SetPurposes publishes the account by purpose, using room, which it returns
// (grown if need be) for the next time.
func (m *Memory) SetPurposes(lines []Purpose, room []byte) []byte {
	room = room[:0]
	for _, l := range lines {
		var name [purposeNameBytes + 8]byte
		copy(name[:purposeNameBytes], l.Name)
		storeUint64(name[purposeNameBytes:], l.Bytes)
		room = append(room, name[:]...)
	}
	m.purposes.write(room)
	return room
}

// Purposes returns the account by purpose. It allocates.
func (m *Memory) Purposes() []Purpose {
	data, _ := m.purposes.read(nil)
	var lines []Purpose
	for ; len(data) >= purposeNameBytes+8; data = data[purposeNameBytes+8:] {
		n := 0
		for n < purposeNameBytes && data[n] != 0 {
			n++
		}
		lines = append(lines, Purpose{Name: string(data[:n]), Bytes: loadUint64(data[purposeNameBytes:])})
	}
	return lines
}

// SetClasses publishes the size classes, as SetPurposes does.
func (m *Memory) SetClasses(lines []Class, room []byte) []byte {
	room = room[:0]
	for _, l := range lines {
		var line [16]byte
		storeUint64(line[:], uint64(l.SlotBytes)|uint64(l.SlabKiB)<<32)
		storeUint64(line[8:], l.Items)
		room = append(room, line[:]...)
	}
	m.classes.write(room)
	return room
}

// Classes returns the size classes. It allocates.
func (m *Memory) Classes() []Class {
	data, _ := m.classes.read(nil)
	var lines []Class
	for ; len(data) >= 16; data = data[16:] {
		w := loadUint64(data)
		lines = append(lines, Class{SlotBytes: uint32(w), SlabKiB: uint32(w >> 32), Items: loadUint64(data[8:])})
	}
	return lines
}

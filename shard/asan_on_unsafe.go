//go:build asan

package shard

/*
#cgo CFLAGS: -fsanitize=address
#cgo LDFLAGS: -fsanitize=address
#include <stddef.h>
void __asan_poison_memory_region(void const volatile *addr, size_t size);
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
*/
import "C"

import "unsafe"

// poison makes a free slot untouchable, but for the two words of the free list.
func (s *Shard) poison(h Handle) {
	C.__asan_poison_memory_region(unsafe.Add(s.mem.at(h), fixedHeadBytes), C.size_t(s.slotBytes(h)-fixedHeadBytes))
}

func (s *Shard) unpoison(h Handle) {
	C.__asan_unpoison_memory_region(s.mem.at(h), C.size_t(s.slotBytes(h)))
}

// poisonSlab makes a slab without a class untouchable.
func (s *Shard) poisonSlab(i int) {
	mem := s.slabRegion.Bytes()[i*s.slabBytes:]
	C.__asan_poison_memory_region(unsafe.Pointer(&mem[0]), C.size_t(s.slabBytes))
}

// unpoisonAll runs before the memory goes back to the system.
func (s *Shard) unpoisonAll() {
	if s.slabRegion == nil || len(s.slabRegion.Bytes()) == 0 {
		return
	}
	mem := s.slabRegion.Bytes()
	C.__asan_unpoison_memory_region(unsafe.Pointer(&mem[0]), C.size_t(len(mem)))
}

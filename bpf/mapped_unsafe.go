package bpf

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// mappedWords is a BPF_F_MMAPABLE array seen as 64-bit words, shared with the
// programs. Reading and writing it needs no system call, and so goes on after
// the process has dropped its privileges.
type mappedWords struct {
	memory []byte
	words  []uint64
}

func mapWords(m *ebpf.Map) (mappedWords, error) {
	size := int(m.MaxEntries()) * int(m.ValueSize())
	memory, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return mappedWords{}, fmt.Errorf("map %d bytes of %v: %w", size, m, err)
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(memory))), size/8)
	return mappedWords{memory: memory, words: words}, nil
}

func (w *mappedWords) load(i int) uint64 { return atomic.LoadUint64(&w.words[i]) }

func (w *mappedWords) store(i int, value uint64) { atomic.StoreUint64(&w.words[i], value) }

func (w *mappedWords) close() error {
	if w.memory == nil {
		return nil
	}
	err := unix.Munmap(w.memory)
	*w = mappedWords{}
	return err
}

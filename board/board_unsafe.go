package board

import (
	"sync/atomic"
	"unsafe"
)

// wordsOf views mapped bytes as atomic words. b must start at an 8-byte border;
// a rest shorter than a word is left out.
func wordsOf(b []byte) []atomic.Uint64 {
	if len(b) < 8 {
		return nil
	}
	p := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(p)%8 != 0 {
		panic("board: words must start at an 8-byte border")
	}
	return unsafe.Slice((*atomic.Uint64)(p), len(b)/8)
}

// bytesOf views heap words as bytes, so that they start at an 8-byte border.
func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
}

package porttest

import "unsafe"

// before is the n bytes of memory in front of b, which its owner has promised.
func before(b []byte, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), -n)), n)
}

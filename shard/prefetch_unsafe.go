//go:build (amd64 || arm64) && !asan

package shard

import "unsafe"

// The prefetch instructions ask for a cache line and go on: unlike a load they
// neither wait for it nor fault, so the look-ups of a batch keep the memory busy
// while earlier ones are worked on. They fill the second level of cache: the first
// is too small for what a batch reads.

// prefetch asks for the line at p.
//
//go:noescape
func prefetch(p unsafe.Pointer)

// prefetch3 asks for three lines from p on.
//
//go:noescape
func prefetch3(p unsafe.Pointer)

// prefetchSlots asks for three lines at each of n handles. A prefetch can hold up what
// comes after it, as when its page must be searched for: in a loop as tight as this one
// many are under way at once, between the steps of look-ups only a few.
//
//go:noescape
func prefetchSlots(base unsafe.Pointer, handles *Handle, n int)

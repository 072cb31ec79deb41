//go:build (!amd64 && !arm64) || asan

package shard

import "unsafe"

func prefetch(unsafe.Pointer)  {}
func prefetch3(unsafe.Pointer) {}

func prefetchSlots(unsafe.Pointer, *Handle, int) {}

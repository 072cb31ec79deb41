//go:build (amd64 || arm64) && !asan

package xsk

// prefetch3 asks for the cache lines at p, 64 and 128 bytes behind it, and does not wait
// for them. (Go has no such instruction of its own; package shard says why loads are no
// substitute.)
//
//go:noescape
func prefetch3(p *byte)

//go:build invariants

package dataplane

const invariants = true

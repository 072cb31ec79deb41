//go:build !asan

package shard

// Slots are poisoned in AddressSanitizer builds only.
func (s *Shard) poison(Handle)   {}
func (s *Shard) unpoison(Handle) {}
func (s *Shard) poisonSlab(int)  {}
func (s *Shard) unpoisonAll()    {}

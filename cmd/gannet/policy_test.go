package main

import (
	"slices"
	"testing"

	"gannet/config"
	"gannet/shard/evict"
)

// TestPolicies holds the list that the configuration accepts, which may not look
// into the shard, to the policies there are.
func TestPolicies(t *testing.T) {
	want := append([]string{"default"}, evict.Names()...)
	got := slices.Clone(config.Policies)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("config.Policies has %v, the shards have %v", got, want)
	}
}

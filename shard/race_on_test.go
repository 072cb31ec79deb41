//go:build race

package shard

import (
	"flag"
	"os"
	"testing"
)

const raceEnabled = true

// TestMain makes fewer draws: a race build is slow, and a shard has one
// goroutine.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "5")
	os.Exit(m.Run())
}

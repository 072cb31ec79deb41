//go:build asan

package shard

import (
	"os"
	"os/exec"
	"testing"
)

// TestPoisoned reads a slot after its item was deleted, in a child process that
// must die of it.
func TestPoisoned(t *testing.T) {
	if os.Getenv("GANNET_ASAN_CHILD") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=TestPoisoned")
		cmd.Env = append(os.Environ(), "GANNET_ASAN_CHILD=1")
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Fatalf("a read of a free slot went unnoticed:\n%s", out)
		}
		return
	}
	s := openShard(t, Config{MemoryBytes: 8 << 20})
	mustPut(t, s, "key", "a value that will be gone")
	g := get(s, "key")
	value := g.Item.Value
	del(s, "key")
	t.Log(value[20])
}

package shardcheck

import (
	"os"
	"strconv"
	"strings"
)

const hugePagesFile = "/proc/sys/vm/nr_hugepages"

// borrowHugePages asks the kernel for 2 MiB pages for so many bytes on top of
// those there are, and returns a function that gives them back. Without the
// right to do so it changes nothing; the shard then says what it fell back to.
func borrowHugePages(bytes int64) (giveBack func()) {
	before, err := os.ReadFile(hugePagesFile)
	if err != nil {
		return func() {}
	}
	have, err := strconv.ParseInt(strings.TrimSpace(string(before)), 10, 64)
	if err != nil {
		return func() {}
	}
	want := strconv.FormatInt(have+bytes>>21+1, 10)
	if os.WriteFile(hugePagesFile, []byte(want), 0o644) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(hugePagesFile, before, 0o644) }
}

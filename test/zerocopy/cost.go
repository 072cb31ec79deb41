package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"gannet/alloc"
	"gannet/dataplane/port"
	"gannet/shard"
	"gannet/wire"
)

// costMemory is the shard in which the memory of header room is measured.
const costMemory = 128 << 20

// printCost says how many items of some lengths a shard holds with header room and
// without, once it evicts.
func printCost(out io.Writer) error {
	table := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(table, "value\tbytes an item, no room\twith room\tmore")
	for _, n := range []int{512, 1024, 1400, 4096, 16384} {
		plain, err := bytesAnItem(n, 0)
		if err != nil {
			return err
		}
		roomy, err := bytesAnItem(n, port.HeaderRoomBytes)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%d B\t%.0f\t%.0f\t%.1f %%\n", n, plain, roomy, 100*(roomy/plain-1))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("cost: %w", err)
	}
	return nil
}

// bytesAnItem fills a shard until it evicts, and divides.
func bytesAnItem(valueBytes, room int) (float64, error) {
	s, _, err := shard.Open(shard.Config{
		MemoryBytes: costMemory, NUMANode: alloc.NoNUMA, HeaderRoomBytes: room, HeaderRoomFromBytes: 1,
	}, 1e9)
	if err != nil {
		return 0, fmt.Errorf("cost: %w", err)
	}
	defer s.Close()
	value := make([]byte, valueBytes)
	for i := range 2 * costMemory / valueBytes {
		key := gainKey(i)
		w := shard.Write{Op: shard.Put, Hash: wire.KeyHash(key), Key: key, Value: value}
		if s.Write(&w, 1e9); w.Status != shard.OK {
			return 0, fmt.Errorf("cost: item %d: status %d", i, w.Status)
		}
	}
	return costMemory / float64(s.Stats().Items), nil
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gannet/shard/evict"
	"gannet/shard/shardcheck"
)

func checkImbalance(_ context.Context, e *env) error {
	f, err := shardcheck.Imbalance()
	if err != nil {
		return err
	}
	e.table.AtLeast("imbalance", f.Value, 0.95, f.N, "share of slabs", f.Note)
	return nil
}

func checkBatchedGet(_ context.Context, e *env) error {
	b, err := shardcheck.BatchedGet(shardcheck.Options{})
	if err != nil {
		return err
	}
	if b.AllocsPerGet != 0 {
		return fmt.Errorf("%.3g allocations per GET", b.AllocsPerGet)
	}
	pages := "2 MiB pages"
	if b.Fallback != "" {
		pages = b.Fallback
	}
	note := fmt.Sprintf("uniform, %d MB set, 64 B items, 0 allocations, %s; Zipf 0.99: %.1f M/s, %.2f × unbatched",
		b.SetBytes>>20, pages, b.Zipf/1e6, b.ZipfGain)
	e.table.AtLeast("batched_get", b.Uniform/1e6, 8, b.Gets, "M GET/s", note)
	e.table.AtLeast("batch_gain", b.Gain, 2, b.Gets, "× unbatched", "same run, uniform")
	return nil
}

func checkOverhead(ctx context.Context, e *env) error {
	beside, err := memcachedOverhead(ctx)
	if err != nil {
		return fmt.Errorf("memcached beside it: %w", err)
	}
	for _, row := range []struct {
		id, policy string
		goal       float64
	}{{"overhead_lru", "lru", 48}, {"overhead_default", evict.Default, 44}} {
		f, err := shardcheck.Overhead(row.policy)
		if err != nil {
			return err
		}
		e.table.AtMost(row.id, f.Value, row.goal, f.N, "B an item", fmt.Sprintf("%s; memcached in the same run: %.1f B", f.Note, beside))
	}
	return nil
}

// memcachedOverhead fills a memcached until it evicts, with 16 B keys and 100 B
// values, and returns the bytes an item takes beyond these.
func memcachedOverhead(ctx context.Context) (float64, error) {
	dir, err := os.MkdirTemp("", "gannet-memcached-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	cmd := exec.CommandContext(ctx, "memcached", "-u", "root", "-m", "256", "-t", "1", "-s", socket)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start memcached (package memcached): %w", err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	conn, err := dialUnix(ctx, socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := fillMemcached(conn, 4_000_000); err != nil {
		return 0, err
	}
	stats, err := memcachedStats(conn, "stats", "stats slabs")
	if err != nil {
		return 0, err
	}
	if stats["evictions"] == 0 {
		return 0, errors.New("memcached did not evict: the figure would mean nothing")
	}
	items := stats["curr_items"]
	used := stats["total_malloced"] + stats["hash_bytes"]
	return used/items - 116, nil
}

func dialUnix(ctx context.Context, socket string) (net.Conn, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if conn, err := net.Dial("unix", socket); err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	return nil, errors.New("memcached did not open its socket")
}

func fillMemcached(conn net.Conn, items int) error {
	w := bufio.NewWriterSize(conn, 1<<20)
	value := strings.Repeat("v", 100)
	for i := range items {
		if _, err := fmt.Fprintf(w, "set k%015d 0 0 100 noreply\r\n%s\r\n", i, value); err != nil {
			return err
		}
	}
	return w.Flush()
}

func memcachedStats(conn net.Conn, commands ...string) (map[string]float64, error) {
	stats := map[string]float64{}
	r := bufio.NewReader(conn)
	for _, command := range commands {
		if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
			return nil, err
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(line, "END") {
				break
			}
			fields := strings.Fields(line)
			if len(fields) == 3 {
				if v, err := strconv.ParseFloat(fields[2], 64); err == nil {
					stats[fields[1]] = v
				}
			}
		}
	}
	return stats, nil
}

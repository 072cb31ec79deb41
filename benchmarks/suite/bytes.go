package suite

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
	"gannet/test/rows"
)

// bytesAnItem compares what an item takes beyond its 16 bytes of key and 100 of value,
// once each cache is so full that it evicts.
func (r *runner) bytesAnItem(ctx context.Context) error {
	ours, err := shardcheck.Overhead(evict.Default)
	if err != nil {
		return fmt.Errorf("suite: overhead: %w", err)
	}
	theirs, items, err := memcachedOverhead(ctx)
	if err != nil {
		return fmt.Errorf("suite: overhead of memcached: %w", err)
	}
	r.doc.Add(rows.Row{
		ID: "bytes", Value: ours.Value / theirs, N: ours.N + items, Unit: "ratio", Rounds: 1,
		Note: fmt.Sprintf("overhead an item at eviction, default policy, keys 16 B, values 100 B: Gannet ÷ memcached (%.1f ÷ %.1f B)", ours.Value, theirs),
	}.AtMost(0.55))
	return nil
}

const (
	overheadMemoryMB = 256
	overheadItems    = 4_000_000 // more than fit
)

// memcachedOverhead fills a memcached until it evicts, and returns the bytes an item
// takes beyond key and value, and how many there were.
func memcachedOverhead(ctx context.Context) (float64, int64, error) {
	dir, err := os.MkdirTemp("", "gannet-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "memcached")
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "memcached", "-u", "root", "-m", strconv.Itoa(overheadMemoryMB), "-t", "1", "-s", socket)
	if err := cmd.Start(); err != nil {
		cancel()
		return 0, 0, fmt.Errorf("%w: scripts/rivals.sh installs it", err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait()
	}()
	conn, err := dialUnix(ctx, socket)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	if err := fill(conn); err != nil {
		return 0, 0, err
	}
	stats, err := memcachedStats(conn)
	if err != nil {
		return 0, 0, err
	}
	if stats["evictions"] == 0 {
		return 0, 0, errors.New("it did not evict: the figure would mean nothing")
	}
	used := stats["total_malloced"] + stats["hash_bytes"]
	return used/stats["curr_items"] - keyBytes - smallValue, int64(stats["curr_items"]), nil
}

func dialUnix(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("its socket: %w", err)
		case <-tick.C:
		}
	}
}

func fill(conn net.Conn) error {
	w := bufio.NewWriterSize(conn, 1<<20)
	value := strings.Repeat("v", smallValue)
	for i := range overheadItems {
		if _, err := fmt.Fprintf(w, "set k%0*d 0 0 %d noreply\r\n%s\r\n", keyBytes-1, i, smallValue, value); err != nil {
			return err
		}
	}
	return w.Flush()
}

// memcachedStats reads the numbers of both statistics that count memory.
func memcachedStats(conn net.Conn) (map[string]float64, error) {
	stats := map[string]float64{}
	r := bufio.NewReader(conn)
	for _, command := range []string{"stats", "stats slabs"} {
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
			if len(fields) != 3 {
				continue
			}
			if v, err := strconv.ParseFloat(fields[2], 64); err == nil {
				stats[fields[1]] = v
			}
		}
	}
	return stats, nil
}

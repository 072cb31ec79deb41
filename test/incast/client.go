package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"gannet/client"
)

const (
	valueBytes = 4096
	multiKeys  = 64
	storedKeys = 2048
	smallKeys  = 16
	smallBytes = 100
	warmWord   = "warm" // said when the clock starts
)

// job is what a client process is to do.
type job struct {
	Role     string // "fill", "multi" or "small"
	Mode     client.IncastMode
	LinkBits int64
	Lasts    time.Duration
	Warm     int // multi-gets before the clock starts
	Every    time.Duration
}

// done is what it did.
type done struct {
	Nanos   []int64 // of each call
	Lasted  int64
	Values  int64 // read
	Wrong   int64 // errors, misses and values that are not what was stored
	Resent  uint64
	Late    uint64
	Problem string
}

// work is a client's process.
func work(j *job, out io.Writer) error {
	opts := []client.Option{client.WithIncast(j.Mode), client.WithTimeout(5 * time.Second), client.WithSourcePorts(1)}
	if j.LinkBits != 0 {
		opts = append(opts, client.WithLinkSpeed(j.LinkBits))
	}
	c, err := client.Open([]string{fmt.Sprintf("%s:%d", serverAddress(0), dataPort)}, opts...)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx := context.Background()
	d := &done{}
	switch j.Role {
	case "fill":
		err = fill(ctx, c)
	case "multi":
		err = multi(ctx, c, j, d, out)
	default:
		err = small(ctx, c, j, d)
	}
	if err != nil {
		return err
	}
	k := c.Counters()
	d.Resent, d.Late = k.Resent, k.Dropped["late"]
	return json.NewEncoder(out).Encode(d)
}

func bigKey(n int) string   { return fmt.Sprintf("big:%06d", n) }
func smallKey(n int) string { return fmt.Sprintf("small:%06d", n) }

// pattern is a value that tells its key in every word.
func pattern(n, size int) []byte {
	v := make([]byte, 0, size)
	for len(v) < size {
		v = binary.LittleEndian.AppendUint32(v, uint32(n))
	}
	return v
}

func fill(ctx context.Context, c *client.Client) error {
	put := func(key string, value []byte) error {
		_, err := c.Put(ctx, key, value)
		return err
	}
	for n := range storedKeys {
		if err := put(bigKey(n), pattern(n, valueBytes)); err != nil {
			return err
		}
	}
	for n := range smallKeys {
		if err := put(smallKey(n), pattern(n, smallBytes)); err != nil {
			return err
		}
	}
	return nil
}

// multi reads 64 keys, again and again.
func multi(ctx context.Context, c *client.Client, j *job, d *done, out io.Writer) error {
	random := rand.New(rand.NewPCG(1, 2))
	keys, numbers := make([]string, multiKeys), make([]int, multiKeys)
	var begin time.Time
	for i := 0; i <= j.Warm || time.Since(begin) < j.Lasts; i++ {
		if i == j.Warm {
			fmt.Fprintln(out, warmWord)
			begin = time.Now()
		}
		for k, n := range random.Perm(storedKeys)[:multiKeys] {
			keys[k], numbers[k] = bigKey(n), n
		}
		start := time.Now()
		results, err := c.GetMulti(ctx, keys)
		took := time.Since(start)
		if err != nil && d.Problem == "" {
			d.Problem = err.Error()
		}
		if i >= j.Warm {
			d.Nanos = append(d.Nanos, int64(took))
			d.check(results, numbers)
		}
	}
	d.Lasted = int64(time.Since(begin))
	return nil
}

func (d *done) check(results []client.Result, numbers []int) {
	for k := range results {
		d.Values++
		v := results[k].Value
		if results[k].Err != nil || len(v) != valueBytes || binary.LittleEndian.Uint32(v[valueBytes-4:]) != uint32(numbers[k]) {
			d.Wrong++
		}
	}
}

// small reads small keys one by one, at a slow, steady pace.
func small(ctx context.Context, c *client.Client, j *job, d *done) error {
	begin := time.Now()
	next := begin
	for i := 0; time.Since(begin) < j.Lasts; i++ {
		next = next.Add(j.Every)
		time.Sleep(time.Until(next))
		start := time.Now()
		item, err := c.Get(ctx, smallKey(i%smallKeys))
		took := time.Since(start)
		if err != nil && !errors.Is(err, client.ErrTimeout) {
			return err
		}
		d.Values++
		if err != nil || len(item.Value) != smallBytes {
			d.Wrong++
		}
		if i >= smallKeys { // the first of each node waits for its HELLO
			d.Nanos = append(d.Nanos, int64(took))
		}
	}
	d.Lasted = int64(time.Since(begin))
	return nil
}

package loadgen

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gannet/client"
	"gannet/loadgen/trace"
)

// longestLatency is the top of the histograms, in nanoseconds.
const longestLatency = int64(60 * time.Second)

// worker carries out its share of a trace, one request at a time.
type worker struct {
	client   *client.Client
	maxValue int
	patience time.Duration
	latency  *hdrhistogram.Histogram // nanoseconds
	report   ReplayReport            // its share of the counts
	value    []byte
	got      []byte

	// For the progress display; written by the worker only.
	requests, hits, errors atomic.Int64
}

func newWorker(c *client.Client, maxValue int, patience time.Duration) *worker {
	return &worker{client: c, maxValue: maxValue, patience: patience, latency: hdrhistogram.New(1, longestLatency, 3)}
}

// run carries out batches until there are no more or ctx ends.
func (w *worker) run(ctx context.Context, in <-chan *batch, free chan<- *batch) {
	for b := range in {
		from := 0
		for i := range b.jobs {
			j := &b.jobs[i]
			if ctx.Err() == nil {
				w.do(ctx, j, string(b.keys[from:j.keyEnd]))
			}
			from = j.keyEnd
		}
		select {
		case free <- b:
		default:
		}
	}
}

func (w *worker) do(ctx context.Context, j *job, key string) {
	switch j.op {
	case trace.Get:
		w.get(ctx, j, key)
	case trace.Delete:
		w.report.Deletes++
		w.wrote(w.insist(ctx, func() error { return w.client.Delete(ctx, key) }))
	case trace.Touch:
		w.report.Touches++
		w.wrote(w.insist(ctx, func() error {
			_, err := w.client.Touch(ctx, key, time.Duration(j.ttlSeconds)*time.Second)
			return err
		}))
	default:
		w.put(ctx, j, key)
	}
}

// get reads, checks what it gets, and fills a miss.
func (w *worker) get(ctx context.Context, j *job, key string) {
	start := time.Now()
	var item client.Item
	err := w.insist(ctx, func() (err error) {
		item, err = w.client.GetInto(ctx, key, w.got)
		return err
	})
	took := time.Since(start)
	switch {
	case err == nil:
		w.report.Hits++
		w.hits.Add(1)
		w.got = item.Value[:0]
		if !CheckValue(item.Value, j.hash) {
			w.report.Corrupt++
		}
	case errors.Is(err, client.ErrMiss):
		w.report.Misses++
		w.put(ctx, j, key)
	case ctx.Err() != nil:
		return // the replay was ended; this request does not count
	default:
		w.fail(err)
		w.report.Errors++
		w.errors.Add(1)
		if errors.Is(err, client.ErrCorrupt) {
			w.report.Corrupt++
		}
	}
	w.requests.Add(1)
	_ = w.latency.RecordValue(min(max(int64(took), 1), longestLatency)) // inside its range
}

// put stores the value that belongs to the key.
func (w *worker) put(ctx context.Context, j *job, key string) {
	if j.valueBytes > w.maxValue {
		w.report.TooLarge++
		return
	}
	w.value = AppendValue(w.value[:0], j.hash, j.valueBytes)
	w.report.Puts++
	w.wrote(w.insist(ctx, func() error { return w.store(ctx, j, key) }))
}

func (w *worker) store(ctx context.Context, j *job, key string) (err error) {
	ttl := client.WithTTL(time.Duration(j.ttlSeconds) * time.Second)
	switch j.op {
	case trace.Add:
		_, err = w.client.Add(ctx, key, w.value, ttl)
	case trace.Replace, trace.CompareAndSwap:
		_, err = w.client.Replace(ctx, key, w.value, ttl)
	default:
		_, err = w.client.Put(ctx, key, w.value, ttl)
	}
	return err
}

// insistEvery is the pause before a refused operation is tried again.
const insistEvery = 10 * time.Millisecond

// insist tries an operation again while the node refuses it for now: it sheds
// load, or its fence has lapsed and will be renewed. The client itself leaves that
// to its caller.
func (w *worker) insist(ctx context.Context, do func() error) error {
	err := do()
	for end := time.Now().Add(w.patience); isPassing(err) && time.Now().Before(end); {
		w.report.Retried++
		select {
		case <-time.After(insistEvery):
		case <-ctx.Done():
			return err
		}
		err = do()
	}
	return err
}

func isPassing(err error) bool {
	return errors.Is(err, client.ErrFenced) || errors.Is(err, client.ErrOverloaded)
}

// wrote files the outcome of a write. That a condition did not hold is none of
// the node's failures.
func (w *worker) wrote(err error) {
	if err == nil || errors.Is(err, client.ErrNotFound) || errors.Is(err, client.ErrExists) {
		return
	}
	w.report.PutErrors++
	w.fail(err)
}

func (w *worker) fail(err error) {
	if w.report.FirstError == "" {
		w.report.FirstError = err.Error()
	}
}

package loadgen

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"gannet/loadgen/trace"
	"gannet/wire"
)

// batchJobs is how many jobs travel to a worker at once, and batchesAhead how
// many batches may wait for it.
const (
	batchJobs    = 64
	batchesAhead = 4
)

// job is one request on its way to a worker.
type job struct {
	op         trace.Op
	keyEnd     int // its key ends here in the batch's keys, where the next begins
	hash       uint64
	valueBytes int
	ttlSeconds uint32
}

// batch is a run of jobs for one worker. Batches go round: dealer, worker, dealer.
type batch struct {
	jobs []job
	keys []byte
}

// dealer reads a trace and deals it to workers by key.
type dealer struct {
	source  trace.Source
	limit   int64 // GETs left; negative = no limit
	values  sizing
	ttl     uint32 // where the trace has none
	workers []chan *batch
	open    []*batch
	free    chan *batch
}

// sizing decides the size of values.
type sizing struct{ fixed, unknown int }

func (s sizing) of(traceBytes int) int {
	switch {
	case s.fixed != 0:
		return s.fixed
	case traceBytes == trace.Unknown:
		return s.unknown
	}
	return traceBytes
}

func newDealer(o *ReplayOptions) *dealer {
	n := o.Connections
	d := &dealer{
		source: o.Source, limit: o.Limit, ttl: o.TTLSeconds,
		values:  sizing{o.ValueBytes, o.DefaultValueBytes},
		workers: make([]chan *batch, n), open: make([]*batch, n),
		free: make(chan *batch, n*(batchesAhead+2)),
	}
	if d.limit == 0 {
		d.limit = -1
	}
	for i := range d.workers {
		d.workers[i] = make(chan *batch, batchesAhead)
	}
	return d
}

// run deals the whole trace and then closes the workers' channels.
func (d *dealer) run(ctx context.Context) error {
	defer func() {
		for _, w := range d.workers {
			close(w)
		}
	}()
	var req trace.Request
	for d.limit != 0 {
		err := d.source.Next(&req)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		if req.Op == trace.Get && d.limit > 0 {
			d.limit--
		}
		if err := d.deal(ctx, &req); err != nil {
			return err
		}
	}
	return d.flush(ctx)
}

// deal adds a request to its worker's open batch.
func (d *dealer) deal(ctx context.Context, req *trace.Request) error {
	b, hash, at := d.place(req)
	ttl := req.TTLSeconds
	if ttl == 0 {
		ttl = d.ttl
	}
	b.jobs = append(b.jobs, job{
		op: req.Op, keyEnd: len(b.keys), hash: hash,
		valueBytes: d.values.of(req.ValueBytes), ttlSeconds: min(ttl, wire.MaxTTLSeconds),
	})
	if len(b.jobs) < batchJobs {
		return nil
	}
	return d.hand(ctx, at)
}

// place appends the key to the batch of the worker it belongs to.
func (d *dealer) place(req *trace.Request) (b *batch, hash uint64, at int) {
	var room [wire.MaxKeyBytes]byte
	key := appendKey(room[:0], req.Key)
	hash = wire.KeyHash(key)
	at = int(mix(hash) % uint64(len(d.workers)))
	if d.open[at] == nil {
		d.open[at] = d.fresh()
	}
	b = d.open[at]
	b.keys = append(b.keys, key...)
	return b, hash, at
}

// appendKey makes a key of the trace into one the protocol carries: keys that are
// too long are cut and told apart by a hash of the whole; the empty key gets a
// name.
func appendKey(dst, key []byte) []byte {
	switch {
	case len(key) == 0:
		return append(dst, "(empty key)"...)
	case len(key) <= wire.MaxKeyBytes:
		return append(dst, key...)
	}
	h := wire.KeyHash(key)
	sum := [8]byte{byte(h), byte(h >> 8), byte(h >> 16), byte(h >> 24), byte(h >> 32), byte(h >> 40), byte(h >> 48), byte(h >> 56)}
	return hex.AppendEncode(append(dst, key[:wire.MaxKeyBytes-16]...), sum[:])
}

func (d *dealer) fresh() *batch {
	select {
	case b := <-d.free:
		b.jobs, b.keys = b.jobs[:0], b.keys[:0]
		return b
	default:
		return &batch{jobs: make([]job, 0, batchJobs)}
	}
}

// hand passes an open batch on. The worker owns it from here.
func (d *dealer) hand(ctx context.Context, at int) error {
	b := d.open[at]
	d.open[at] = nil
	select {
	case d.workers[at] <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *dealer) flush(ctx context.Context) error {
	for at, b := range d.open {
		if b != nil {
			if err := d.hand(ctx, at); err != nil {
				return err
			}
		}
	}
	return nil
}

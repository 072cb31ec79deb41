package loadgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gannet/alloc"
	"gannet/loadgen/trace"
	"gannet/shard"
	"gannet/wire"
)

// InProcessOptions says what to replay into one shard, without any network.
type InProcessOptions struct {
	Source trace.Source // read to its end, not closed
	Trace  string       // for the report
	Format string       // for the report
	Policy string       // of shard/evict; "" = default
	// CapacityItems bounds the number of items, MemoryBytes the memory; give one.
	// By items, every object counts 1: values are of 8 bytes unless ValueBytes
	// says otherwise, and sizes of the trace are left aside.
	CapacityItems int
	MemoryBytes   int64
	Limit         int64 // GETs; 0 = the whole trace
	// ValueBytes and DefaultValueBytes: see ReplayOptions.
	ValueBytes        int
	DefaultValueBytes int
	// Progress, if set, is called now and then, and once at the end.
	Progress func(Progress)
}

// How a replay in process keeps time and house.
const (
	tickNanos      = 1000 // of a request, in traces without times
	advanceEvery   = 64   // requests between two calls of Advance
	advanceBudget  = 256
	progressEvery  = 1 << 16
	itemRoomBytes  = 512 // memory for each item when items are bounded
	shardRoomBytes = 64 << 20
)

func (o *InProcessOptions) setDefaults() error {
	if o.Policy == "" {
		o.Policy = "default"
	}
	if o.DefaultValueBytes == 0 {
		o.DefaultValueBytes = DefaultValueBytes
	}
	switch {
	case o.Source == nil:
		return fmt.Errorf("%w: no trace: give a trace file or a synthetic load", ErrOptions)
	case (o.CapacityItems > 0) == (o.MemoryBytes > 0):
		return fmt.Errorf("%w: capacity of %d items and %d bytes: give one of the two", ErrOptions, o.CapacityItems, o.MemoryBytes)
	case o.CapacityItems < 0 || o.MemoryBytes < 0 || o.Limit < 0 || o.ValueBytes < 0:
		return fmt.Errorf("%w: sizes and limits must not be negative", ErrOptions)
	}
	if o.CapacityItems > 0 {
		o.DefaultValueBytes = 8
		if o.ValueBytes == 0 {
			o.ValueBytes = 8
		}
		o.MemoryBytes = shardRoomBytes + int64(o.CapacityItems)*int64(itemRoomBytes+2*o.ValueBytes)
	}
	return nil
}

// ReplayInProcess replays a trace into one shard of this process, on a clock of
// its own: the trace's, where it has times, else one tick a request. TTLs count
// only where the trace has times and TTLs.
func ReplayInProcess(ctx context.Context, o InProcessOptions) (*ReplayReport, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	store, _, err := shard.Open(shard.Config{
		MemoryBytes: o.MemoryBytes, CapacityItems: o.CapacityItems, Policy: o.Policy,
		MaxValueBytes: shard.MaxValueBytesLimit, Huge: alloc.Auto, NUMANode: alloc.NoNUMA,
	}, 0)
	if err != nil {
		return nil, fmt.Errorf("replay in process: %w", err)
	}
	p := inProcess{options: &o, store: store, start: time.Now(), values: sizing{o.ValueBytes, o.DefaultValueBytes}}
	err = p.run(ctx)
	report := p.finish()
	return report, errors.Join(err, store.Close())
}

// inProcess is one such replay under way.
type inProcess struct {
	options  *InProcessOptions
	store    *shard.Shard
	values   sizing
	start    time.Time
	report   ReplayReport
	nowNanos int64
	count    int64
	get      shard.Get
	write    shard.Write
	key      []byte
	value    []byte
}

func (p *inProcess) run(ctx context.Context) error {
	var req trace.Request
	for p.options.Limit == 0 || p.report.Hits+p.report.Misses < p.options.Limit {
		err := p.options.Source.Next(&req)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("replay in process: %w", err)
		}
		p.tick(&req)
		p.do(&req)
		if p.count%progressEvery == 0 {
			if p.options.Progress != nil {
				p.options.Progress(p.progress())
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// tick moves the clock, never backwards, and lets the shard keep house.
func (p *inProcess) tick(req *trace.Request) {
	p.count++
	p.nowNanos += tickNanos
	if req.TimeSeconds != 0 {
		p.nowNanos = max(p.nowNanos-tickNanos, int64(req.TimeSeconds)*int64(time.Second))
	}
	if p.count%advanceEvery == 0 {
		p.store.Advance(p.nowNanos, advanceBudget)
	}
}

func (p *inProcess) do(req *trace.Request) {
	p.key = appendKey(p.key[:0], req.Key)
	hash := wire.KeyHash(p.key)
	if req.Op != trace.Get {
		p.mutate(req, hash)
		return
	}
	p.get = shard.Get{Hash: hash, Key: p.key}
	p.store.Get(&p.get, p.nowNanos)
	if p.get.Outcome != shard.Hit {
		p.report.Misses++
		p.put(shard.Put, req, hash)
		return
	}
	p.report.Hits++
	if !CheckValue(p.get.Item.Value, hash) {
		p.report.Corrupt++
	}
}

// mutate carries out a write of the trace.
func (p *inProcess) mutate(req *trace.Request, hash uint64) {
	switch req.Op {
	case trace.Delete:
		p.report.Deletes++
		p.carryOut(shard.Write{Op: shard.Delete, Hash: hash, Key: p.key})
	case trace.Touch:
		p.report.Touches++
		p.carryOut(shard.Write{Op: shard.Touch, Hash: hash, Key: p.key, TTLSeconds: p.ttl(req)})
	case trace.Add:
		p.put(shard.Add, req, hash)
	case trace.Replace, trace.CompareAndSwap:
		p.put(shard.Replace, req, hash)
	default:
		p.put(shard.Put, req, hash)
	}
}

func (p *inProcess) put(op shard.Op, req *trace.Request, hash uint64) {
	size := p.values.of(req.ValueBytes)
	if size > shard.MaxValueBytesLimit {
		p.report.TooLarge++
		return
	}
	p.report.Puts++
	p.value = AppendValue(p.value[:0], hash, size)
	p.carryOut(shard.Write{Op: op, Hash: hash, Key: p.key, Value: p.value, TTLSeconds: p.ttl(req)})
}

func (p *inProcess) ttl(req *trace.Request) uint32 {
	if req.TimeSeconds == 0 {
		return 0
	}
	return min(req.TTLSeconds, shard.MaxTTLSeconds)
}

func (p *inProcess) carryOut(w shard.Write) {
	p.write = w
	p.store.Write(&p.write, p.nowNanos)
	switch p.write.Status {
	case shard.OK, shard.Exists, shard.NotFound:
	default:
		p.report.PutErrors++
	}
}

func (p *inProcess) progress() Progress {
	return Progress{Requests: p.report.Hits + p.report.Misses, Hits: p.report.Hits, Elapsed: time.Since(p.start)}
}

func (p *inProcess) finish() *ReplayReport {
	if p.options.Progress != nil {
		p.options.Progress(p.progress())
	}
	r, stats := &p.report, p.store.Stats()
	r.Trace, r.Format, r.Policy, r.Datapath = p.options.Trace, p.options.Format, p.options.Policy, "in-process"
	for _, cause := range []shard.Drop{shard.DropMemory, shard.DropCapacity, shard.DropSlabMove, shard.DropIndex} {
		r.Evictions += stats.ByDrop[cause]
	}
	r.Items = stats.Items
	r.finish(time.Since(p.start).Seconds())
	return r
}

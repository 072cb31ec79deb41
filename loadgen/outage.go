package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gannet/client"
	"gannet/wire"
)

// Outage says which node to hurt, and with how much on it.
type Outage struct {
	Server string // "host:port" of shard 0
	// DataPlanePID returns the process that serves now.
	DataPlanePID func() (int, error)
	// Items of ValueBytes each are stored first, under keys of KeyPrefix.
	Items      int
	ValueBytes int
	KeyPrefix  string
	// Filled says that the items are there already, from an earlier call.
	Filled bool
	// Workers keep reading and writing while the process is hurt.
	Workers int
	// Patience bounds the whole measurement.
	Patience time.Duration
}

// Defaults of an Outage.
const (
	DefaultOutageItems    = 100_000
	DefaultOutageWorkers  = 4
	DefaultOutagePatience = 5 * time.Minute
)

func (o *Outage) setDefaults() error {
	if o.Items == 0 {
		o.Items = DefaultOutageItems
	}
	if o.ValueBytes == 0 {
		o.ValueBytes = DefaultValueBytes
	}
	if o.KeyPrefix == "" {
		o.KeyPrefix = "outage"
	}
	if o.Workers == 0 {
		o.Workers = DefaultOutageWorkers
	}
	if o.Patience == 0 {
		o.Patience = DefaultOutagePatience
	}
	if o.DataPlanePID == nil || o.Items < 0 || o.ValueBytes < 16 || o.Workers < 0 {
		return fmt.Errorf("%w: an outage needs DataPlanePID, items, and values of 16 bytes or more", ErrOptions)
	}
	return nil
}

// RestartReport is what a SIGKILL of the data plane under load did.
type RestartReport struct {
	FirstHitMillis float64 `json:"first_hit_ms"` // from the kill to the first right answer of the successor
	ItemsBefore    int64   `json:"items_before"`
	ItemsAfter     int64   `json:"items_after"`
	ItemsShare     float64 `json:"items_share"` // after / before
	Corrupt        int64   `json:"corrupt"`
	Operations     int64   `json:"operations"` // by the workers, from before the kill to after
	Failed         int64   `json:"failed"`     // of these
}

// FreezeReport is what a SIGSTOP of the data plane under load did.
type FreezeReport struct {
	// FirstAnswerMillis is how long the port was a black hole: from the stop until
	// a probe was answered by anybody, be it that the node is unavailable, or
	// refused by the kernel.
	FirstAnswerMillis float64 `json:"first_answer_ms"`
	FirstHitMillis    float64 `json:"first_hit_ms"`
	Replaced          bool    `json:"replaced"` // another process serves now
	Corrupt           int64   `json:"corrupt"`
	Operations        int64   `json:"operations"`
	Failed            int64   `json:"failed"`
}

// Kill stores items, kills the data plane with SIGKILL while workers read and
// write, and measures when and with what its successor answers.
func Kill(ctx context.Context, o Outage) (*RestartReport, error) {
	e, err := newExperiment(ctx, o)
	if err != nil {
		return nil, err
	}
	defer e.close()
	var r RestartReport
	if r.ItemsBefore, r.Corrupt, err = e.census(); err != nil {
		return nil, err
	}
	stop := e.work()
	killed, err := e.kill()
	if err == nil {
		err = e.probe.awaitHit(e.ctx)
	}
	e.settle()
	stop()
	if err != nil {
		return nil, err
	}
	r.FirstHitMillis = millis(e.probe.hit.Sub(killed))
	after, corrupt, err := e.census()
	if err != nil {
		return nil, err
	}
	r.ItemsAfter = after
	r.ItemsShare = float64(after) / float64(max(r.ItemsBefore, 1))
	r.Corrupt += corrupt + e.probe.wrong() + e.corrupt.Load()
	r.Operations, r.Failed = e.operations.Load(), e.failed.Load()
	return &r, nil
}

// Freeze stops the data plane with SIGSTOP while workers read and write, and
// measures how long nobody answers. A data plane that nobody replaces is
// continued in the end.
func Freeze(ctx context.Context, o Outage) (*FreezeReport, error) {
	e, err := newExperiment(ctx, o)
	if err != nil {
		return nil, err
	}
	defer e.close()
	stop := e.work()
	pid, stopped, err := e.freeze()
	if err == nil {
		err = e.probe.awaitHit(e.ctx)
		_ = unix.Kill(pid, unix.SIGCONT) // gone already, if all went well
	}
	e.settle()
	stop()
	if err != nil {
		return nil, err
	}
	now, err := o.DataPlanePID()
	r := &FreezeReport{
		FirstAnswerMillis: millis(e.probe.firstSign().Sub(stopped)),
		FirstHitMillis:    millis(e.probe.hit.Sub(stopped)),
		Replaced:          err == nil && now != pid,
		Corrupt:           e.probe.wrong() + e.corrupt.Load(),
		Operations:        e.operations.Load(), Failed: e.failed.Load(),
	}
	return r, nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// firstSign is the first answer or refusal, whichever came first.
func (p *prober) firstSign() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.refused.IsZero() && (p.answered.IsZero() || p.refused.Before(p.answered)) {
		return p.refused
	}
	return p.answered
}

// experiment is one outage under way.
type experiment struct {
	Outage
	ctx    context.Context
	cancel context.CancelFunc
	client *client.Client
	probe  *prober

	operations, failed, corrupt atomic.Int64
}

// newExperiment stores the items and starts the prober.
func newExperiment(ctx context.Context, o Outage) (*experiment, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	c, err := client.Open([]string{o.Server}, client.WithTimeout(10*time.Second))
	if err != nil {
		return nil, err
	}
	e := &experiment{Outage: o, client: c}
	e.ctx, e.cancel = context.WithTimeout(ctx, o.Patience)
	if err := e.prepare(); err != nil {
		e.close()
		return nil, fmt.Errorf("prepare the outage: %w", err)
	}
	return e, nil
}

func (e *experiment) prepare() error {
	addr, err := net.ResolveUDPAddr("udp", e.Server)
	if err != nil {
		return err
	}
	if !e.Filled {
		if err := e.fill(); err != nil {
			return err
		}
	}
	// The probed key is written last, so that it is there for certain.
	key := e.KeyPrefix + "-probe"
	value := AppendValue(nil, wire.KeyHash([]byte(key)), e.ValueBytes)
	if _, err := e.client.Put(e.ctx, key, value); err != nil {
		return err
	}
	e.probe, err = newProber(e.ctx, e.client, addr, key)
	if err != nil {
		return err
	}
	e.probe.arm()
	return e.probe.awaitHit(e.ctx)
}

func (e *experiment) close() {
	if e.probe != nil {
		e.probe.close()
	}
	e.client.Close()
	e.cancel()
}

func (e *experiment) key(n int) string { return fmt.Sprintf("%s-%09d", e.KeyPrefix, n) }

// inParallel does fn for all numbers below n from a few goroutines, until one
// fails.
func (e *experiment) inParallel(n int, fn func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for w := range errs {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if errs[w] = fn(int(i)); errs[w] != nil {
					next.Store(int64(n))
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fill stores the items.
func (e *experiment) fill() error {
	return e.inParallel(e.Items, func(i int) error {
		key := e.key(i)
		_, err := e.client.Put(e.ctx, key, AppendValue(nil, wire.KeyHash([]byte(key)), e.ValueBytes))
		return err
	})
}

// censusKeys is how many keys one step of a census reads.
const censusKeys = 64

// census reads all items and counts those that are there and those that are
// wrong.
func (e *experiment) census() (items, corrupt int64, err error) {
	var found, wrong atomic.Int64
	err = e.inParallel((e.Items+censusKeys-1)/censusKeys, func(step int) error {
		var keys []string
		for i := step * censusKeys; i < min((step+1)*censusKeys, e.Items); i++ {
			keys = append(keys, e.key(i))
		}
		results, err := e.client.GetMulti(e.ctx, keys)
		for i := range results {
			if results[i].Err != nil {
				continue
			}
			found.Add(1)
			if !CheckValue(results[i].Value, wire.KeyHash([]byte(keys[i]))) {
				wrong.Add(1)
			}
		}
		return err
	})
	return found.Load(), wrong.Load(), err
}

// work starts the load: reads of the items, and writes to keys of its own, so
// that it brings no lost item back. The function it returns ends it.
func (e *experiment) work() (stop func()) {
	ctx, cancel := context.WithCancel(e.ctx)
	var wg sync.WaitGroup
	for w := range e.Workers {
		wg.Go(func() {
			for n := w; ctx.Err() == nil; n += 7 {
				e.step(ctx, n, w)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (e *experiment) step(ctx context.Context, n, worker int) {
	key := e.key(n % e.Items)
	item, err := e.client.Get(ctx, key)
	if err == nil && !CheckValue(item.Value, wire.KeyHash([]byte(key))) {
		e.corrupt.Add(1)
	}
	e.count(ctx, err)
	key = fmt.Sprintf("%s-load-%d-%d", e.KeyPrefix, worker, n%1000)
	_, err = e.client.Put(ctx, key, AppendValue(nil, wire.KeyHash([]byte(key)), e.ValueBytes))
	e.count(ctx, err)
}

func (e *experiment) count(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the load is being ended
	}
	e.operations.Add(1)
	if err != nil && !errors.Is(err, client.ErrMiss) {
		e.failed.Add(1)
	}
}

// settle lets the load go on for a while after the first hit.
func (e *experiment) settle() {
	enough := e.operations.Load() + int64(e.Workers)*100
	for e.operations.Load() < enough && e.ctx.Err() == nil && e.Workers > 0 {
		time.Sleep(time.Millisecond)
	}
}

// kill kills the data plane and waits until the process is gone: what answers
// from then on is its successor.
func (e *experiment) kill() (killed time.Time, err error) {
	pid, err := e.DataPlanePID()
	if err != nil {
		return killed, fmt.Errorf("find the data plane: %w", err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return killed, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	killed = time.Now()
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return killed, fmt.Errorf("kill process %d: %w", pid, err)
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || n == 0:
			return killed, fmt.Errorf("process %d does not die: %w", pid, errors.Join(err, context.DeadlineExceeded))
		}
		e.probe.arm()
		return killed, nil
	}
}

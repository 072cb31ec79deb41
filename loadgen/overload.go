package loadgen

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sort"
	"time"

	"gannet/loadgen/bench"
	"gannet/wire"
)

// OverloadOptions says how to look for a node's limit and go beyond it.
type OverloadOptions struct {
	Server     string
	Keys       int
	ValueBytes int
	// Budget of each request; an answer after it is worth nothing.
	Budget time.Duration
	// FirstRate is where the search begins, in requests a second; each step offers
	// Growth times the one before.
	FirstRate float64
	Growth    float64
	// StepSeconds is the length of each step.
	StepSeconds float64
	Sockets     int // of each thread, to each shard; 0 = 1
	// KeysPerRequest is how many keys a datagram asks for; 0 = 1. It shifts the cost
	// towards the node: on one machine that lets a generator go beyond its limit.
	KeysPerRequest int
	// CPUs are those of the generator's threads, one each; nil is one thread anywhere.
	// On one machine with the node, keep them off its shards' CPUs: who shares a CPU
	// with what it measures, measures itself.
	CPUs []int
	// Rounds is how often peak and overload are measured, in turns, after the
	// search; the report has the medians' round.
	Rounds int
	// Step, if set, is called after each step.
	Step func(rate float64, r *Offered)

	preload func(context.Context, bench.Options) error                  // bench.Preload
	run     func(context.Context, bench.Options) (*bench.Result, error) // bench.Run
}

// Defaults of the OverloadOptions.
const (
	DefaultOverloadKeys   = 10_000
	DefaultOverloadBudget = 20 * time.Millisecond
	DefaultFirstRate      = 10_000
	DefaultGrowth         = 1.4
	DefaultStepSeconds    = 1.5
	DefaultOverloadRounds = 3

	overloadFactor = 2
	// searchSteps bounds the search.
	searchSteps = 24
	// overloadGrace is how long replies are awaited at least.
	overloadGrace = 200 * time.Millisecond
	// sustained is the share of the offered load that a node which keeps up
	// answers in time.
	sustained = 0.95
)

func (o *OverloadOptions) setDefaults() error {
	if o.Keys == 0 {
		o.Keys = DefaultOverloadKeys
	}
	if o.ValueBytes == 0 {
		o.ValueBytes = DefaultValueBytes
	}
	if o.Budget == 0 {
		o.Budget = DefaultOverloadBudget
	}
	if o.FirstRate == 0 {
		o.FirstRate = DefaultFirstRate
	}
	if o.Growth == 0 {
		o.Growth = DefaultGrowth
	}
	if o.StepSeconds == 0 {
		o.StepSeconds = DefaultStepSeconds
	}
	if o.run == nil {
		o.preload, o.run = bench.Preload, bench.Run
	}
	if o.Rounds == 0 {
		o.Rounds = DefaultOverloadRounds
	}
	if o.Growth <= 1 || o.StepSeconds < 0.1 || o.FirstRate < 1 || o.Rounds < 1 {
		return fmt.Errorf("%w: overload needs growth over 1, steps of 0.1 s or more, a first rate and rounds", ErrOptions)
	}
	return nil
}

// Offered is what became of one step's load. Sent = Good + Late + Shed + Missed +
// Failed + Lost.
type Offered struct {
	Sent   int64 `json:"sent"`
	Good   int64 `json:"good"`   // hits within their budget
	Late   int64 `json:"late"`   // hits after it
	Shed   int64 `json:"shed"`   // the node said that it would not
	Missed int64 `json:"missed"` // not on the node
	Failed int64 `json:"failed"` // other answers
	Lost   int64 `json:"lost"`   // no answer

	Seconds   float64 `json:"seconds"`
	Offered   float64 `json:"offered"` // operations a second that were really sent
	Goodput   float64 `json:"goodput"` // good answers a second
	P50Micros float64 `json:"p50_us"`  // of hits, from their scheduled times
	P99Micros float64 `json:"p99_us"`
}

// newOffered counts operations, not requests.
func newOffered(r *bench.Result) *Offered {
	o := &Offered{
		Late: int64(r.Late * r.KeysPerRequest), Missed: int64(r.Misses), Lost: int64(r.Lost * r.KeysPerRequest),
		Seconds: r.Elapsed.Seconds(), P50Micros: r.LatencyUS.P50, P99Micros: r.LatencyUS.P99,
	}
	o.Good = max(int64(r.Hits)-o.Late, 0)
	for name, count := range r.Errors {
		switch name {
		case wire.StatusTooLate.String(), wire.StatusOverloaded.String():
			o.Shed += int64(count)
		default:
			o.Failed += int64(count)
		}
	}
	o.Sent = o.Good + o.Late + o.Shed + o.Missed + o.Failed + o.Lost
	o.Offered = float64(o.Sent) / o.Seconds
	o.Goodput = float64(o.Good) / o.Seconds
	return o
}

// OverloadReport is what twice the highest rate does to a node.
type OverloadReport struct {
	// HighestRate is the greatest rate of the search at which the node answered
	// sustained shares in time; beyond it the goodput no longer follows the load.
	HighestRate float64  `json:"highest_rate"`
	Peak        *Offered `json:"peak"`     // at that rate
	Overload    *Offered `json:"overload"` // at twice that rate
	// Ratio is the goodput under overload over the peak's.
	Ratio float64 `json:"ratio"`
	// Shed is what the node refused or dropped under overload: answers that say
	// so, and requests without any.
	Shed    int64     `json:"shed"`
	Refused int64     `json:"refused"` // answers that say so
	Dropped int64     `json:"dropped"` // requests without answer
	Ratios  []float64 `json:"ratios"`  // of all rounds, sorted
	// Void says why the figure means nothing: the generator did not reach the rate
	// it should have offered, or the search found no limit. "" = it is good.
	Void string `json:"void,omitempty"`
}

// Overload finds the highest rate a node keeps up with, and then offers twice
// that.
func Overload(ctx context.Context, o OverloadOptions) (*OverloadReport, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	addr, err := net.ResolveUDPAddr("udp", o.Server)
	if err != nil {
		return nil, fmt.Errorf("overload: %w: give host:port of the node", err)
	}
	server := addr.AddrPort()
	return o.measure(ctx, netip.AddrPortFrom(server.Addr().Unmap(), server.Port()))
}

// measure searches and then goes beyond what it found.
func (o *OverloadOptions) measure(ctx context.Context, server netip.AddrPort) (*OverloadReport, error) {
	load := o.load(server)
	if err := o.fill(ctx, load); err != nil {
		return nil, fmt.Errorf("overload: store the keys: %w", err)
	}
	highest, limited, err := o.search(ctx, load)
	if err != nil {
		return nil, err
	}
	report, err := o.rounds(ctx, load, highest)
	if err != nil {
		return nil, err
	}
	if limited {
		report.Void = "the generator reached its own limit before the node's"
	}
	return report, nil
}

// load is what each step has in common.
func (o *OverloadOptions) load(server netip.AddrPort) bench.Options {
	return bench.Options{
		Server: server, Open: true, Rate: o.FirstRate, Arrivals: bench.Uniform, Keys: o.Keys, ValueSize: bench.Fixed(o.ValueBytes),
		Budget: o.Budget, Timeout: max(2*o.Budget, overloadGrace), Connections: o.Sockets, Threads: max(len(o.CPUs), 1), CPUs: o.CPUs,
		KeysPerRequest: o.KeysPerRequest, Duration: time.Duration(o.StepSeconds * float64(time.Second)),
		SkipVerify: true, // the generator shares the machine with the node; values are compared elsewhere
	}
}

// fill stores the keys that will be asked for.
func (o *OverloadOptions) fill(ctx context.Context, load bench.Options) error {
	if o.preload == nil {
		return nil
	}
	load.Budget, load.Timeout = 0, DefaultOpTimeout
	return o.preload(ctx, load)
}

// offer runs one step.
func (o *OverloadOptions) offer(ctx context.Context, load bench.Options, rate float64) (*Offered, error) {
	load.Rate = rate
	result, err := o.run(ctx, load)
	if err != nil {
		return nil, err
	}
	r := newOffered(result)
	if o.Step != nil {
		o.Step(rate, r)
	}
	return r, ctx.Err()
}

// search raises the rate until two steps running are not sustained. limited is
// true when the generator, not the node, was what fell behind.
func (o *OverloadOptions) search(ctx context.Context, load bench.Options) (highest float64, limited bool, err error) {
	rate, failures := o.FirstRate, 0
	for range searchSteps {
		r, err := o.offer(ctx, load, rate)
		if err != nil {
			return 0, false, err
		}
		switch {
		case r.Offered < rate*sustained && float64(r.Good) >= sustained*float64(r.Sent):
			return max(highest, r.Offered), true, nil
		case r.Goodput >= rate*sustained:
			highest, failures = rate, 0
		default:
			failures++
		}
		if failures == 2 {
			return max(highest, o.FirstRate), false, nil
		}
		rate *= o.Growth
	}
	return highest, true, nil
}

// rounds measures peak and overload in turns and reports the round with the
// median ratio.
func (o *OverloadOptions) rounds(ctx context.Context, load bench.Options, highest float64) (*OverloadReport, error) {
	var all []*OverloadReport
	for range o.Rounds {
		peak, err := o.offer(ctx, load, highest)
		if err != nil {
			return nil, err
		}
		over, err := o.offer(ctx, load, highest*overloadFactor)
		if err != nil {
			return nil, err
		}
		all = append(all, newOverloadReport(highest, peak, over))
	}
	return medianRound(all), nil
}

func newOverloadReport(highest float64, peak, over *Offered) *OverloadReport {
	r := &OverloadReport{
		HighestRate: highest, Peak: peak, Overload: over,
		Shed: over.Shed + over.Lost, Refused: over.Shed, Dropped: over.Lost,
	}
	if peak.Goodput > 0 {
		r.Ratio = over.Goodput / peak.Goodput
	}
	if over.Offered < 0.9*overloadFactor*highest {
		r.Void = fmt.Sprintf("the generator offered %.0f/s of the %.0f/s it should have: give it a core of its own", over.Offered, overloadFactor*highest)
	}
	return r
}

// medianRound returns the round with the median ratio, and all ratios in it.
func medianRound(all []*OverloadReport) *OverloadReport {
	sort.Slice(all, func(i, j int) bool { return all[i].Ratio < all[j].Ratio })
	median := all[len(all)/2]
	for _, r := range all {
		median.Ratios = append(median.Ratios, r.Ratio)
	}
	return median
}

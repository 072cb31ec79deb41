package bench

import (
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what became of the requests of the measured window: each either answered
// or lost.
type Result struct {
	Protocol Protocol `json:"protocol"`
	Datapath Datapath `json:"datapath"`
	Server   string   `json:"server"`
	Workload string   `json:"workload"` // in words

	KeysPerRequest uint64 `json:"keys_per_request"`

	Requests uint64            `json:"requests"` // sent
	Replies  uint64            `json:"replies"`  // answered, with an error or without
	Lost     uint64            `json:"lost"`     // no answer within the timeout
	Late     uint64            `json:"late"`     // answered after the budget
	Unsent   uint64            `json:"unsent"`   // open loop: due, but never sent
	Keys     uint64            `json:"keys"`     // operations answered
	Hits     uint64            `json:"hits"`
	Misses   uint64            `json:"misses"`
	Stored   uint64            `json:"stored"`
	Corrupt  uint64            `json:"corrupt"` // values that were not what was stored
	Errors   map[string]uint64 `json:"errors"`  // operations, by kind

	Elapsed     time.Duration `json:"elapsed_ns"`
	OfferedRate float64       `json:"offered_rate,omitempty"` // open loop: requests a second that were asked for
	Rate        float64       `json:"rate"`                   // requests answered a second
	KeyRate     float64       `json:"key_rate"`               // operations answered a second
	LossShare   float64       `json:"loss_share"`             // lost, unsent or refused ÷ all

	LatencyUS   Percentiles  `json:"latency_us"`
	Threads     []Thread     `json:"threads"`
	Utilisation float64      `json:"utilisation"` // of the busiest thread
	StealShare  float64      `json:"steal_share"` // of the threads' CPUs
	Stages      *StagesMeans `json:"stages,omitempty"`

	// Void says that the figures are the generator's, not the server's.
	Void       bool   `json:"void"`
	VoidReason string `json:"void_reason,omitempty"`

	HDR string `json:"hdr"` // the histogram of latencies in ns, HdrHistogram V2, compressed, base64

	// Latency has the latencies in nanoseconds: open loop from the moment on the
	// schedule, closed loop from the sending. Errors are not in it.
	Latency *hdrhistogram.Histogram `json:"-"`
}

// Percentiles of latencies in microseconds.
type Percentiles struct {
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Thread is what one of the generator's threads spent.
type Thread struct {
	CPU int `json:"cpu"` // -1: not pinned
	// Utilisation is the share of its unstolen time in which it had something to do:
	// polls that found nothing are not counted.
	Utilisation float64 `json:"utilisation"`
	CPUSeconds  float64 `json:"cpu_s"`      // as the scheduler counts, empty polls included
	NanosPerKey float64 `json:"ns_per_key"` // CPU time, empty polls left out, for each operation answered
}

// StagesMeans are a Gannet server's mean times, from its replies.
type StagesMeans struct {
	QueuedNanos float64 `json:"queued_ns"` // from arrival to being served
	ServedNanos float64 `json:"served_ns"` // from being served to being sent
}

// WriteHGRM writes the distribution of latencies, in microseconds, as HdrHistogram's
// plotters read it.
func (r *Result) WriteHGRM(w io.Writer) error { return writeHGRM(w, r.Latency) }

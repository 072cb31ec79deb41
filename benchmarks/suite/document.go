package suite

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gannet/loadgen/bench"
	"gannet/test/rows"
)

// Document is what a run found: the rows, and all that they were made of.
type Document struct {
	rows.Table
	Host     Host              `json:"host"`
	Servers  map[string]Server `json:"servers"`
	Subjects []Subject         `json:"subjects"`
	Rounds   []Round           `json:"rounds"`
	Sweeps   []Sweep           `json:"sweeps"`
	Latency  []LatencyRun      `json:"latency"`
	Started  time.Time         `json:"started"`
	Took     float64           `json:"took_seconds"`
	Config   RunConfig         `json:"config"`
}

// RunConfig is how much was measured.
type RunConfig struct {
	Rounds  int     `json:"rounds"`
	WarmUp  float64 `json:"warm_up_seconds"`
	Measure float64 `json:"measure_seconds"`
	Quick   bool    `json:"quick"`
	Full    bool    `json:"full"`
	Only    string  `json:"only,omitempty"`
}

// Host describes the machine.
type Host struct {
	Kernel      string `json:"kernel"`
	CPU         string `json:"cpu"`
	CPUs        int    `json:"cpus"`
	MemoryBytes int64  `json:"memory_bytes"`
	Go          string `json:"go"`
	Commit      string `json:"commit"`
	Virtual     bool   `json:"virtual"`
}

// Server is what a rival says of itself.
type Server struct {
	Version string `json:"version"`
	Config  string `json:"config"`
}

// Round is one subject, saturated once. Nanoseconds are the server core's, per key.
type Round struct {
	Subject string `json:"subject"`
	Round   int    `json:"round"`
	Keys    uint64 `json:"keys"`
	// Nanos is the figure: Poll (receiving, by the kernel's polling thread) + User +
	// System (the server's pinned threads). The latter two are divided by the tick.
	Nanos  float64 `json:"ns"`
	Poll   float64 `json:"poll_ns"`
	User   float64 `json:"user_ns"`
	System float64 `json:"system_ns"`
	// NotIdle is the cross-check: wall time without what was stolen or idle.
	NotIdle float64 `json:"not_idle_ns"`
	// Elsewhere is what the server's process ran on other cores. Not counted.
	Elsewhere   float64           `json:"elsewhere_ns"`
	Busy        float64           `json:"busy"`
	Steal       float64           `json:"steal"`
	KeyRate     float64           `json:"key_rate"`
	Generator   float64           `json:"generator"` // its utilisation
	LossShare   float64           `json:"loss_share"`
	LatencyUS   bench.Percentiles `json:"latency_us"`
	Void        string            `json:"void,omitempty"`
	KernelShare float64           `json:"kernel_share,omitempty"` // hot keys: answered by XDP
}

// Sweep is the search for the highest rate with a loss below 0.1 %.
type Sweep struct {
	Subject string      `json:"subject"`
	Highest float64     `json:"highest"`
	Limited bool        `json:"limited"` // by the generator
	Steps   []SweepStep `json:"steps"`
}

// SweepStep is one rate of a sweep.
type SweepStep struct {
	Offered   float64           `json:"offered"`
	Rate      float64           `json:"rate"`
	LossShare float64           `json:"loss_share"`
	LatencyUS bench.Percentiles `json:"latency_us"`
	Void      string            `json:"void,omitempty"`
}

// LatencyRun is one subject under one offered load.
type LatencyRun struct {
	Subject string `json:"subject"`
	// Load says what Share is a share of: "own" highest rate, or "equal": memcached's.
	Load      string            `json:"load"`
	Share     float64           `json:"share"`
	Offered   float64           `json:"offered"`
	Round     int               `json:"round"`
	Nanos     float64           `json:"ns"` // of the server's core, per key
	LossShare float64           `json:"loss_share"`
	Steal     float64           `json:"steal"`
	Requests  uint64            `json:"requests"`
	LatencyUS bench.Percentiles `json:"latency_us"`
	HDR       string            `json:"hdr"`
	Void      string            `json:"void,omitempty"`
}

// Write stores the document as JSON, making its folder.
func (d *Document) Write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("suite: %w", err)
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("suite: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("suite: %w", err)
	}
	return nil
}

// Read loads a document and checks its rows.
func Read(path string) (*Document, error) {
	if _, err := rows.Read(path); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("suite: %w", err)
	}
	d := &Document{}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("suite: %s: %w", path, err)
	}
	return d, nil
}

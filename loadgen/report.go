package loadgen

// Latency has quantiles of the time of a GET, in microseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// ReplayReport is the outcome of a replay. Requests are GETs: hits + misses +
// errors.
type ReplayReport struct {
	Requests  int64   `json:"requests"`
	Hits      int64   `json:"hits"`
	Misses    int64   `json:"misses"`
	Errors    int64   `json:"errors"`
	Corrupt   int64   `json:"corrupt"` // of the hits
	Evictions uint64  `json:"evictions"`
	MissRatio float64 `json:"miss_ratio"` // misses / (hits + misses)
	QPS       float64 `json:"qps"`        // requests a second
	LatencyUS Latency `json:"latency_us"`
	Policy    string  `json:"policy"`
	Datapath  string  `json:"datapath"`

	Trace       string  `json:"trace,omitempty"`
	Format      string  `json:"format,omitempty"`
	Connections int     `json:"connections,omitempty"`
	Seconds     float64 `json:"seconds"`
	Puts        int64   `json:"puts"`
	PutErrors   int64   `json:"put_errors"`
	// TooLarge counts values that the node is not configured to take: they were
	// not sent, so that their next GET misses again.
	TooLarge   int64  `json:"too_large"`
	Deletes    int64  `json:"deletes"`
	Touches    int64  `json:"touches"`
	Resent     uint64 `json:"resent"`  // datagrams sent again after a silence
	Retried    int64  `json:"retried"` // operations the node had refused for the moment
	Items      uint64 `json:"items,omitempty"`
	FirstError string `json:"first_error,omitempty"`
}

func (r *ReplayReport) finish(seconds float64) {
	r.Requests = r.Hits + r.Misses + r.Errors
	if answered := r.Hits + r.Misses; answered > 0 {
		r.MissRatio = float64(r.Misses) / float64(answered)
	}
	if r.Seconds = seconds; seconds > 0 {
		r.QPS = float64(r.Requests) / seconds
	}
}

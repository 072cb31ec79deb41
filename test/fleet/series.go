package main

import (
	"slices"

	"gannet/ring"
)

// series are what the plots show, by second.
type series struct {
	origin int64 // what counts as 0
	rows   []row
}

type row struct {
	Etcd      [operations]int
	Moved     float64
	Epoch     uint32
	Max       float64 // max/mean of the leaders' shares
	Requests  float64
	Retried   float64
	Failed    float64
	NotStored float64 // answered by a node that lacks the item
}

// at is the row of a moment. Seconds without a ring of their own have the one before.
func (s *series) at(now int64) *row {
	now -= s.origin
	for int64(len(s.rows)) <= now/second {
		var next row
		if len(s.rows) > 0 {
			last := s.rows[len(s.rows)-1]
			next.Epoch, next.Max = last.Epoch, last.Max
		}
		s.rows = append(s.rows, next)
	}
	return &s.rows[now/second]
}

func (s *series) count(now int64, op operation) { s.at(now).Etcd[op]++ }

func (s *series) moved(now int64, bytes float64) { s.at(now).Moved += bytes }

func (s *series) ring(now int64, r *ring.Ring) {
	row := s.at(now)
	row.Epoch, row.Max = r.Epoch(), r.Stats().MaxOverMean
}

// tally counts what requests met on their way.
type tally struct{ timeouts, moved float64 }

// answered takes down how a request ended: tries is 0 when its first try was
// answered, 2 when none was.
func (f *fleet) answered(weight float64, tries int, stored bool) {
	row := f.series.at(f.queue.now)
	row.Requests += weight
	switch {
	case tries == 2:
		row.Failed += weight
	case tries == 1:
		row.Retried += weight
	}
	if tries < 2 && !stored {
		row.NotStored += weight
	}
}

// figures are a scenario's results.
type figures struct {
	Name    string
	Text    string
	Seconds float64
	Settled bool

	Epochs             int
	MovedBytes         float64
	LeastBytes         float64 // what could not be avoided; 0: not stated
	MaxBefore, MaxPeak float64
	MaxAfter           float64
	RoutedNanos        int64 // from the failure to the ring without the dead
	WritesNanos        int64 // until the new leaders have waited the fence out
	Converge           [kinds][]int64
	EtcdSteady         [operations]float64 // a second
	EtcdPeak           int                 // greatest second, watch events left out
	EtcdTotal          [operations]int
	EtcdBytes          float64
	Requests           float64
	Retried, Failed    float64
	NotStored          float64
	WorstFailed        float64 // of a second's requests
	WorstNotStored     float64
	Series             series
}

func (g *figures) converged(k kind, nanos int64) { g.Converge[k] = append(g.Converge[k], nanos) }

func (g *figures) noteBalance(s ring.Stats) {
	g.MaxPeak = max(g.MaxPeak, s.MaxOverMean)
	g.MaxAfter = s.MaxOverMean
}

// begin starts a scenario's counting.
func (f *fleet) begin(name, text string) {
	before := f.etcd.record.Ring.Stats().MaxOverMean
	f.figures = figures{Name: name, Text: text, MaxBefore: before, MaxPeak: before, MaxAfter: before}
	f.series.rows, f.tally = nil, tally{}
	f.etcd.total, f.etcd.bytes = [operations]int{}, 0
	f.startNanos()
}

// end sums up.
func (f *fleet) end(steadySeconds int) figures {
	g := &f.figures
	g.Settled, g.Series = f.settled(), f.series
	g.Seconds = float64(len(f.series.rows))
	g.EtcdTotal, g.EtcdBytes = f.etcd.total, f.etcd.bytes
	for i, row := range f.series.rows {
		sum := 0
		for op, n := range row.Etcd {
			if operation(op) != opWatch {
				sum += n
			}
			if i < steadySeconds {
				g.EtcdSteady[op] += float64(n) / float64(steadySeconds)
			}
		}
		g.EtcdPeak = max(g.EtcdPeak, sum)
		g.Requests += row.Requests
		g.Retried += row.Retried
		g.Failed += row.Failed
		g.NotStored += row.NotStored
		if row.Requests > 0 {
			g.WorstFailed = max(g.WorstFailed, row.Failed/row.Requests)
			g.WorstNotStored = max(g.WorstNotStored, row.NotStored/row.Requests)
		}
	}
	return *g
}

// percentile is by nearest rank; it sorts.
func percentile(values []int64, percent int) int64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[(len(values)*percent+99)/100-1]
}

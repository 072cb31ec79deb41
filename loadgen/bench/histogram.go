package bench

import (
	"fmt"
	"io"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What a histogram of latencies can hold.
const (
	leastNanos = 1
	mostNanos  = 60_000_000_000
	digits     = 3
)

// ticksPerHalfDistance is how fine the written distribution is.
const ticksPerHalfDistance = 5

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(leastNanos, mostNanos, digits) }

// writeHGRM writes the text format of HdrHistogram's outputPercentileDistribution.
func writeHGRM(w io.Writer, h *hdrhistogram.Histogram) error {
	const microsecond = 1000.0
	_, err := fmt.Fprintf(w, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")
	for _, b := range h.CumulativeDistributionWithTicks(ticksPerHalfDistance) {
		if err != nil {
			break
		}
		q := b.Quantile / 100
		if q < 1 {
			_, err = fmt.Fprintf(w, "%12.3f %2.12f %10d %14.2f\n", float64(b.ValueAt)/microsecond, q, b.Count, 1/(1-q))
		} else {
			_, err = fmt.Fprintf(w, "%12.3f %2.12f %10d\n", float64(b.ValueAt)/microsecond, q, b.Count)
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(w, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n#[Max     = %12.3f, Total count    = %12d]\n#[Buckets = %12d, SubBuckets     = %12d]\n",
			h.Mean()/microsecond, h.StdDev()/microsecond, float64(h.Max())/microsecond, h.TotalCount(), bucketCount, subBucketCount)
	}
	if err != nil {
		return fmt.Errorf("write the histogram: %w", err)
	}
	return nil
}

// The geometry that newHistogram's arguments make, for the last line.
const (
	subBucketCount = 2048
	bucketCount    = 26
)

package trace

import (
	"os"
	"path/filepath"
	"testing"
)

// tracesDir finds the folder of real traces, or skips.
func tracesDir(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("GANNET_TRACES"), "../../../shared/traces"} {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "arc")); err == nil {
			return dir
		}
	}
	t.Skip("real traces are absent: set GANNET_TRACES to their folder")
	return ""
}

// TestCountsOfPublishedTraces holds the readers against the published numbers.
func TestCountsOfPublishedTraces(t *testing.T) {
	dir := tracesDir(t)
	cases := []struct {
		file, format string
		want         Counts
	}{
		{"arc/OLTP.lis.zst", "arc", Counts{914_145, 0, 186_880}},
		{"arc/P3.lis.zst", "arc", Counts{3_912_296, 238_578, 762_543}},
		{"scarab/scarab-recs.trace.xz", "int64", Counts{1_245_184, 1_245_184, 258_368}},
		{"cache2k/orm-busy.trace.xz", "int32", Counts{5_000_000, 5_000_000, 76_349}},
		{"cache2k/web07.trace.xz", "int32", Counts{76_118, 76_118, 20_484}},
		{"corda/trace_vaultservice.gz", "int64", Counts{135_702, 135_702, 90_468}},
		{"lirs/sprite.trace.gz", "keys", Counts{133_996, 133_996, 7_075}},
		{"adaptsize/request.trace.xz", "adaptsize", Counts{66_987, 66_987, 36_815}},
		// 99 rows; the published count is of rows, their op_count adds up to 691.
		{"meta-cachelib/kv_traces_1.csv", "", Counts{691, 99, 52}},
	}
	for _, c := range cases {
		t.Run(c.file, func(t *testing.T) {
			got, err := Count(filepath.Join(dir, c.file), c.format)
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Records == 0 {
				got.Records = 0
			}
			if got != c.want {
				t.Fatalf("counted %+v, published %+v", got, c.want)
			}
		})
	}
}

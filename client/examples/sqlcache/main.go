package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gannet/client"
)

// options are the flags.
type options struct {
	servers    string
	rows       int
	reads      int
	workers    int
	writeEvery int
	skew       float64
}

func main() {
	var o options
	flag.StringVar(&o.servers, "servers", "127.0.0.1:9800", "any nodes of the cache, separated by commas")
	flag.IntVar(&o.rows, "rows", 100_000, "articles in the database")
	flag.IntVar(&o.reads, "reads", 200_000, "articles to read")
	flag.IntVar(&o.workers, "workers", 32, "readers at once")
	flag.IntVar(&o.writeEvery, "write-every", 500, "change an article with each so many reads")
	flag.Float64Var(&o.skew, "skew", 1.1, "exponent of the popularity of articles, above 1")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sqlcache:", err)
		os.Exit(1)
	}
}

// run makes the database, reads, and reports.
func run(ctx context.Context, o *options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "sqlcache-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(out, "generating %d articles\n", o.rows)
	db, err := openStore(ctx, filepath.Join(dir, "articles.db"), o.rows)
	if err != nil {
		return err
	}
	defer db.close()
	cache, err := client.Open(strings.Split(o.servers, ","), client.WithL1(16<<20, 2*time.Second))
	if err != nil {
		return err
	}
	defer cache.Close()
	r, err := visit(ctx, o, &service{db, cache})
	if err != nil {
		return err
	}
	r.print(out, db.queries.Load(), cache.Counters())
	return nil
}

// report is what the visitors saw.
type report struct {
	reads, writes int
	took          []time.Duration // of the reads
}

// visit reads articles as visitors would.
func visit(ctx context.Context, o *options, s *service) (*report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	total := &report{}
	var wg sync.WaitGroup
	for worker := range o.workers {
		wg.Go(func() {
			mine, err := s.visitAs(ctx, o, uint64(worker))
			if err != nil {
				cancel(err)
			}
			mu.Lock()
			defer mu.Unlock()
			total.reads, total.writes, total.took = total.reads+mine.reads, total.writes+mine.writes, append(total.took, mine.took...)
		})
	}
	wg.Wait()
	return total, context.Cause(ctx)
}

// visitAs is one visitor's part.
func (s *service) visitAs(ctx context.Context, o *options, worker uint64) (r report, err error) {
	random := rand.New(rand.NewPCG(worker, 1))
	popular := rand.NewZipf(random, o.skew, 1, uint64(o.rows-1))
	for range o.reads / o.workers {
		if ctx.Err() != nil {
			return r, nil
		}
		id := int64(popular.Uint64()) + 1
		start := time.Now()
		a, err := s.article(ctx, id)
		if err != nil {
			return r, err
		}
		r.took = append(r.took, time.Since(start))
		if a.ID != id {
			return r, fmt.Errorf("asked for article %d, got %d", id, a.ID)
		}
		if r.reads++; r.reads%o.writeEvery == 0 {
			if err := s.retitle(ctx, id, fmt.Sprintf("Article %d, changed", id)); err != nil {
				return r, err
			}
			r.writes++
		}
	}
	return r, nil
}

func (r *report) print(out io.Writer, queries uint64, n client.Counters) {
	slices.Sort(r.took)
	at := func(share float64) time.Duration {
		if len(r.took) == 0 {
			return 0
		}
		return r.took[int(share*float64(len(r.took)-1))]
	}
	loads := queries - uint64(r.writes)
	fmt.Fprintf(out, "%d reads, %d writes\n", r.reads, r.writes)
	fmt.Fprintf(out, "database: %d read queries, %.1f %% of the reads saved\n", loads, 100*(1-float64(loads)/float64(max(r.reads, 1))))
	fmt.Fprintf(out, "reads: median %v, p99 %v; %d from this process's own memory\n", at(0.5), at(0.99), n.L1Hits)
}

package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gannet/client"
	"gannet/client/clienttest"
)

func TestRunSavesQueries(t *testing.T) {
	node := clienttest.New(t, clienttest.Config{})
	var out bytes.Buffer
	o := &options{servers: node.Addr(), rows: 500, reads: 2000, workers: 8, writeEvery: 100, skew: 1.1}
	if err := run(context.Background(), o, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "2000 reads, 16 writes") || !strings.Contains(out.String(), "% of the reads saved") {
		t.Errorf("%s", out.String())
	}
}

// TestOneQueryForACrowd, and one more after a change, whose title everybody sees.
func TestOneQueryForACrowd(t *testing.T) {
	ctx := context.Background()
	db, err := openStore(ctx, filepath.Join(t.TempDir(), "articles.db"), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	cache, err := client.Open([]string{clienttest.New(t, clienttest.Config{}).Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	s := &service{db, cache}
	crowd := func(title string) {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if a, err := s.article(ctx, 7); err != nil || a.Title != title {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		wg.Wait()
	}
	crowd("Article 7")
	if n := db.queries.Load(); n != 1 {
		t.Fatalf("%d queries", n)
	}
	if err := s.retitle(ctx, 7, "Changed"); err != nil {
		t.Fatal(err)
	}
	crowd("Changed")
	if n := db.queries.Load(); n != 3 {
		t.Fatalf("%d queries, want the load, the change, and another load", n)
	}
	if _, err := s.article(ctx, 11); err == nil {
		t.Fatal("an article that is not there")
	}
}

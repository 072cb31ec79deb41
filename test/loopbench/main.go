package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/pprof"

	"gannet/test/rows"
)

// bench measures one row or several of an id.
type bench struct {
	id    string
	run   func(t *rows.Table, s sizes) error
	asked bool // only when it is named
}

var benches = []bench{
	{id: "loop", run: benchLoop},
	{id: "sg", run: benchTails},
	{id: "mixed", run: benchMixed},
	{id: "cores", run: benchCores},
	{id: "put", run: benchPut, asked: true},
}

// sizes says how much is measured.
type sizes struct {
	items  int // of 100 B: with them the set is many times the last-level cache
	rounds int
}

func main() {
	out := flag.String("out", "out/loop.json", "where the rows go")
	only := flag.String("only", "", "measure this row alone")
	s := sizes{}
	flag.IntVar(&s.items, "items", 2<<20, "items of a shard")
	flag.IntVar(&s.rounds, "rounds", 15, "interleaved rounds of each row")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the run here")
	flag.Parse()
	stop, err := startProfile(*profile)
	if err == nil {
		err = run(*out, *only, s)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loopbench:", err)
		os.Exit(1)
	}
}

func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

func run(out, only string, s sizes) error {
	var table rows.Table
	found := false
	for _, b := range benches {
		if only != b.id && (only != "" || b.asked) {
			continue
		}
		found = true
		if err := b.run(&table, s); err != nil {
			table.Void(b.id, err)
		}
	}
	if !found {
		return fmt.Errorf("there is no row %q", only)
	}
	if err := table.Write(out); err != nil {
		return err
	}
	if table.AnyVoid() {
		return fmt.Errorf("some rows are void: see %s", out)
	}
	return nil
}

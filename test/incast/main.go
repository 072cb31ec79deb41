package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"

	"gannet/test/rows"
)

// group measures rows that share a set-up.
type group struct {
	ids []string
	run func(t *rows.Table, full bool) error
}

var groups = []group{
	{[]string{"incast_loss", "incast_goodput", "incast_p99", "incast_neighbour_ms", "liar_s"}, measureLab},
	{[]string{"wheel_error_us"}, measureWheel},
}

func main() {
	out := flag.String("out", "out/incast.json", "where the rows go")
	only := flag.String("only", "", "measure this row alone (and those that share its set-up)")
	plot := flag.String("plot", "", "draw the simulation there, and measure nothing")
	role := flag.String("role", "", "be a part of the lab; used by the program itself")
	flag.Parse()
	if err := run(*out, *only, *plot, *role); err != nil {
		fmt.Fprintln(os.Stderr, "incast:", err)
		os.Exit(1)
	}
}

func run(out, only, plot, role string) error {
	switch {
	case role == "serve":
		return serve(os.Stdin, os.Stdout)
	case role != "":
		j := &job{}
		if err := json.NewDecoder(bytes.NewReader([]byte(role))).Decode(j); err != nil {
			return err
		}
		return work(j, os.Stdout)
	case plot != "":
		return drawSimulation(plot, os.Stdout)
	}
	return measure(out, only)
}

var errVoid = errors.New("a row is void: see above")

func measure(out, only string) error {
	table, measured := &rows.Table{}, false
	for _, g := range groups {
		if only != "" && !slices.Contains(g.ids, only) {
			continue
		}
		measured = true
		if err := g.run(table, os.Getenv("FULL") == "1"); err != nil {
			for _, id := range g.ids {
				if only == "" || id == only {
					table.Void(id, err)
				}
			}
		}
	}
	if !measured {
		return fmt.Errorf("-only %s names no row", only)
	}
	if only != "" {
		table.Rows = slices.DeleteFunc(table.Rows, func(r rows.Row) bool { return r.ID != only })
	}
	if err := table.Write(out); err != nil {
		return err
	}
	table.Print(os.Stdout)
	if table.AnyVoid() {
		return errVoid
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gannet/test/rows"
	"gannet/test/zerocopy/report"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "zerocopy:", err)
		os.Exit(1)
	}
}

// limit is the longest that both machines may take together: CI has five minutes. On
// two idle cores they need less than half of that.
const limit = 280 * time.Second

func run() error {
	m := machine{console: io.Discard}
	var out, curve string
	var verbose bool
	flag.StringVar(&m.root, "root", "", "folder where the packages of QEMU and the kernel were unpacked")
	flag.StringVar(&m.kernel, "kernel", "", "release of the kernel in it")
	flag.StringVar(&m.binaries, "binaries", "", "folder of gannet, gannet-dataplane and guest, linked statically")
	flag.StringVar(&m.accel, "accel", "tcg,thread=multi", "QEMU's accelerators, in the order of preference")
	flag.IntVar(&m.gets, "gets", 20000, "GETs of the verified load, for each driver")
	flag.StringVar(&out, "out", "out/zerocopy.json", "where the rows go")
	flag.StringVar(&curve, "curve", "", "only measure what header room is worth, and draw it into this file (.svg)")
	flag.BoolVar(&verbose, "v", false, "show the machine's console")
	flag.Parse()
	if curve != "" {
		return errors.Join(drawCurve(curve, os.Stdout), printCost(os.Stdout))
	}
	if verbose {
		m.console = os.Stderr
	}
	scratch, err := os.MkdirTemp("", "gannet-zerocopy-")
	if err != nil {
		return fmt.Errorf("make a folder for the machine's files: %w", err)
	}
	defer os.RemoveAll(scratch)
	var table rows.Table
	var runs []report.Run
	var errs []error
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for i := range drivers {
		d := &drivers[i]
		fmt.Fprintf(os.Stderr, "zerocopy: booting a machine with two %s cards\n", d.name)
		run, err := m.boot(ctx, d, scratch)
		run.Driver = d.name
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d.name, err))
		}
		runs = append(runs, run)
		keep(filepath.Dir(out), run)
	}
	judge(&table, runs, errors.Join(errs...))
	headerRoomGain(&table)
	if err := table.Write(out); err != nil {
		return err
	}
	table.Print(os.Stdout)
	return verdict(&table, errs)
}

// verdict is an error when a goal was missed or a row shows nothing.
func verdict(table *rows.Table, errs []error) error {
	for _, r := range table.Rows {
		if r.Void || !r.Met {
			errs = append(errs, fmt.Errorf("%s: not shown", r.ID))
		}
	}
	return errors.Join(errs...)
}

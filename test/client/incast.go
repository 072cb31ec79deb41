package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"gannet/test/rows"
)

// checkIncast has the incast lab, a program of its own, measure its rows.
func checkIncast(ctx context.Context, e *env) error {
	dir, err := os.MkdirTemp("", "gannet-incast-rows-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program, out := filepath.Join(dir, "incast"), filepath.Join(dir, "rows.json")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./test/incast")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the incast lab (run this in the repository): %w: %s", err, said)
	}
	lab := exec.CommandContext(ctx, program, "-out", out)
	lab.Stderr = os.Stderr
	ended := lab.Run() // not by 0 when a row is void, which the row says
	measured, err := rows.Read(out)
	if err != nil {
		return fmt.Errorf("the incast lab ended (%v) without its rows: %w", ended, err)
	}
	e.table.Rows = slices.Concat(e.table.Rows, measured.Rows)
	return nil
}

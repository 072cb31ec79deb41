package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"gannet/test/rows"
)

// part measures some rows on its own.
type part struct {
	ids []string
	run func(ctx context.Context) error
}

// ErrNoRow says that Only names no row.
var ErrNoRow = errors.New("suite: no such row")

// all runs the parts, or the one that has the only row wanted. A part that fails
// leaves its rows void, and the others go on.
func (r *runner) all(ctx context.Context) error {
	found, failed := false, error(nil)
	parts := r.parts()
	if r.Quick && r.Only == "" {
		parts = parts[:1]
	}
	for _, p := range parts {
		if r.Only != "" && !slices.Contains(p.ids, r.Only) {
			continue
		}
		found = true
		r.logf("-- %s", strings.Join(p.ids, ", "))
		before := len(r.doc.Rows)
		err := p.run(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.logf("%v", err)
			first, _, _ := strings.Cut(err.Error(), "\n")
			r.voidMissing(p.ids, before, errors.New(first))
			failed = errors.Join(failed, err)
		}
	}
	r.crossCheckRow()
	if r.Quick { // its void rows are forgiven, what does not work is not
		return failed
	}
	if !found {
		return fmt.Errorf("%w: %s", ErrNoRow, r.Only)
	}
	return nil
}

// voidMissing adds void rows for what a failed part did not get to.
func (r *runner) voidMissing(ids []string, before int, err error) {
	have := map[string]bool{}
	for _, row := range r.doc.Rows[before:] {
		have[row.ID] = true
	}
	for _, id := range ids {
		if !have[id] && (r.Only == "" || r.Only == id) {
			r.doc.Void(id, err)
		}
	}
}

func (r *runner) parts() []part {
	var all []part
	for _, g := range groups() {
		if r.Only != "" {
			kept := g.only(r.Only)
			if kept == nil {
				continue
			}
			g = *kept
		}
		if r.Quick {
			g = *g.only(g.Ratios[0].Row)
		}
		all = append(all, part{g.rowIDs(), func(ctx context.Context) error { return r.group(ctx, &g) }})
	}
	return append(
		all,
		part{[]string{"tail"}, r.latency},
		part{[]string{"bytes"}, r.bytesAnItem},
		r.program([]string{"ONLY=overload"}, []string{"./test/checknode", "-bin", r.absolute(r.Bin)}, "overload"),
		r.program(nil, append([]string{"./test/loopbench"}, r.onlyFlag()...), "loop", "sg", "mixed", "cores"),
		r.program(nil, []string{"./test/calm", "-bin", r.absolute(r.Bin)}, "calm"),
		r.program([]string{"ONLY=" + r.Only}, []string{"./test/hotkeys"}, "hot_torn", "hot_stale", "hot_share", "hot_core"),
	)
}

func (g *Group) rowIDs() []string {
	var ids []string
	for _, ratio := range g.Ratios {
		if !slices.Contains(ids, ratio.Row) {
			ids = append(ids, ratio.Row)
		}
	}
	return ids
}

func (r *runner) onlyFlag() []string {
	if r.Only == "" {
		return nil
	}
	return []string{"-only", r.Only}
}

// absolute makes a path good for programs that run elsewhere.
func (r *runner) absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// program is a part measured by a program of the repository's own, with an
// environment and arguments, whose rows are taken over as they are.
func (r *runner) program(env, args []string, ids ...string) part {
	return part{ids, func(ctx context.Context) error {
		dir, err := os.MkdirTemp("", "gannet-bench-")
		if err != nil {
			return fmt.Errorf("suite: %w", err)
		}
		defer os.RemoveAll(dir)
		out := filepath.Join(dir, "rows.json")
		cmd := exec.CommandContext(ctx, "go", append(append([]string{"run"}, args...), "-out", out)...)
		cmd.Dir, cmd.Env = r.Root, append(os.Environ(), env...)
		cmd.Stdout, cmd.Stderr = r.Log, r.Log
		// It fails when a row is void, and has written it all the same.
		failed := cmd.Run()
		table, err := rows.Read(out)
		if err != nil {
			return errors.Join(failed, err)
		}
		for _, row := range table.Rows {
			if slices.Contains(ids, row.ID) && (r.Only == "" || row.ID == r.Only) {
				r.doc.Rows = append(r.doc.Rows, row)
			}
		}
		return nil
	}}
}

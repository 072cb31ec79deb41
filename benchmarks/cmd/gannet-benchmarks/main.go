// Command gannet-benchmarks measures Gannet beside its rivals.
//
//	gannet-benchmarks run [flags]           measure; out/bench.json and out/bench.html
//	gannet-benchmarks table FILE            the rows as Markdown
//	gannet-benchmarks report FILE HTML      the HTML report once more
//	gannet-benchmarks plot FILE SVG         its first plot alone
//	gannet-benchmarks check FILE…           are the rows of these files whole?
//
// scripts/bench.sh builds what is needed and calls it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"gannet/benchmarks/ballast"
	"gannet/benchmarks/load"
	"gannet/benchmarks/report"
	"gannet/benchmarks/rival"
	"gannet/benchmarks/suite"
	"gannet/test/rows"
)

const usage = `usage:
  gannet-benchmarks run [flags]        measure; out/bench.json and out/bench.html
  gannet-benchmarks table FILE         the rows as Markdown
  gannet-benchmarks report FILE HTML   the HTML report once more
  gannet-benchmarks plot FILE SVG      its first plot alone
  gannet-benchmarks check FILE...      are the rows of these files whole?
`

// errUsage is told by the usage text.
var errUsage = errors.New("wrong arguments")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := do(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "gannet-benchmarks:", err)
		os.Exit(1)
	}
}

func do(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	verb, args := args[0], args[1:]
	switch {
	case verb == "run":
		return run(ctx, args, out)
	case verb == "table" && len(args) == 1:
		return table(out, args[0])
	case verb == "report" && len(args) == 2:
		return again(args[0], args[1])
	case verb == "plot" && len(args) == 2:
		return plot(args[0], args[1])
	case verb == "check" && len(args) > 0:
		return check(out, args)
	case verb == suite.VerbInside && len(args) == 1:
		return inside(ctx, out, args[0])
	case verb == ballast.Verb && len(args) == 2:
		return ballast.Run(ctx, out, args[0], args[1])
	case verb == rival.VerbGoMsg && len(args) == 1:
		return rival.ServeGoMsg(ctx, out, args[0])
	case verb == rival.VerbReflect && len(args) == 2:
		return rival.ServeReflector(ctx, out, args[0], args[1])
	}
	return errUsage
}

func inside(ctx context.Context, out io.Writer, spec string) error {
	var job load.Job
	if err := json.Unmarshal([]byte(spec), &job); err != nil {
		return fmt.Errorf("job: %w", err)
	}
	found, err := job.Run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(found)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	c := suite.Config{Log: os.Stderr, Full: os.Getenv("FULL") == "1"}
	flags.StringVar(&c.Only, "only", os.Getenv("ONLY"), "the one row to measure (ONLY)")
	flags.BoolVar(&c.Quick, "quick", false, "one row in short rounds: shows that the suite works")
	flags.IntVar(&c.Rounds, "rounds", 0, "rounds of each row; 0 = 5, with FULL=1 15")
	flags.StringVar(&c.Bin, "bin", "bin", "folder with gannet and gannet-dataplane")
	flags.StringVar(&c.Native, "native", "out/rivals", "folder with what scripts/rivals.sh compiled")
	flags.StringVar(&c.Root, "root", ".", "the repository")
	path := flags.String("out", "out/bench.json", "where the rows go")
	html := flags.String("html", "out/bench.html", "where the report goes")
	if err := flags.Parse(args); err != nil {
		return errUsage
	}
	var err error
	if c.Self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	doc, failed := suite.Run(ctx, c)
	if len(doc.Rows) == 0 && failed != nil {
		return failed
	}
	if err := errors.Join(failed, doc.Write(*path)); err != nil {
		return err
	}
	if err := write(doc, *html); err != nil {
		return err
	}
	doc.Print(out)
	return verdict(doc, c.Quick)
}

// verdict is an error when a row is void: nothing was shown then. A missed goal is a
// result. A quick run's rounds are too short to be good on a busy machine; it fails
// when something did not work, which suite.Run has told.
func verdict(doc *suite.Document, quick bool) error {
	if doc.AnyVoid() && !quick {
		return errors.New("rows are void: this machine was too busy, or something did not work; see above")
	}
	return nil
}

func write(doc *suite.Document, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return errors.Join(report.HTML(f, doc), f.Close())
}

func table(out io.Writer, path string) error {
	doc, err := suite.Read(path)
	if err != nil {
		return err
	}
	return report.Markdown(out, doc)
}

func again(from, to string) error {
	doc, err := suite.Read(from)
	if err != nil {
		return err
	}
	return write(doc, to)
}

func plot(from, to string) error {
	doc, err := suite.Read(from)
	if err != nil {
		return err
	}
	svg, err := report.Throughput(doc)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, []byte(svg), 0o644); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	return nil
}

func check(out io.Writer, paths []string) error {
	for _, path := range paths {
		t, err := rows.Read(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %d rows\n", path, len(t.Rows))
	}
	return nil
}

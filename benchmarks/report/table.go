package report

import (
	"fmt"
	"io"
	"strings"

	"gannet/benchmarks/suite"
	"gannet/test/rows"
)

// Markdown writes the rows that have a goal as a table, then what each server spent.
func Markdown(w io.Writer, d *suite.Document) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s on %d × %s, Linux %s, commit %s%s; %d rounds of %.3g s.\n\n",
		d.Started.Format("2006-01-02"), d.Host.CPUs, d.Host.CPU, d.Host.Kernel, d.Host.Commit, virtual(d), d.Config.Rounds, d.Config.Measure)
	b.WriteString("| id | what | figure | spread | goal | met |\n|---|---|---|---|---|---|\n")
	for _, r := range d.Rows {
		if r.Goal == nil && !r.Void {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.ID, cell(r.Note), figure(r), spread(r), goal(r), verdict(r))
	}
	b.WriteString("\n| server, saturated | keys a request | µs of its core a key | of which receiving in the kernel | keys/s of one core |\n|---|---|---|---|---|\n")
	for _, s := range summaries(d) {
		fmt.Fprintf(&b, "| %s, %s | %d | %.2f | %.2f | %s |\n",
			s.subject.Title, load(s.subject), s.subject.KeysPerRequest, s.nanos/1000, s.poll/1000, thousands(1e9/s.nanos))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func virtual(d *suite.Document) string {
	if d.Host.Virtual {
		return " (a virtual machine)"
	}
	return ""
}

func cell(s string) string { return strings.NewReplacer("|", "\\|", "\n", " ").Replace(s) }

func figure(r rows.Row) string {
	if r.Void {
		return "void"
	}
	return fmt.Sprintf("%.3g %s", r.Value, unit(r))
}

func unit(r rows.Row) string {
	if r.Unit == "ratio" {
		return ""
	}
	return r.Unit
}

func spread(r rows.Row) string {
	if r.Rounds < 2 || r.Void {
		return ""
	}
	return fmt.Sprintf("± %.1f %%, %d rounds", 100*r.Spread, r.Rounds)
}

// goal tells "at least" from "at most" by on which side of the goal a figure that met
// it lies.
func goal(r rows.Row) string {
	if r.Goal == nil {
		return ""
	}
	sign := "≤"
	if (r.Value > *r.Goal) == r.Met && r.Value != *r.Goal {
		sign = "≥"
	}
	return fmt.Sprintf("%s %.3g", sign, *r.Goal)
}

func verdict(r rows.Row) string {
	switch {
	case r.Void:
		return "void"
	case r.Goal == nil:
		return ""
	case r.Met:
		return "yes"
	}
	return "**no**"
}

// load says what a subject was asked for.
func load(s suite.Subject) string {
	switch {
	case s.Protocol == "echo":
		return fmt.Sprintf("frames of %d B payload", s.ValueBytes)
	case s.WriteRatio > 0:
		return fmt.Sprintf("PUT of %d B", s.ValueBytes)
	}
	return fmt.Sprintf("GET of %d B", s.ValueBytes)
}

func thousands(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Package rows writes measured figures beside their goals, in the one form that
// every check of the project shares: {id, value, goal, met, void, n}.
package rows

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
)

// Row is one figure. Goal is nil for a figure that is only reported; its Met is
// then true. Void says that the measurement itself failed and shows nothing.
type Row struct {
	ID    string   `json:"id"`
	Value float64  `json:"value"`
	Goal  *float64 `json:"goal"`
	Met   bool     `json:"met"`
	Void  bool     `json:"void"`
	N     int64    `json:"n"`
	Unit  string   `json:"unit,omitempty"`
	Note  string   `json:"note,omitempty"`
}

// Table collects rows in the order in which they were measured.
type Table struct {
	Rows []Row `json:"rows"`
}

// AtLeast records a figure that should reach goal.
func (t *Table) AtLeast(id string, value, goal float64, n int64, unit, note string) {
	t.add(Row{ID: id, Value: value, Goal: &goal, Met: value >= goal, N: n, Unit: unit, Note: note})
}

// AtMost records a figure that should stay at or below goal.
func (t *Table) AtMost(id string, value, goal float64, n int64, unit, note string) {
	t.add(Row{ID: id, Value: value, Goal: &goal, Met: value <= goal, N: n, Unit: unit, Note: note})
}

// Report records a figure without a goal.
func (t *Table) Report(id string, value float64, n int64, unit, note string) {
	t.add(Row{ID: id, Value: value, Met: true, N: n, Unit: unit, Note: note})
}

// Void records that id could not be measured, and why.
func (t *Table) Void(id string, why error) {
	t.add(Row{ID: id, Void: true, Note: why.Error()})
}

func (t *Table) add(r Row) {
	t.Rows = append(t.Rows, r)
	fmt.Fprintf(os.Stderr, "%-20s %s\n", r.ID, r.summary())
}

func (r Row) summary() string {
	switch {
	case r.Void:
		return "VOID: " + r.Note
	case r.Goal == nil:
		return fmt.Sprintf("%.4g %s (n=%d)", r.Value, r.Unit, r.N)
	case r.Met:
		return fmt.Sprintf("%.4g %s, goal %.4g met (n=%d)", r.Value, r.Unit, *r.Goal, r.N)
	}
	return fmt.Sprintf("%.4g %s, goal %.4g MISSED (n=%d)", r.Value, r.Unit, *r.Goal, r.N)
}

// AnyVoid says whether some row shows nothing.
func (t *Table) AnyVoid() bool {
	for _, r := range t.Rows {
		if r.Void {
			return true
		}
	}
	return false
}

// Write stores the table as JSON at path, making its folder.
func (t *Table) Write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("rows: %w", err)
	}
	data, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("rows: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("rows: %w", err)
	}
	return nil
}

// Print writes the table for people.
func (t *Table) Print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "id\tfigure\tnote")
	for _, r := range t.Rows {
		note := r.Note
		if r.Void {
			note = ""
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", r.ID, r.summary(), note)
	}
	_ = tw.Flush()
}

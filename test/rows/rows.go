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
	// Rounds is how many rounds Value is the median of, Spread their median
	// absolute deviation from it, as a share of it.
	Rounds int     `json:"rounds,omitempty"`
	Spread float64 `json:"spread,omitempty"`
}

// AtLeast judges the row: its figure should reach goal.
func (r Row) AtLeast(goal float64) Row {
	r.Goal, r.Met = &goal, r.Value >= goal
	return r
}

// AtMost judges the row: its figure should stay at or below goal.
func (r Row) AtMost(goal float64) Row {
	r.Goal, r.Met = &goal, r.Value <= goal
	return r
}

// Reported marks the row as one without a goal.
func (r Row) Reported() Row {
	r.Goal, r.Met = nil, true
	return r
}

// Table collects rows in the order in which they were measured.
type Table struct {
	Rows []Row `json:"rows"`
}

// AtLeast records a figure that should reach goal.
func (t *Table) AtLeast(id string, value, goal float64, n int64, unit, note string) {
	t.Add(Row{ID: id, Value: value, N: n, Unit: unit, Note: note}.AtLeast(goal))
}

// AtMost records a figure that should stay at or below goal.
func (t *Table) AtMost(id string, value, goal float64, n int64, unit, note string) {
	t.Add(Row{ID: id, Value: value, N: n, Unit: unit, Note: note}.AtMost(goal))
}

// Report records a figure without a goal.
func (t *Table) Report(id string, value float64, n int64, unit, note string) {
	t.Add(Row{ID: id, Value: value, N: n, Unit: unit, Note: note}.Reported())
}

// Void records that id could not be measured, and why.
func (t *Table) Void(id string, why error) {
	t.Add(Row{ID: id, Void: true, Note: why.Error()})
}

// Add records a row that was judged already, and says it on stderr.
func (t *Table) Add(r Row) {
	t.Rows = append(t.Rows, r)
	fmt.Fprintf(os.Stderr, "%-20s %s\n", r.ID, r.summary())
}

func (r Row) summary() string {
	count := fmt.Sprintf("(n=%d)", r.N)
	if r.Rounds > 0 {
		count = fmt.Sprintf("(n=%d, %d rounds, ±%.1f %%)", r.N, r.Rounds, 100*r.Spread)
	}
	switch {
	case r.Void:
		return "VOID: " + r.Note
	case r.Goal == nil:
		return fmt.Sprintf("%.4g %s %s", r.Value, r.Unit, count)
	case r.Met:
		return fmt.Sprintf("%.4g %s, goal %.4g met %s", r.Value, r.Unit, *r.Goal, count)
	}
	return fmt.Sprintf("%.4g %s, goal %.4g MISSED %s", r.Value, r.Unit, *r.Goal, count)
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

// Read loads a table that Write stored, and checks that its rows are whole.
func Read(path string) (*Table, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	t := &Table{}
	if err := json.Unmarshal(data, t); err != nil {
		return nil, fmt.Errorf("rows: %s: %w", path, err)
	}
	return t, t.check(data)
}

// check finds fault with rows that lack a field or contradict themselves.
func (t *Table) check(data []byte) error {
	var raw struct{ Rows []map[string]json.RawMessage }
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("rows: %w", err)
	}
	for i, r := range t.Rows {
		for _, field := range []string{"id", "value", "goal", "met", "void", "n"} {
			if _, ok := raw.Rows[i][field]; !ok {
				return fmt.Errorf("rows: row %d (%s) has no field %q", i, r.ID, field)
			}
		}
		switch {
		case r.ID == "":
			return fmt.Errorf("rows: row %d has no id", i)
		case r.Goal == nil && !r.Met && !r.Void:
			return fmt.Errorf("rows: %s is only reported, yet not met", r.ID)
		case r.Void && r.Met:
			return fmt.Errorf("rows: %s is void, yet met", r.ID)
		}
	}
	return nil
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

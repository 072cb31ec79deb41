package tuning

import (
	"fmt"
	"path"
	"strings"
)

// row is a line of the table: settings of one knob that are in the same state.
type row struct {
	Change
	count int
	mixed bool // the values are those of the first
}

// Table prints the plan for people: a line for each knob (settings that are alike share one), and below it why, and who
// says so.
func (p *Plan) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Role %s on Linux %s, %s\n\n", p.Options.Role, p.Facts.Kernel, p.subject())
	fmt.Fprintf(&b, "%-30s %-30s %-30s %s\n", "KNOB", "NOW", "WANTED", "VERDICT")
	last := ""
	for _, r := range p.rows() {
		name := r.Knob.Name
		if r.count > 1 {
			name += fmt.Sprintf(" (%d)", r.count)
		}
		now, wanted := columns(r.Change)
		if r.mixed {
			wanted = clip(wanted, 26) + " …"
		}
		fmt.Fprintf(&b, "%-30s %-30s %-30s %s\n", name, now, wanted, verdict(r.Change))
		if r.Knob.Name != last {
			fmt.Fprintf(&b, "    %s. Source: %s.\n", r.Knob.Why, r.Knob.Source)
		}
		last = r.Knob.Name
	}
	b.WriteString(p.summary())
	return b.String()
}

func (p *Plan) subject() string {
	n := p.Facts.NIC
	where := "bare metal"
	if p.Facts.Virtual != "" {
		where = "a virtual machine (" + p.Facts.Virtual + ")"
	}
	if n == nil {
		return fmt.Sprintf("%s. No interface chosen: say --nic, one of %s", where, strings.Join(p.Facts.Others, ", "))
	}
	node := ""
	if n.Node >= 0 {
		node = fmt.Sprintf(", memory node %d", n.Node)
	}
	return fmt.Sprintf("%s, %s (driver %s%s)", where, n.Name, driverName(n), node)
}

// rowsLeast is how many rows a knob may have in one state before they are drawn together.
const rowsLeast = 4

// rows draws settings together that are alike, and where a knob has many that differ only in their values, these too.
func (p *Plan) rows() []row {
	alike := func(a, b *Change) bool { return a.Now == b.Now && a.Wanted == b.Wanted }
	rows := p.group(alike)
	perState := map[[3]string]int{}
	for _, r := range rows {
		perState[r.key()]++
	}
	return p.group(func(a, b *Change) bool { return alike(a, b) || perState[(&row{Change: *a}).key()] > rowsLeast })
}

func (r *row) key() [3]string { return [3]string{r.Knob.Name, string(r.State), r.Reason} }

// group draws changes of one knob and state together, if the values may be.
func (p *Plan) group(together func(a, b *Change) bool) []row {
	var rows []row
next:
	for _, c := range p.Changes {
		for i := range rows {
			r := &rows[i]
			if r.key() == (&row{Change: c}).key() && together(&r.Change, &c) {
				r.count++
				r.mixed = r.mixed || r.Now != c.Now || r.Wanted != c.Wanted
				continue next
			}
		}
		rows = append(rows, row{Change: c, count: 1})
	}
	return rows
}

// columns shortens values for the table: whole files to how they differ, coalescing to what changes.
func columns(c Change) (now, wanted string) {
	now, wanted = c.Now, c.Wanted
	if c.Setting.Kind == KindConfig || c.Setting.Kind == KindBalancer {
		for _, v := range []*string{&now, &wanted} {
			if strings.HasPrefix(*v, "=") {
				*v = fmt.Sprintf("%s, %d lines", path.Base(c.Setting.Target), strings.Count(*v, "\n"))
			}
		}
		return orDash(now), orDash(wanted)
	}
	if c.Setting.Kind == KindCoalesce && c.State == StateChange {
		now, wanted = differing(now, wanted)
	}
	return orDash(clip(now, 30)), orDash(clip(wanted, 30))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func clip(s string, width int) string {
	if len(s) > width {
		return s[:width-2] + ".."
	}
	return s
}

// differing leaves the pairs of two values that are not the same in both.
func differing(a, b string) (onlyA, onlyB string) {
	x, y := strings.Fields(a), strings.Fields(b)
	var left, right []string
	for i := 0; i+1 < len(x) && i+1 < len(y); i += 2 {
		if x[i+1] != y[i+1] {
			left, right = append(left, x[i], x[i+1]), append(right, y[i], y[i+1])
		}
	}
	return strings.Join(left, " "), strings.Join(right, " ")
}

func verdict(c Change) string {
	switch c.State {
	case StateGood:
		return "good"
	case StateChange:
		return "to be set"
	case StateAdvice:
		return "advice: set it yourself"
	}
	return fmt.Sprintf("%s: %s", c.State, c.Reason)
}

func (p *Plan) summary() string {
	counts := map[State]int{}
	for _, c := range p.Changes {
		counts[c.State]++
	}
	return fmt.Sprintf("\n%d settings: %d to be set, %d good, %d left as they are, %d unsupported, %d for you to decide.\n",
		len(p.Changes), counts[StateChange], counts[StateGood], counts[StateLeft], counts[StateUnsupported], counts[StateAdvice])
}

package tuning_test

import (
	"os"
	"strings"
	"testing"

	"gannet/tuning"
)

const guide, markBegin, markEnd = "../docs/tuning.md", "<!-- knobs: made by go test ./tuning -update -->\n", "<!-- end of knobs -->\n"

func TestReferenceIsCurrent(t *testing.T) {
	data, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(data), markBegin)
	_, tail, ok2 := strings.Cut(rest, markEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has lost its marks", guide)
	}
	golden(t, guide, head+markBegin+"\n"+tuning.Reference()+"\n"+markEnd+tail)
}

// Every knob says everything about itself.
func TestKnobsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range tuning.Knobs() {
		if seen[k.Name] || !strings.HasPrefix(k.Name, k.Group+".") {
			t.Errorf("%s: name taken, or not of group %s", k.Name, k.Group)
		}
		seen[k.Name] = true
		for what, text := range map[string]string{"What": k.What, "Why": k.Why, "Source": k.Source, "Tradeoff": k.Tradeoff, "Measure": k.Measure} {
			if text == "" {
				t.Errorf("%s has no %s", k.Name, what)
			}
		}
		if strings.HasSuffix(k.Why, ".") || strings.HasSuffix(k.Source, ".") {
			t.Errorf("%s: Why and Source are put into sentences, without a full stop", k.Name)
		}
		if len(k.Roles) == 0 || k.Scan == nil || k.Want == nil {
			t.Errorf("%s has no roles, Scan or Want", k.Name)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]tuning.Options{
		"role":         {Role: "server"},
		"no knob":      {Role: tuning.RoleClient, Only: []string{"nic.mut"}},
		"2MiB or 1GiB": {Role: tuning.RoleClient, HugePageBytes: 4096},
		"MTU":          {Role: tuning.RoleClient, MTU: 100},
		"data port":    {Role: tuning.RoleClient, DataPort: 70000},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

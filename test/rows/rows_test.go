package rows

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestRowsSayWhetherTheGoalIsMet(t *testing.T) {
	var table Table
	table.AtLeast("high", 8, 8, 3, "", "")
	table.AtLeast("low", 7.9, 8, 3, "", "")
	table.AtMost("under", 300, 300, 1, "ms", "")
	table.AtMost("over", 301, 300, 1, "ms", "")
	table.Report("seen", 5, 1, "", "")
	for i, met := range []bool{true, false, true, false, true} {
		if table.Rows[i].Met != met {
			t.Errorf("%s: met = %v", table.Rows[i].ID, table.Rows[i].Met)
		}
	}
	if table.AnyVoid() {
		t.Error("void without a void row")
	}
	table.Void("lost", errors.New("nothing came back"))
	if !table.AnyVoid() {
		t.Error("a void row went unnoticed")
	}
}

func TestWrittenFormHasEveryField(t *testing.T) {
	var table Table
	table.Report("seen", 5, 1, "", "")
	path := filepath.Join(t.TempDir(), "out", "x.json")
	if err := table.Write(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Rows []map[string]any }
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"id", "value", "goal", "met", "void", "n"} {
		if _, ok := back.Rows[0][field]; !ok {
			t.Errorf("field %s is missing in %s", field, data)
		}
	}
	if back.Rows[0]["goal"] != nil {
		t.Errorf("a reported figure has goal %v", back.Rows[0]["goal"])
	}
}

func TestReadTakesBackWhatWasWritten(t *testing.T) {
	var table Table
	table.Add(Row{ID: "ratio", Value: 0.2, N: 10, Rounds: 5, Spread: 0.03}.AtMost(0.25))
	table.Void("lost", errors.New("nothing came back"))
	path := filepath.Join(t.TempDir(), "x.json")
	if err := table.Write(path); err != nil {
		t.Fatal(err)
	}
	back, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if r := back.Rows[0]; len(back.Rows) != 2 || r.Rounds != 5 || r.Spread != 0.03 || *r.Goal != 0.25 || !r.Met {
		t.Errorf("read back %+v", back.Rows)
	}
}

func TestReadRefusesBrokenRows(t *testing.T) {
	for name, text := range map[string]string{
		"no field void":    `{"rows":[{"id":"a","value":1,"goal":null,"met":true,"n":1}]}`,
		"no id":            `{"rows":[{"id":"","value":1,"goal":null,"met":true,"void":false,"n":1}]}`,
		"void and met":     `{"rows":[{"id":"a","value":1,"goal":2,"met":true,"void":true,"n":1}]}`,
		"reported, unmet":  `{"rows":[{"id":"a","value":1,"goal":null,"met":false,"void":false,"n":1}]}`,
		"met is no bool":   `{"rows":[{"id":"a","value":1,"goal":null,"met":"yes","void":false,"n":1}]}`,
		"not JSON at all":  `rows`,
		"value is missing": `{"rows":[{"id":"a","goal":null,"met":true,"void":false,"n":1}]}`,
	} {
		path := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil {
			t.Errorf("%s: taken for good", name)
		}
	}
}

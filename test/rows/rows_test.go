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

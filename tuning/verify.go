package tuning

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Verify makes the plan again, without what drivers refused when it was applied: what is then still to be set has
// drifted.
func Verify(h *Host, dir string, o *Options) (*Plan, error) {
	plan, err := MakePlan(h, o)
	if err != nil {
		return nil, err
	}
	plan.without(readRefused(dir, plan.Facts.BootID))
	return plan, nil
}

// Journaled lists what Revert would put back, last first, without touching anything.
func Journaled(dir string) ([]Write, error) {
	data, err := os.ReadFile(filepath.Join(dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	var list []Write
	for line := range bytes.Lines(data) {
		var e entry
		if json.Unmarshal(line, &e) == nil && e.Refused == "" {
			list = append(list, Write{Knob: e.Knob, Setting: e.Setting, Old: e.New, New: e.Old})
		}
	}
	slices.Reverse(list)
	return list, nil
}

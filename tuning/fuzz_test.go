package tuning_test

import (
	"os"
	"path/filepath"
	"testing"

	"gannet/tuning"
	"gannet/tuning/tuningtest"
)

// Whatever stands in a journal: revert ends with a word, not with a panic.
func FuzzJournal(f *testing.F) {
	m, dir := tuningtest.New(tiny()), f.TempDir()
	if _, err := tuning.Apply(m.Host(), dir, small(m)); err != nil {
		f.Fatal(err)
	}
	journal, err := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(journal)
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "journal.jsonl"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = tuning.Revert(tuningtest.New(tiny()).Host(), dir)
		_, _ = tuning.Journaled(dir)
	})
}

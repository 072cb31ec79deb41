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

	"golang.org/x/sys/unix"
)

// entry is a line of the journal. It is on disk before its setting is written.
type entry struct {
	BootID  string  `json:"boot_id"`
	NetNS   string  `json:"netns,omitempty"`
	Knob    string  `json:"knob"`
	Setting Setting `json:"setting"`
	Old     string  `json:"old"`
	New     string  `json:"new,omitempty"`
	// Capture: not written by us, but it may change by itself when the driver starts its queues anew.
	Capture bool `json:"capture,omitempty"`
	// Refused is why the driver did not take New; nothing was changed then.
	Refused string `json:"refused,omitempty"`
}

const journalName, lockName = "journal.jsonl", "lock"

// journal is the file of old values in the state folder, open and locked.
type journal struct {
	dir     string
	lock    *os.File
	file    *os.File
	entries []entry
	bytes   int64 // length of what is whole
}

// openJournal locks the state folder and reads what is there. A last line that is not whole was never acted on.
func openJournal(dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder (choose another with --state-dir): %w", err)
	}
	j := &journal{dir: dir}
	var err error
	if j.lock, err = os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, fmt.Errorf("lock the state folder: %w", err)
	}
	if err := unix.Flock(int(j.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another gannet tune works with %s: wait for it: %w", dir, err), j.lock.Close())
	}
	if j.file, err = os.OpenFile(j.path(), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("open the journal: %w", err), j.lock.Close())
	}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, syncDir(dir)
}

func (j *journal) path() string { return filepath.Join(j.dir, journalName) }

func (j *journal) load() error {
	data, err := os.ReadFile(j.path())
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	for n := 1; ; n++ {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			return j.cut(j.bytes)
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("line %d of %s is damaged (put the values before it back by hand, then remove the file): %w", n, j.path(), err)
		}
		j.entries = append(j.entries, e)
		j.bytes += int64(len(line)) + 1
		data = rest
	}
}

// append puts an entry on disk.
func (j *journal) append(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if _, err := j.file.WriteAt(line, j.bytes); err != nil {
		return fmt.Errorf("write the journal; nothing more was changed: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync the journal; nothing more was changed: %w", err)
	}
	j.bytes += int64(len(line))
	j.entries = append(j.entries, e)
	return nil
}

// cut drops what stands behind a length.
func (j *journal) cut(length int64) error {
	if err := j.file.Truncate(length); err != nil {
		return fmt.Errorf("shorten the journal: %w", err)
	}
	j.bytes = length
	return j.file.Sync()
}

// replace writes the journal anew, all at once.
func (j *journal) replace(entries []entry) error {
	var data []byte
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		data = append(append(data, line...), '\n')
	}
	aside := j.path() + ".new"
	if err := writeSynced(aside, data); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := os.Rename(aside, j.path()); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	f, err := os.OpenFile(j.path(), os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	_ = j.file.Close()
	j.file, j.entries, j.bytes = f, entries, int64(len(data))
	return syncDir(j.dir)
}

// forgetOldBoots drops what a reboot has put back by itself: everything but files on disk.
func (j *journal) forgetOldBoots(bootID string) error {
	kept := slices.DeleteFunc(slices.Clone(j.entries), func(e entry) bool {
		return e.BootID != bootID && !e.Setting.survivesBoot()
	})
	if len(kept) == len(j.entries) {
		return nil
	}
	return j.replace(kept)
}

// refused lists what drivers did not take.
func (j *journal) refused() map[Setting]string {
	list := map[Setting]string{}
	for _, e := range j.entries {
		if e.Refused != "" {
			list[e.Setting] = e.Refused
		}
	}
	return list
}

// remove ends the journal: all is as it was.
func (j *journal) remove() error {
	if err := os.Remove(j.path()); err != nil {
		return fmt.Errorf("remove the journal: %w", err)
	}
	return syncDir(j.dir)
}

func (j *journal) close() error { return errors.Join(j.file.Close(), j.lock.Close()) }

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// readRefused reads the journal without lock or trace, for plan and verify.
func readRefused(dir, bootID string) map[Setting]string {
	list := map[Setting]string{}
	data, err := os.ReadFile(filepath.Join(dir, journalName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return list // who may not read it sees what is to be tried
	}
	for line := range bytes.Lines(data) {
		var e entry
		if json.Unmarshal(line, &e) == nil && e.Refused != "" && e.BootID == bootID {
			list[e.Setting] = e.Refused
		}
	}
	return list
}

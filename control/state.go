package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gannet/replication"
)

// stateFiles keep in the data directory what must survive this process: they live as
// long as the items do, on the same file system.
type stateFiles struct{ dir string }

const (
	stateFile  = "replication.state" // memory id, 8 bytes; then what the Node remembers
	recordFile = "ring.record"       // the ring that was put up last, with its past
)

// remember replaces the state: a reader meets the old one or the new one.
func (f stateFiles) remember(state []byte, memoryID uint64) error {
	return f.replace(stateFile, append(binary.LittleEndian.AppendUint64(nil, memoryID), state...))
}

// recall reads it; nil without an error: there is none.
func (f stateFiles) recall() (state []byte, memoryID uint64, err error) {
	raw, err := f.read(stateFile)
	if err != nil || len(raw) < 8 {
		return nil, 0, err
	}
	return raw[8:], binary.LittleEndian.Uint64(raw), nil
}

func (f stateFiles) putRecord(rec *replication.Record) error {
	return f.replace(recordFile, rec.AppendEncode(nil))
}

// record reads the ring; one without a Ring: there is none.
func (f stateFiles) record() (rec replication.Record, err error) {
	raw, err := f.read(recordFile)
	if err != nil || raw == nil {
		return rec, err
	}
	rec, err = replication.DecodeRecord(raw, 0)
	if err != nil {
		return rec, fmt.Errorf("read %s: %w", filepath.Join(f.dir, recordFile), err)
	}
	return rec, nil
}

func (f stateFiles) read(name string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

func (f stateFiles) replace(name string, content []byte) error {
	path := filepath.Join(f.dir, name)
	next := path + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		return fmt.Errorf("keep what replication must remember: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("keep what replication must remember: %w", err)
	}
	return nil
}

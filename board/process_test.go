package board

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The tests of this file run this binary again as the other process.
const childVariable = "GANNET_BOARD_CHILD"

func TestMain(m *testing.M) {
	if job, path, ok := strings.Cut(os.Getenv(childVariable), " "); ok {
		if err := children[job](path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var children = map[string]func(path string) error{
	"records": writeRecords,
	"queue":   fillQueue,
	"race":    raceToCreate,
}

func child(t *testing.T, job, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childVariable+"="+job+" "+path)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

const publications = 20_000

// writeRecords publishes rings whose bytes all say the epoch.
func writeRecords(path string) error {
	b, err := Attach(path)
	if err != nil {
		return err
	}
	data := make([]byte, 4000)
	for epoch := uint32(1); epoch <= publications; epoch++ {
		for i := 0; i < len(data); i += 4 {
			binary.LittleEndian.PutUint32(data[i:], epoch)
		}
		if err := b.Ring().Publish(epoch, data[:4*(epoch%1000+1)]); err != nil {
			return err
		}
	}
	return b.Close()
}

// TestNoReaderSeesHalfARing reads while another process publishes.
func TestNoReaderSeesHalfARing(t *testing.T) {
	b := newTestBoard(t, Spec{Shards: 1})
	cmd := child(t, "records", b.Path())
	var data []byte
	last, reads := uint32(0), 0
	for last < publications {
		var epoch uint32
		var ok bool
		data, epoch, ok = b.Ring().Read(data[:0])
		if !ok {
			if cmd.ProcessState != nil {
				t.Fatal("the writer ended")
			}
			continue
		}
		reads++
		if epoch < last {
			t.Fatalf("epoch %d after %d", epoch, last)
		}
		if len(data) != int(4*(epoch%1000+1)) {
			t.Fatalf("ring of epoch %d has %d bytes", epoch, len(data))
		}
		for i := 0; i < len(data); i += 4 {
			if got := binary.LittleEndian.Uint32(data[i:]); got != epoch {
				t.Fatalf("ring of epoch %d says %d at byte %d", epoch, got, i)
			}
		}
		last = epoch
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d reads of %d publications", reads, publications)
}

const queueRecords = 200_000

// fillQueue pushes numbered records of changing length.
func fillQueue(path string) error {
	b, err := Attach(path)
	if err != nil {
		return err
	}
	q := b.Log(0)
	data := make([]byte, 600)
	for i := uint64(0); i < queueRecords; {
		binary.LittleEndian.PutUint64(data, i)
		n := 8 + int(i*7%500)
		for k := 8; k < n; k++ {
			data[k] = byte(i)
		}
		if q.Push(uint32(i%5)+1, data[:n]) {
			i++
		}
	}
	return b.Close()
}

func TestRecordsPassBetweenProcesses(t *testing.T) {
	b := newTestBoard(t, Spec{Shards: 1, LogBytes: 1 << 16})
	cmd := child(t, "queue", b.Path())
	q := b.Log(0)
	for i := uint64(0); i < queueRecords; {
		kind, data, ok, err := q.Peek()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			continue
		}
		if binary.LittleEndian.Uint64(data) != i || kind != uint32(i%5)+1 || len(data) != 8+int(i*7%500) {
			t.Fatalf("record %d: kind %d, %d bytes, says %d", i, kind, len(data), binary.LittleEndian.Uint64(data))
		}
		for _, c := range data[8:] {
			if c != byte(i) {
				t.Fatalf("record %d is torn", i)
			}
		}
		q.Pop()
		i++
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// raceToCreate opens a board that may or may not be there.
func raceToCreate(path string) error {
	b, err := Open(path, Spec{Shards: 1})
	if err != nil {
		return err
	}
	// Sessions are taken as a list of who was here: each process has its slot.
	for slot := range b.Sessions().Len() {
		var k Session
		if slot == os.Getpid()%1024 && !b.Sessions().Get(slot, &k) {
			b.Sessions().Set(slot, &Session{ID: uint64(os.Getpid())})
		}
	}
	return b.Close()
}

func TestManyOpenAtOnceAndShareOneBoard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "board")
	var cmds []*exec.Cmd
	for range 8 {
		cmds = append(cmds, child(t, "race", path))
	}
	var errs []error
	for _, cmd := range cmds {
		errs = append(errs, cmd.Wait())
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	b, err := Attach(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	here := 0
	var k Session
	for slot := range b.Sessions().Len() {
		if b.Sessions().Get(slot, &k) {
			here++
		}
	}
	if here != len(cmds) {
		t.Errorf("%d of %d processes are on the board: some wrote to another one", here, len(cmds))
	}
}

// TestADeadWriterDoesNotHangReaders stops a writer in the middle.
func TestADeadWriterDoesNotHangReaders(t *testing.T) {
	b := newTestBoard(t, Spec{Shards: 1})
	s := b.Secret()
	s.Set([16]byte{1})
	s.rec.words[0].Add(1) // a writer that died while it wrote
	if _, ok := s.Get(); ok {
		t.Error("half a record was read")
	}
	s.Set([16]byte{2}) // its successor
	if got, ok := s.Get(); !ok || got != ([16]byte{2}) {
		t.Error("the successor's record is not read")
	}
}

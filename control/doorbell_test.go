package control

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDoorbellRingsNotTooOften(t *testing.T) {
	dir := t.TempDir()
	d := NewDoorbell(dir)
	defer d.Close()
	d.Ring(3, 1e9) // nobody is there: nothing happens
	path := DoorbellPath(dir)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	now := int64(2e9)
	d.Ring(3, now)
	d.Ring(3, now+doorbellNanos-1)
	d.Ring(1, now+doorbellNanos-1)
	d.Ring(3, now+doorbellNanos)
	var got [16]byte
	n, err := reader.Read(got[:])
	if err != nil || n != 3 || [3]byte(got[:3]) != [3]byte{3, 1, 3} {
		t.Fatalf("rang %v, %v; %s", got[:n], err, filepath.Base(path))
	}
}

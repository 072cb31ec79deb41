package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gannet/config"
)

// onTmpfs returns a directory to mount in, on a tmpfs.
func onTmpfs(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir, err := os.MkdirTemp("/dev/shm", "gannet-datadir-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(filepath.Join(dir, "data"), unix.MNT_DETACH)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "data")
}

func mountLine(t *testing.T, dir string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " "+dir+" ") {
			return line
		}
	}
	return ""
}

func TestMountHuge(t *testing.T) {
	dir := onTmpfs(t)
	cfg := &config.Config{DataDir: dir, Memory: 64 << 20, Hugepages: config.HugepagesAuto}
	undo, err := mountHuge(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if line := mountLine(t, dir); !strings.Contains(line, "huge=always") {
		t.Fatalf("mounted: %q", line)
	}
	if err := os.WriteFile(filepath.Join(dir, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := mountHuge(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "kept")); err != nil {
		t.Fatalf("the second start covered the data of the first: %v", err)
	}
	cfg.Memory = 4 << 30
	if _, err := mountHuge(cfg); err != nil {
		t.Fatal(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || int64(fs.Blocks)*fs.Bsize < 4<<30 {
		t.Fatalf("a start with more memory found %d bytes of room (%v)", int64(fs.Blocks)*fs.Bsize, err)
	}
	if line := mountLine(t, dir); !strings.Contains(line, "huge=always") || !strings.Contains(line, "noexec") {
		t.Fatalf("grown: %q", line)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Fatalf("undo left %s: %v", dir, err)
	}
}

func TestMountHugeLeavesAlone(t *testing.T) {
	dir := onTmpfs(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	never := &config.Config{DataDir: dir, Memory: 64 << 20, Hugepages: config.HugepagesNever}
	full := &config.Config{DataDir: filepath.Dir(dir), Memory: 64 << 20, Hugepages: config.HugepagesAuto}
	for name, cfg := range map[string]*config.Config{"never": never, "not empty": full} {
		undo, err := mountHuge(cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if line := mountLine(t, cfg.DataDir); line != "" {
			t.Errorf("%s: mounted %q", name, line)
		}
		if err := undo(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(cfg.DataDir); err != nil {
			t.Errorf("%s: undo removed what was there before: %v", name, err)
		}
	}
}

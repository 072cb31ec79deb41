package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"gannet/config"
)

// etcdRoomBytes is what an embedded etcd and small files may take in the data
// directory; a limit, not a reservation.
const etcdRoomBytes = 1 << 30

// mountSource is the name by which a mount of ours is known again.
const (
	mountSource = "gannet"
	mountFlags  = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
)

func mountBytes(cfg *config.Config) int64 { return int64(cfg.Memory) + boardRoomBytes + etcdRoomBytes }

// mountHuge puts a tmpfs of huge pages on an empty data directory that lies on an
// ordinary tmpfs. Pages of 2 MiB spare the shards most of their TLB misses, and let
// a killed data plane give up its memory, and with it its sockets, in milliseconds
// instead of seconds: that is most of a warm restart. The mount stays for the next
// start; undo takes it away again if nothing came of this one. Without root, or where
// the kernel refuses, ordinary pages do, and the shards say so.
func mountHuge(cfg *config.Config) (undo func() error, err error) {
	dir := cfg.DataDir
	undo = func() error { return nil }
	if os.Geteuid() != 0 || cfg.Hugepages == config.HugepagesNever {
		return undo, nil
	}
	_, missing := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return undo, fmt.Errorf("make the data directory (choose another with --data-dir): %w", err)
	}
	if missing != nil {
		undo = func() error { return os.Remove(dir) }
	}
	plain, err := isPlainTmpfs(dir)
	if err != nil || !plain {
		return undo, errors.Join(err, growMount(cfg))
	}
	options := fmt.Sprintf("huge=always,mode=0700,size=%d", mountBytes(cfg))
	err = unix.Mount(mountSource, dir, "tmpfs", mountFlags, options)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
		return undo, nil // a kernel without huge pages on tmpfs, or a container that may not mount
	}
	if err != nil {
		return undo, fmt.Errorf("mount a tmpfs with huge pages on %s (--hugepages never does without): %w", dir, err)
	}
	remove := undo
	return func() error { return errors.Join(unmountData(dir), remove()) }, nil
}

// growMount enlarges the mount of an earlier start that had less memory.
func growMount(cfg *config.Config) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || !strings.Contains(string(mounts), "\n"+mountSource+" "+cfg.DataDir+" tmpfs ") {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(cfg.DataDir, &fs); err != nil || int64(fs.Blocks)*fs.Bsize >= mountBytes(cfg) {
		return err
	}
	size := fmt.Sprintf("size=%d", mountBytes(cfg))
	if err := unix.Mount(mountSource, cfg.DataDir, "tmpfs", unix.MS_REMOUNT|mountFlags, size); err != nil {
		return fmt.Errorf("enlarge the tmpfs on %s (mount -o remount,%s): %w", cfg.DataDir, size, err)
	}
	return nil
}

// isPlainTmpfs says whether dir is an empty directory of a tmpfs that is mounted
// above it.
func isPlainTmpfs(dir string) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return false, fmt.Errorf("look at the data directory %s: %w", dir, err)
	}
	mounted, err := isMountPoint(dir)
	if err != nil || mounted || fs.Type != unix.TMPFS_MAGIC {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("look at the data directory %s: %w", dir, err)
	}
	return len(entries) == 0, nil
}

func isMountPoint(dir string) (bool, error) {
	var at, above unix.Stat_t
	if err := errors.Join(unix.Stat(dir, &at), unix.Stat(filepath.Dir(dir), &above)); err != nil {
		return false, fmt.Errorf("look at the data directory %s: %w", dir, err)
	}
	return at.Dev != above.Dev, nil
}

// unmountData removes what mountHuge put there, and its data with it.
func unmountData(dir string) error {
	mounted, err := isMountPoint(dir)
	if err != nil || !mounted {
		return err
	}
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

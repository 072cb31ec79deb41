package tuning

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Host is the machine to look at and to change.
type Host struct {
	Files   Files
	Ethtool Ethtool
	// Run runs a command, where the kernel has no interface of its own.
	Run func(name string, args ...string) error
}

// Files are those of /sys, /proc and /etc, by absolute path.
type Files interface {
	ReadFile(path string) ([]byte, error)
	// WriteFile writes to a file that is there, by one system call: the kernel takes each as a whole.
	WriteFile(path string, data []byte) error
	// Replace makes a file of a disk, or takes the place of one, all at once.
	Replace(path string, data []byte) error
	Remove(path string) error
	// ReadDir gives the sorted names in a folder.
	ReadDir(path string) ([]string, error)
	Readlink(path string) (string, error)
	// ReadOnly tells whether the file's mode lets nobody write, root included: the kernel marks so what it does not
	// let be set from here.
	ReadOnly(path string) bool
}

// This is the machine the process runs on.
func This() *Host {
	return &Host{Files: Root("/"), Ethtool: Kernel{}, Run: runCommand}
}

func runCommand(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Root has the files below a folder.
type Root string

// path does not clean: in /sys the .. behind a symbolic link is the parent of what it points to.
func (r Root) path(p string) string { return strings.TrimSuffix(string(r), "/") + p }

// ReadFile reads a file.
func (r Root) ReadFile(p string) ([]byte, error) { return os.ReadFile(r.path(p)) }

// WriteFile writes to a file of the kernel.
func (r Root) WriteFile(p string, data []byte) error {
	f, err := os.OpenFile(r.path(p), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Replace writes beside the file, then renames.
func (r Root) Replace(p string, data []byte) error {
	path := r.path(p)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	aside := path + ".gannet-new"
	if err := writeSynced(aside, data); err != nil {
		return errors.Join(err, os.Remove(aside))
	}
	return os.Rename(aside, path)
}

// Remove removes a file.
func (r Root) Remove(p string) error { return os.Remove(r.path(p)) }

// ReadDir lists a folder.
func (r Root) ReadDir(p string) ([]string, error) {
	entries, err := os.ReadDir(r.path(p))
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// Readlink reads a symbolic link.
func (r Root) Readlink(p string) (string, error) { return os.Readlink(r.path(p)) }

// ReadOnly looks at the file's mode.
func (r Root) ReadOnly(p string) bool {
	info, err := os.Stat(r.path(p))
	return err == nil && info.Mode().Perm()&0o222 == 0
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// text reads a file of one value; what cannot be read is empty.
func (h *Host) text(path string) string {
	data, _ := h.Files.ReadFile(path)
	return strings.TrimSpace(string(data))
}

func (h *Host) exists(path string) bool {
	_, err := h.Files.ReadFile(path)
	return err == nil
}

package tuningtest

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"gannet/tuning"
)

// Tree has files in memory. It is a tuning.Files.
type Tree struct {
	files map[string]string
	links map[string]string
	// Fault, when set, is asked before each change with what is changed; its error is the change's.
	Fault func(what string) error
	// Done, when set, is called after each change.
	Done func(what string)
	// Writes counts changes.
	Writes int
	// Locked are files that the kernel lets nobody write.
	Locked map[string]bool
}

var _ tuning.Files = (*Tree)(nil)

// NewTree makes an empty tree.
func NewTree() *Tree { return &Tree{files: map[string]string{}, links: map[string]string{}} }

// Set puts a file there, unasked and uncounted.
func (t *Tree) Set(path string, value any) { t.files[path] = fmt.Sprintln(value) }

// Link puts a symbolic link there.
func (t *Tree) Link(path, to string) { t.links[path] = to }

// Get gives a file's content without its newline.
func (t *Tree) Get(path string) string { return strings.TrimSuffix(t.files[path], "\n") }

// Delete takes away a file, or a folder with all that is in it.
func (t *Tree) Delete(path string) {
	maps.DeleteFunc(t.files, func(p, _ string) bool { return p == path || strings.HasPrefix(p, path+"/") })
}

// Paths lists the files below a folder.
func (t *Tree) Paths(prefix string) []string {
	var list []string
	for path := range t.files {
		if strings.HasPrefix(path, prefix) {
			list = append(list, path)
		}
	}
	slices.Sort(list)
	return list
}

// change makes one change that may fail.
func (t *Tree) change(what string, do func()) error {
	if t.Fault != nil {
		if err := t.Fault(what); err != nil {
			return err
		}
	}
	t.Writes++
	do()
	if t.Done != nil {
		t.Done(what)
	}
	return nil
}

// ReadFile reads a file.
func (t *Tree) ReadFile(path string) ([]byte, error) {
	data, ok := t.files[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(data), nil
}

// WriteFile writes to a file as the kernel would take it: a word may be a choice.
func (t *Tree) WriteFile(path string, data []byte) error {
	old, ok := t.files[path]
	if !ok {
		return &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return wrap(path, t.change(path, func() { t.files[path] = taken(old, string(data)) }))
}

func wrap(path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: "write", Path: path, Err: err}
}

// taken is what the kernel shows of a value: it moves the brackets in a file of choices.
func taken(old, value string) string {
	if strings.Contains(old, "\t") {
		return strings.ReplaceAll(value, " ", "\t") // sysctls of several numbers
	}
	if !strings.Contains(old, "[") {
		return value
	}
	words := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(old))
	for i, w := range words {
		if w == strings.TrimSpace(value) {
			words[i] = "[" + w + "]"
		}
	}
	return strings.Join(words, " ") + "\n"
}

// Replace makes a file.
func (t *Tree) Replace(path string, data []byte) error {
	return wrap(path, t.change(path, func() { t.files[path] = string(data) }))
}

// Remove removes a file.
func (t *Tree) Remove(path string) error {
	if _, ok := t.files[path]; !ok {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	return wrap(path, t.change(path, func() { delete(t.files, path) }))
}

// ReadDir lists a folder.
func (t *Tree) ReadDir(path string) ([]string, error) {
	names := map[string]bool{}
	for _, p := range t.Paths(path + "/") {
		name, _, _ := strings.Cut(strings.TrimPrefix(p, path+"/"), "/")
		names[name] = true
	}
	if len(names) == 0 {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// ReadOnly tells whether a file is locked.
func (t *Tree) ReadOnly(path string) bool { return t.Locked[path] }

// Readlink reads a symbolic link.
func (t *Tree) Readlink(path string) (string, error) {
	to, ok := t.links[path]
	if !ok {
		return "", &fs.PathError{Op: "readlink", Path: path, Err: fs.ErrNotExist}
	}
	return to, nil
}

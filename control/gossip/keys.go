package gossip

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/hashicorp/memberlist"
)

// KeyFileError is a key file that cannot be used.
type KeyFileError struct {
	File    string
	Line    int // 0: the file as a whole
	Problem string
}

func (e *KeyFileError) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s, line %d", e.File, e.Line)
	}
	return fmt.Sprintf("gossip key file %s: %s; write one base64 key of 16, 24 or 32 bytes a line, e.g. from `head -c 32 /dev/urandom | base64`", where, e.Problem)
}

// parseKeys reads a key file: one key a line, the primary one first. Empty lines and
// those that begin with # do not count.
func parseKeys(file string, content []byte) (keys [][]byte, err error) {
	number := 0
	for line := range bytes.Lines(content) {
		number++
		text := bytes.TrimSpace(line)
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil {
			return nil, &KeyFileError{file, number, "it is not base64"}
		}
		if memberlist.ValidateKey(key) != nil {
			return nil, &KeyFileError{file, number, fmt.Sprintf("the key has %d bytes", len(key))}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, &KeyFileError{file, 0, "it holds no key"}
	}
	return keys, nil
}

// keyFile keeps a key ring like a file.
type keyFile struct {
	path string
	ring *memberlist.Keyring
	seen []byte // what the file held at the last look, good or not; nil: not readable
}

// openKeys reads the file; here, unlike later, it must be good.
func openKeys(path string) (*keyFile, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the gossip key file: %w", err)
	}
	keys, err := parseKeys(path, content)
	if err != nil {
		return nil, err
	}
	ring, err := memberlist.NewKeyring(keys, keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip key file %s: %w", path, err)
	}
	return &keyFile{path: path, ring: ring, seen: content}, nil
}

// refresh takes the file over if it changed since the last look. A file that cannot
// be used leaves the keys as they are and is complained about once.
func (f *keyFile) refresh() (changed bool, err error) {
	content, err := os.ReadFile(f.path)
	if err != nil {
		content = nil
	}
	if bytes.Equal(content, f.seen) && (content == nil) == (f.seen == nil) {
		return false, nil
	}
	f.seen = content
	if err != nil {
		return false, fmt.Errorf("read the gossip key file: %w", err)
	}
	keys, err := parseKeys(f.path, content)
	if err != nil {
		return false, err
	}
	return true, f.install(keys)
}

// install puts new keys on the ring before it takes old ones off, so that there is
// no moment without one.
func (f *keyFile) install(keys [][]byte) error {
	var problems error
	for _, key := range keys {
		problems = errors.Join(problems, f.ring.AddKey(key))
	}
	problems = errors.Join(problems, f.ring.UseKey(keys[0]))
	for _, old := range slices.Clone(f.ring.GetKeys()) {
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, old) }) {
			problems = errors.Join(problems, f.ring.RemoveKey(old))
		}
	}
	return problems
}

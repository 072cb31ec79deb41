package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"
)

// archive is a cpio archive of the kind that a kernel unpacks at boot ("newc").
type archive struct {
	out   bytes.Buffer
	inode int
}

func (a *archive) add(name string, mode uint32, data []byte) {
	a.inode++
	fmt.Fprintf(&a.out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	a.out.WriteString(name)
	a.out.WriteByte(0)
	a.pad()
	a.out.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.out.Len()%4 != 0 {
		a.out.WriteByte(0)
	}
}

func (a *archive) folder(name string) { a.add(name, 0o040755, nil) }

func (a *archive) program(name, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	a.add(name, 0o100755, data)
	return nil
}

// close ends the archive and returns it.
func (a *archive) close() []byte {
	a.add("TRAILER!!!", 0, nil)
	return a.out.Bytes()
}

// initramfs is the guest's file system: its programs, and the modules of a driver.
func initramfs(binaries, modulesDir string, modules []string) ([]byte, error) {
	a := &archive{}
	for _, name := range []string{"bin", "dev", "proc", "sys", "tmp", "data", "modules", "root"} {
		a.folder(name)
	}
	err := errors.Join(a.program("init", filepath.Join(binaries, "guest")),
		a.program("bin/gannet", filepath.Join(binaries, "gannet")),
		a.program("bin/gannet-dataplane", filepath.Join(binaries, "gannet-dataplane")))
	if err != nil {
		return nil, err
	}
	list, err := collect(modulesDir, modules)
	if err != nil {
		return nil, err
	}
	for i, m := range list {
		a.add(fmt.Sprintf("modules/%02d-%s.ko", i, m.name), 0o100644, m.image)
	}
	return a.close(), nil
}

type module struct {
	name  string
	image []byte
}

// collect reads modules and what they depend on, in the order in which they load.
// Names that are no module are part of the kernel itself.
func collect(dir string, names []string) (list []module, err error) {
	files := map[string]string{}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok {
			files[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("initramfs: modules: %w", err)
	}
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		name = strings.ReplaceAll(name, "-", "_")
		path, ok := files[name]
		if !ok || seen[name] {
			return nil
		}
		seen[name] = true
		image, err := readModule(path)
		if err != nil {
			return err
		}
		needs, err := dependencies(image)
		if err != nil {
			return fmt.Errorf("initramfs: module %s: %w", name, err)
		}
		for _, need := range needs {
			if err := visit(need); err != nil {
				return err
			}
		}
		list = append(list, module{name, image})
		return nil
	}
	for _, name := range names {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func readModule(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	defer f.Close()
	var from io.Reader = f
	if strings.HasSuffix(path, ".xz") {
		if from, err = xz.NewReader(f); err != nil {
			return nil, fmt.Errorf("initramfs: %s: %w", path, err)
		}
	}
	data, err := io.ReadAll(from)
	if err != nil {
		return nil, fmt.Errorf("initramfs: %s: %w", path, err)
	}
	return data, nil
}

// dependencies are in a module's own words: the field depends of its .modinfo.
func dependencies(image []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, fmt.Errorf("read it as ELF: %w", err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no .modinfo")
	}
	data, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read .modinfo: %w", err)
	}
	for _, field := range strings.Split(string(data), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

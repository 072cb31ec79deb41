package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"gannet/test/zerocopy/report"
)

// driver is a kind of network card.
type driver struct {
	name    string
	modules []string
	devices func(hub string) []string // QEMU's arguments for two cards on one hub
}

var drivers = []driver{
	{"igb", []string{"igb"}, func(hub string) (args []string) {
		for i := range 2 {
			// Each behind a port of its own: the virtual functions' slots clash otherwise.
			args = append(args,
				"-device", fmt.Sprintf("pcie-root-port,id=port%d,chassis=%d,slot=%d", i, i+1, i+1),
				"-netdev", fmt.Sprintf("hubport,id=net%d,hubid=%s", i, hub),
				"-device", fmt.Sprintf("igb,bus=port%d,netdev=net%d,mac=52:54:00:09:00:%02x,romfile=", i, i, i+1))
		}
		return args
	}},
	{"virtio_net", []string{"virtio_pci", "virtio_net"}, func(hub string) (args []string) {
		for i := range 2 {
			args = append(args,
				"-netdev", fmt.Sprintf("hubport,id=net%d,hubid=%s", i, hub),
				"-device", fmt.Sprintf("virtio-net-pci,netdev=net%d,mac=52:54:00:09:00:%02x,disable-legacy=on,iommu_platform=on,romfile=", i, i+1))
		}
		return args
	}},
}

// machine is where QEMU and the kernel lie, and what to run in it.
type machine struct {
	root, kernel, binaries string
	gets                   int
	accel                  string
	console                io.Writer
}

// qemu is the command line up to the cards. QEMU runs with the C library it came
// with, so the host's does not matter.
func (m *machine) qemu(ctx context.Context, args ...string) *exec.Cmd {
	libraries := filepath.Join(m.root, "lib/x86_64-linux-gnu")
	all := append([]string{
		"--library-path", libraries + ":" + filepath.Join(m.root, "usr/lib/x86_64-linux-gnu"),
		filepath.Join(m.root, "usr/bin/qemu-system-x86_64"),
		"-L", filepath.Join(m.root, "usr/share/qemu"), "-L", filepath.Join(m.root, "usr/share/seabios"),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "1G",
		"-kernel", filepath.Join(m.root, "usr/lib/modules", m.kernel, "vmlinuz"),
	}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(libraries, "ld-linux-x86-64.so.2"), all...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // no machine outlives this program
	return cmd
}

// errNoReport says that the machine ended without a word.
var errNoReport = errors.New("the machine ended without a report")

// boot runs the guest with two cards of a kind, and returns its report.
func (m *machine) boot(ctx context.Context, d *driver, scratch string) (run report.Run, err error) {
	image, err := initramfs(m.binaries, filepath.Join(m.root, "usr/lib/modules", m.kernel), d.modules)
	if err != nil {
		return run, err
	}
	ramdisk := filepath.Join(scratch, d.name+".cpio")
	if err := os.WriteFile(ramdisk, image, 0o600); err != nil {
		return run, fmt.Errorf("initramfs: %w", err)
	}
	line := "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on tsc=reliable net.ifnames=0 hugepages=112 " +
		fmt.Sprintf("gannet.driver=%s gannet.memory=160MiB gannet.gets=%d", d.name, m.gets)
	args := append([]string{"-initrd", ramdisk, "-append", line}, d.devices("1")...)
	for _, accel := range strings.Fields(m.accel) {
		args = append(args, "-accel", accel)
	}
	cmd := m.qemu(ctx, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return run, fmt.Errorf("qemu: %w", err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr // a hub without a way out is what is wanted, and warned of
	if err := cmd.Start(); err != nil {
		return run, fmt.Errorf("qemu: %w", err)
	}
	last, found := m.listen(out, &run)
	if err := errors.Join(cmd.Wait(), ctx.Err()); err != nil && !found {
		return run, fmt.Errorf("qemu: %w: %s%s", err, stderr.String(), last)
	}
	if !found {
		return run, fmt.Errorf("%w: %s", errNoReport, last)
	}
	if run.Error != "" {
		return run, fmt.Errorf("in the machine: %s", run.Error)
	}
	return run, nil
}

// listen copies the serial console until it ends, and takes the report out of it. It
// returns the end of the rest.
func (m *machine) listen(from io.Reader, run *report.Run) (last string, found bool) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 4<<20)
	var kept []string
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		if data, ok := strings.CutPrefix(line, report.Prefix); ok {
			found = json.Unmarshal([]byte(data), run) == nil
			continue
		}
		fmt.Fprintln(m.console, line)
		if kept = append(kept, line); len(kept) > 30 {
			kept = kept[1:]
		}
	}
	return strings.Join(kept, "\n"), found
}

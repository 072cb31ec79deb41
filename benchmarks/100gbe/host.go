package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"gannet/test/lab"
)

// host runs shell scripts on one of the two machines.
type host struct {
	End
	name string
	// argv is what a script is appended to: a shell, or ssh to one.
	argv []string
	dir  string // on the host; ours, removed in the end
}

func newHost(name string, end End) *host {
	h := &host{End: end, name: name, argv: []string{"sh", "-c"}}
	if end.SSH != "" {
		h.argv = []string{"ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=5", end.SSH}
	}
	return h
}

// in places the host into a namespace of a lab, with a sysfs that shows its
// interfaces.
func (h *host) in(ns lab.NS) {
	h.argv = []string{"ip", "netns", "exec", ns.Name(), "sh", "-c"}
}

// command prepares a script; it is not started yet.
func (h *host) command(ctx context.Context, script string) *exec.Cmd {
	argv := append(append([]string{}, h.argv...), script)
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// run runs a script and returns what it printed.
func (h *host) run(ctx context.Context, stdin io.Reader, script string) ([]byte, error) {
	cmd := h.command(ctx, script)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &said
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s: %w: %s", h.name, err, strings.TrimSpace(said.String()))
	}
	return out.Bytes(), nil
}

// prepare makes the folder and copies files there.
func (h *host) prepare(ctx context.Context, files ...string) error {
	out, err := h.run(ctx, nil, "mktemp -d /tmp/gannet-100gbe.XXXXXX")
	if err != nil {
		return err
	}
	h.dir = strings.TrimSpace(string(out))
	for _, path := range files {
		if err := h.copy(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// copy copies an executable into the host's folder, under its own name.
func (h *host) copy(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", h.name, err)
	}
	defer f.Close()
	to := quote(h.path(filepath.Base(path)))
	_, err = h.run(ctx, f, "cat > "+to+" && chmod +x "+to)
	return err
}

func (h *host) path(name string) string { return h.dir + "/" + name }

// remove takes the folder away.
func (h *host) remove(ctx context.Context) error {
	if h.dir == "" {
		return nil
	}
	_, err := h.run(ctx, nil, "rm -rf "+quote(h.dir))
	return err
}

// quote makes shell words of arguments.
func quote(args ...string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

// mtu reads the interface's MTU.
func (h *host) mtu(ctx context.Context) (int, error) {
	out, err := h.run(ctx, nil, "ip -o link show dev "+quote(h.Interface))
	if err != nil {
		return 0, err
	}
	_, after, ok := strings.Cut(string(out), " mtu ")
	var mtu int
	if _, err := fmt.Sscan(after, &mtu); !ok || err != nil {
		return 0, errors.Join(fmt.Errorf("%s: no MTU in %q", h.name, out), err)
	}
	return mtu, nil
}

func (h *host) setMTU(ctx context.Context, mtu int) error {
	_, err := h.run(ctx, nil, fmt.Sprintf("ip link set dev %s mtu %d", quote(h.Interface), mtu))
	return err
}

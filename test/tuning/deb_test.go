package tuning

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const top = "../.."

// need skips where a tool of Debian is missing.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing: %v", tool, err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("installing needs root")
	}
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "VERSION=1.2.3", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// buildInto builds both binaries into a folder that every user can read.
func buildInto(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gannet-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, top, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir+"/", "./cmd/gannet", "./cmd/gannet-dataplane")
	return dir
}

func dataDir(t *testing.T) string {
	t.Helper()
	data, err := os.MkdirTemp("/dev/shm", "gannet-deb-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	return data
}

func pidText(cmd *exec.Cmd) string { return strconv.Itoa(cmd.Process.Pid) }

// install builds binaries and package, and installs it into a root of its own.
func install(t *testing.T) (root string) {
	t.Helper()
	out := buildInto(t)
	t.Setenv("BIN", out)
	deb := run(t, top, "deploy/deb/build.sh", out)
	root = filepath.Join(t.TempDir(), "root")
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg", file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Its dependencies are not in the root; its scripts honour DPKG_ROOT.
	run(t, ".", "dpkg", "--root", root, "--force-depends", "--force-script-chrootless", "--log=/dev/null", "--install", deb)
	return root
}

func TestPackage(t *testing.T) {
	need(t, "dpkg", "dpkg-deb", "systemd-analyze")
	root := install(t)
	t.Run("status", func(t *testing.T) {
		if got := run(t, ".", "dpkg-query", "--admindir", filepath.Join(root, "var/lib/dpkg"), "-W", "-f", "${Status} ${Version}", "gannet"); got != "install ok installed 1.2.3" {
			t.Error(got)
		}
	})
	t.Run("config", func(t *testing.T) {
		run(t, ".", filepath.Join(root, "usr/bin/gannet"), "config", "check", filepath.Join(root, "etc/gannet/gannet.yaml"))
	})
	t.Run("units", func(t *testing.T) { verifyUnits(t, root) })
	t.Run("scripts", func(t *testing.T) {
		for _, script := range []string{"nic", "irq", "cpu", "memory", "net"} {
			run(t, ".", "sh", "-n", filepath.Join(root, "usr/share/gannet/tuning", script+".sh"))
		}
	})
	t.Run("start", func(t *testing.T) { startNode(t, root) })
	t.Run("remove", func(t *testing.T) {
		run(t, ".", "dpkg", "--root", root, "--force-script-chrootless", "--log=/dev/null", "--purge", "gannet")
		for _, path := range []string{"usr/bin/gannet", "etc/gannet/gannet.yaml"} {
			if _, err := os.Stat(filepath.Join(root, path)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s is still there: %v", path, err)
			}
		}
	})
}

// verifyUnits lets systemd read the units, with paths into the root.
func verifyUnits(t *testing.T, root string) {
	dir := t.TempDir()
	for _, name := range []string{"gannet-dataplane", "gannet-control", "gannet-tune"} {
		data, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system", name+".service"))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "=/usr/bin/", "="+root+"/usr/bin/")
		text = strings.ReplaceAll(text, "\nDocumentation=", "\n# Documentation=") // man pages are not looked at
		if err := os.WriteFile(filepath.Join(dir, name+".service"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
		dir+"/gannet-dataplane.service", dir+"/gannet-control.service", dir+"/gannet-tune.service")
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "gannet") {
		t.Errorf("%v\n%s", err, out)
	}
}

// notifySocket is what systemd gives a unit of Type=notify.
func notifySocket(t *testing.T) (path string, await func(what string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return path, func(what string) {
		t.Helper()
		buffer := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(60 * time.Second))
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				t.Fatalf("waiting for %s: %v", what, err)
			}
			if strings.Contains(string(buffer[:n]), what) {
				return
			}
		}
	}
}

// startNode starts both processes as the units do, with the installed configuration, and
// uses the cache. Ports and folders are the test's own.
func startNode(t *testing.T, root string) {
	data, port := dataDir(t), freePort(t)
	env := append(os.Environ(), "GANNET_DATA_DIR="+data, "GANNET_ETCD_DIR="+t.TempDir(), "GANNET_MEMORY=16MiB", "GANNET_SHARDS=1",
		fmt.Sprintf("GANNET_DATA_PORT=%d", port), "GANNET_ADMIN=127.0.0.1:0", "GANNET_WATCHDOG=30s",
		"GANNET_ETCD_CLIENT_URL=http://127.0.0.1:0", "GANNET_ETCD_PEER_URL=http://127.0.0.1:0")
	start(t, env, "READY=1", filepath.Join(root, "usr/bin/gannet-dataplane"))
	await := start(t, env, "READY=1", filepath.Join(root, "usr/bin/gannet"), "control")
	await("WATCHDOG=1")
	server := fmt.Sprintf("--server=127.0.0.1:%d", port)
	gannet := filepath.Join(root, "usr/bin/gannet")
	run(t, ".", gannet, "put", server, "greeting", "hello")
	if got := run(t, ".", gannet, "get", server, "greeting"); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func start(t *testing.T, env []string, until, binary string, verb ...string) (await func(string)) {
	t.Helper()
	socket, await := notifySocket(t)
	root := strings.TrimSuffix(filepath.Dir(binary), "/usr/bin")
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, append(verb, "--config", root+"/etc/gannet/gannet.yaml")...)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Env = append(env, "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=600000")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // the end of a process that was told to
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(binary), output.String())
		}
	})
	await(until)
	return await
}

// freePort finds one below those that the system gives to sockets that ask for none.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		at := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 12000 + rand.IntN(18000)}
		if conn, err := net.ListenUDP("udp", at); err == nil {
			_ = conn.Close()
			return at.Port
		}
	}
	t.Fatal("no free port")
	return 0
}

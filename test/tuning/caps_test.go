package tuning

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gannet/test/lab"
)

// The capabilities that the data plane's unit gives are enough for AF_XDP, as a user without any other right; and they
// are gone once it serves.
func TestUnitsCapabilitiesAreEnough(t *testing.T) {
	need(t, "setpriv", "ip")
	link, err := lab.New(lab.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })
	bin, data := buildInto(t), dataDir(t)
	socket, await := notifySocket(t)
	for _, dir := range []string{filepath.Dir(socket), filepath.Dir(filepath.Dir(socket))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(data, 65534, 65534), os.Chmod(socket, 0o777)); err != nil {
		t.Fatal(err)
	}
	caps := "-all"
	for _, name := range unitCapabilities(t) {
		caps += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
		"--inh-caps="+caps, "--ambient-caps="+caps, "--bounding-set="+caps,
		filepath.Join(bin, "gannet-dataplane"), "--interface="+lab.ServerDevice, "--listen="+lab.ServerAddr, "--data-dir="+data,
		"--memory=16MiB", "--shards=1", "--frames=256", "--datapath=xdp", "--node-name=caps")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := link.Server.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait() // the end of a process that was told to
		if t.Failed() {
			t.Log(output.String())
		}
	})
	await("READY=1")
	status, err := os.ReadFile("/proc/" + pidText(cmd) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb"} {
		if !regexp.MustCompile(`(?m)^` + set + `:\s+0+$`).Match(status) {
			t.Errorf("%s is not empty while serving:\n%s", set, status)
		}
	}
}

// unitCapabilities reads what the unit of the data plane asks for; the control process's must be none.
func unitCapabilities(t *testing.T) []string {
	t.Helper()
	line := func(unit, key string) string {
		data, err := os.ReadFile(top + "/deploy/systemd/" + unit)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(data), "\n"+key+"=")
		if !found {
			t.Fatalf("%s has no %s", unit, key)
		}
		value, _, _ := strings.Cut(rest, "\n")
		return value
	}
	for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		if got := line("gannet-control.service", key); got != "" {
			t.Errorf("the control process has %s", got)
		}
	}
	ambient := line("gannet-dataplane.service", "AmbientCapabilities")
	if bounding := line("gannet-dataplane.service", "CapabilityBoundingSet"); ambient != bounding {
		t.Errorf("ambient %s, bounding %s", ambient, bounding)
	}
	return strings.Fields(ambient)
}

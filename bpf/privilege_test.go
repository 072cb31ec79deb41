package bpf

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// The data plane drops its privileges once it serves. What it and its
// neighbours do afterwards must go on.
func TestWorksWithoutPrivileges(t *testing.T) {
	if os.Getenv(childEnv) == "unprivileged" {
		workWithoutPrivileges(t)
		return
	}
	inNamespace(t)
	child := exec.Command(os.Args[0], "-test.run=^TestWorksWithoutPrivileges$", "-test.v")
	child.Env = append(os.Environ(), childEnv+"=unprivileged")
	if output, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}

func workWithoutPrivileges(t *testing.T) {
	b := load(t, testConfig())
	r, err := LoadReuseport(1)
	if err != nil {
		t.Fatal(err)
	}
	late := xdpSocket(t)
	b.attach(1, Generic)
	// Every thread, and for good: this process is the test's own.
	if err := syscall.Setresgid(65534, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setresuid(65534, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSteer(testConfig()); !errors.Is(err, ErrPrivilege) {
		t.Fatalf("load without privileges: %v", err)
	}
	b.Stamp(0, bootNanos(t))
	b.rate(Rate{PacketsPerSecond: 1_000_000})
	b.allow(prefixes("192.0.2.0/24")...)
	b.allow(prefixes("10.0.0.0/8")...)
	b.allow()
	if err := b.RegisterSocket(0, late); err != nil {
		t.Error(err)
	}
	if got := b.Counters(); len(got) != int(Steering) {
		t.Errorf("counted %v", got)
	}
	if got := r.Counters(); len(got) != 4 {
		t.Errorf("counted %v", got)
	}
	if err := errors.Join(b.Close(), r.Close()); err != nil {
		t.Error(err)
	}
}

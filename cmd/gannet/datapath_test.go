package main

import (
	"strings"
	"testing"

	"gannet/dataplane/port"
	"gannet/dataplane/xsk"
)

func TestKernelFaults(t *testing.T) {
	for version, want := range map[string][]string{
		"5.10.0":   {"3498", "busy polling"},
		"6.1.0":    {"3498"},
		"6.6.1":    {"CVE-2026-74559"},
		"6.18.43":  {"CVE-2026-74559"},
		"6.18.44":  {},
		"7.3.4":    {},
		"6.19":     {},
		"nonsense": {"3498", "busy polling"},
	} {
		got := kernelFaults(version)
		if len(got) != len(want) {
			t.Errorf("%s: %q", version, got)
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s: %q, want %s", version, got[i], want[i])
			}
		}
	}
}

// What a probe of a card says: the rung, why not a better one, and the command that helps.
func TestProbeAdvises(t *testing.T) {
	r := &xsk.Report{
		Interface: "eth7", Driver: "ice", Kernel: "6.12.1", MTU: 9000, Up: true, Queues: 8, MaxQueues: 64, ProgramID: 0,
		Features: xsk.Features{Known: true, Native: true, Redirect: true, ZeroCopy: true, ZeroCopyMaxSegments: 8},
		Rungs: []xsk.RungReport{
			{Rung: port.RungXDPZeroCopy, Err: &xsk.UnsupportedError{Feature: "XDP with an MTU of 9000 on eth7", Needs: "an MTU of at most 3498"}},
			{Rung: port.RungXDPCopy, Err: &xsk.UnsupportedError{Feature: "XDP with an MTU of 9000 on eth7", Needs: "an MTU of at most 3498"}},
			{Rung: port.RungXDPGeneric},
		},
	}
	var b strings.Builder
	if err := printInterfaces(&b, []interfaceJSON{describeInterface(r)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"eth7: driver ice, 8 of 64 queues, MTU 9000", "zero-copy yes (8 descriptors a packet)", "multi-buffer no",
		"xdp-zerocopy  no: ", "xdp-generic   yes  <== would be taken", "CVE-2026-74559", "ip link set dev eth7 mtu 3498",
		"gannet tune plan --nic eth7",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	r.Up, r.ProgramID, r.MTU = false, 17, 1500
	got := strings.Join(describeInterface(r).Help, "\n")
	for _, want := range []string{"ip link set dev eth7 up", "ip link set dev eth7 xdp off"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "mtu") {
		t.Errorf("advice on an MTU that is right:\n%s", got)
	}
}

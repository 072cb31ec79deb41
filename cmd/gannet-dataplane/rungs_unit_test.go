package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/config"
	"gannet/dataplane/port"
	"gannet/dataplane/porttest"
	"gannet/dataplane/xsk"
)

// badPort is a port whose kernel finds descriptors invalid.
type badPort struct {
	port.Port
	invalid uint64
}

func (p *badPort) InvalidSent() uint64 { return p.invalid }

func rungNode(rung port.Rung, ports ...port.Port) *node {
	cfg := &config.Loaded{}
	cfg.Interface, cfg.Listen = "lo", netip.MustParseAddr("127.0.0.1")
	n := &node{cfg: cfg, datapath: &datapath{rung: rung, ports: ports}}
	n.rungs.seen = n.look()
	return n
}

// TestInvalidDescriptorsEndZeroCopy: one is enough, and zero-copy is not tried again.
func TestInvalidDescriptorsEndZeroCopy(t *testing.T) {
	bad := &badPort{Port: porttest.New(porttest.Options{})}
	n := rungNode(port.RungXDPZeroCopy, porttest.New(porttest.Options{}), bad)
	if why := n.reasonToClimb(time.Now()); why != "" {
		t.Fatalf("a quiet node wants to climb: %s", why)
	}
	if n.allowedRungs() != nil {
		t.Fatal("all rungs are allowed at first")
	}
	bad.invalid = 1
	if why := n.reasonToClimb(time.Now()); !strings.Contains(why, "invalid") {
		t.Fatalf("reason %q", why)
	}
	if slices.Contains(n.allowedRungs(), port.RungXDPZeroCopy) || len(n.allowedRungs()) == 0 {
		t.Errorf("allowed: %v", n.allowedRungs())
	}
	n.datapath.rung = port.RungUDP
	if why := n.reasonToClimb(time.Now()); why != "" {
		t.Errorf("kernel sockets have no descriptors: %s", why)
	}
}

// TestRetryBacksOff: a queue that is taken is asked for again, ever more rarely; what
// the driver cannot do is not.
func TestRetryBacksOff(t *testing.T) {
	n, now := rungNode(port.RungXDPCopy), time.Unix(1000, 0)
	n.datapath.refusal = fmt.Errorf("zero-copy: %w", &xsk.UnsupportedError{Feature: "it"})
	if n.planRetry(now, nil); !n.rungs.retryAt.IsZero() {
		t.Fatal("a rung that is not supported is retried")
	}
	n.datapath.refusal = fmt.Errorf("zero-copy: %w", unix.EBUSY)
	var waits []time.Duration
	for range 12 {
		n.planRetry(now, nil)
		waits = append(waits, n.rungs.retryAt.Sub(now))
		if why := n.reasonToClimb(n.rungs.retryAt.Add(-time.Millisecond)); why != "" {
			t.Fatalf("climbs before its time: %s", why)
		}
		if n.reasonToClimb(n.rungs.retryAt.Add(time.Millisecond)) == "" {
			t.Fatal("does not climb when it is time")
		}
	}
	if !slices.IsSorted(waits) || waits[0] != firstRetry || waits[len(waits)-1] != lastRetry {
		t.Errorf("waits %v", waits)
	}
	n.datapath.refusal = nil
	if n.planRetry(now, nil); !n.rungs.retryAt.IsZero() || n.rungs.backoff != 0 {
		t.Error("a better rung was taken, and is wanted still")
	}
}

package main

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gannet/ring"
)

// small is a fleet that takes a second to simulate.
func small() model {
	m := defaultModel()
	m.Nodes, m.Clients, m.DataBytes, m.RestartsAtOnce = 30, 40, 5e11, 5
	return m
}

func booted(t *testing.T) *fleet {
	t.Helper()
	f := newFleet(small(), 1)
	if err := f.boot(); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestZoneLoss(t *testing.T) {
	f := booted(t)
	g := f.zoneLoss()
	if !g.Settled || g.Failed > 0 || g.Retried == 0 {
		t.Errorf("settled %v, %v without an answer, %v by the second try", g.Settled, g.Failed, g.Retried)
	}
	if g.RoutedNanos < 700*millisecond || g.WritesNanos > 1750*millisecond {
		t.Errorf("the dead were out of the ring after %d ns, writes back after %d ns", g.RoutedNanos, g.WritesNanos)
	}
	if g.MaxPeak > 1.5 {
		t.Errorf("a survivor led %.2f of the mean", g.MaxPeak)
	}
	// Once for the copies of what was lost, once for those that came back empty.
	if g.MovedBytes < 1.9*g.LeastBytes || g.MovedBytes > 2.2*g.LeastBytes {
		t.Errorf("copied %.3g bytes, lost copies of %.3g", g.MovedBytes, g.LeastBytes)
	}
	allTwice(t, f)
}

func TestZoneLossWithControllerTakesTheLease(t *testing.T) {
	g := booted(t).zoneLossWithController()
	if !g.Settled || g.RoutedNanos < small().LeaseNanos-small().KeepAliveNanos {
		t.Errorf("settled %v, the dead were out after %d ns", g.Settled, g.RoutedNanos)
	}
}

func TestRollingRestartKeepsEverything(t *testing.T) {
	f := booted(t)
	g := f.rollingRestart()
	if !g.Settled || g.Epochs < 3*6 {
		t.Errorf("settled %v after %d epochs", g.Settled, g.Epochs)
	}
	allRestarted(t, f)
	allTwice(t, f)
}

func allRestarted(t *testing.T, f *fleet) {
	t.Helper()
	for _, n := range f.nodes {
		if m := f.etcd.record.Ring.Member(n.member.ID); n.life != 2 || m.State != ring.Active {
			t.Errorf("%s is %v in its life %d, want active in its second", n.member.Name, m.State, n.life)
		}
	}
}

func TestPatientRestartCopiesLittle(t *testing.T) {
	f := booted(t)
	g := f.rollingRestartPatient()
	if !g.Settled || g.MovedBytes > 0.1*f.model.DataBytes || g.MovedBytes == 0 {
		t.Errorf("settled %v, copied %.3g bytes", g.Settled, g.MovedBytes)
	}
	allRestarted(t, f)
	allTwice(t, f)
}

func TestScaleOut(t *testing.T) {
	f := booted(t)
	g := f.scaleOut()
	if !g.Settled || len(f.etcd.record.Ring.Members()) != 33 || g.Epochs < 2 || g.Epochs > 6 {
		t.Errorf("settled %v, %d members, %d epochs", g.Settled, len(f.etcd.record.Ring.Members()), g.Epochs)
	}
	if g.MovedBytes > 1.25*g.LeastBytes || g.MovedBytes < 0.75*g.LeastBytes {
		t.Errorf("copied %.3g bytes, the ideal is %.3g", g.MovedBytes, g.LeastBytes)
	}
	if g.NotStored > 0 {
		t.Errorf("%v requests met a node without the item", g.NotStored)
	}
	allTwice(t, f)
}

// allTwice: the newest ring's replicas hold what they are to hold.
func allTwice(t *testing.T, f *fleet) {
	t.Helper()
	r := f.etcd.record.Ring
	for i := range uint64(10_000) {
		hash := i * (math.MaxUint64 / 10_000)
		for _, m := range r.Replicas(hash, make([]*ring.Member, 0, 2)) {
			if !f.byID[m.ID].have.contains(hash) && !f.byID[m.ID].done.contains(hash) {
				t.Fatalf("%s is a replica of %x and does not have it", m.Name, hash)
			}
		}
	}
}

func TestSameSeedSameFigures(t *testing.T) {
	a, b := booted(t).scaleOut(), booted(t).scaleOut()
	if !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
}

func TestPageAndPlot(t *testing.T) {
	page, svg := filepath.Join(t.TempDir(), "p.md"), filepath.Join(t.TempDir(), "p.svg")
	if err := os.WriteFile(page, []byte("head\n"+markBegin+"old\n"+markEnd+"tail\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	results := []figures{booted(t).scaleOut()}
	if err := writeAll("", page, svg, markdown(small(), results), results); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(page)
	text := string(got)
	if !strings.HasPrefix(text, "head\n") || !strings.HasSuffix(text, "tail\n") || strings.Contains(text, "old") || !strings.Contains(text, "| epochs | ") {
		t.Errorf("the page is %s", text)
	}
	if drawn, err := os.ReadFile(svg); err != nil || !strings.Contains(string(drawn), "<path") {
		t.Errorf("the plot is %d bytes, %v", len(drawn), err)
	}
}

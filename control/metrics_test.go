package control

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"gannet/board"
	"gannet/config"
	"gannet/control/api"
	"gannet/security/mtls"
	"gannet/wire"
)

// testBoard is a board of two shards with something in every corner.
func testBoard(t *testing.T) (*Link, *board.Board) {
	t.Helper()
	dir := t.TempDir()
	b, err := board.Open(BoardPath(dir), board.Spec{Shards: 2, LogBytes: 4096, ApplyBytes: 4096, ScanBytes: 4096, RingBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	b.Node().Start(4711, 1, 1)
	b.Node().SetPhase(board.PhaseServing)
	info := board.NodeInfo{Policy: "lru", Version: "v1", Shards: []board.ShardInfo{{Rung: "xdp-copy", CPU: 2}, {Rung: "xdp-copy", CPU: 3}}}
	if err := b.Node().SetInfo(info); err != nil {
		t.Fatal(err)
	}
	for g := range board.NumGroups {
		b.Reasons().Set(g, []string{"none", "first", "second"})
	}
	var counts [board.LatencyBuckets]uint64
	counts[board.LatencyBucket(3000)] = 4
	for shard := range 2 {
		for c := range board.NumCounters {
			b.Counters(shard).Set(c, uint64(1000*shard)+uint64(c)+1)
		}
		b.Counters(shard).SetIn(board.GroupGuard, 2, 77)
		b.Heartbeat(shard).Beat(5e9, 1)
		b.Latency(shard, int(wire.Get)).Write(&counts, 12000)
		b.ShardMemory(shard).SetTotals(100, 50)
		b.ShardMemory(shard).SetPurposes([]board.Purpose{{Name: "slabs", Bytes: 40}}, nil)
		b.ShardMemory(shard).SetClasses([]board.Class{{SlotBytes: 64, SlabKiB: 4096, Items: 9}}, nil)
	}
	b.ProcessMemory().SetPurposes([]board.Purpose{{Name: "frames", Bytes: 7}}, nil)
	b.Fence().Set(8e9)
	link := NewLink(dir, quiet)
	if !link.Refresh() {
		t.Fatal("not attached")
	}
	t.Cleanup(func() { _ = link.Close() })
	return link, b
}

func testRegistry(t *testing.T) (*prometheus.Registry, *board.Board) {
	link, b := testBoard(t)
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{link: link, nanos: func() int64 { return 7e9 }})
	return registry, b
}

func TestMetricsPassTheLint(t *testing.T) {
	registry, _ := testRegistry(t)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// testCluster is one with a ring, certificates, and others who cannot be reached.
func testCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	certs := filepath.Join(dir, "certs")
	err := mtls.DevCA(certs, mtls.DevOptions{NodeNames: []string{"a"}, Hosts: []string{"127.0.0.1"}, ValidFor: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	files := mtls.DevFiles(certs, "a")
	cfg := &config.Config{
		NodeID: testSelf.ID, NodeName: "a", DataDir: dir, Listen: netip.MustParseAddr("127.0.0.1"), Seeds: []string{"127.0.0.1:1"},
		TLSCert: files.Cert, TLSKey: files.Key, TLSCA: files.CA, TLSCRL: files.CRL,
	}
	self := testSelf
	self.Addr = netip.MustParseAddrPort("127.0.0.1:9800")
	c, err := newCluster(cfg, NewLink(dir, quiet), self, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.publish(testRecord(t, 4))
	c.etcd.Store(&ringStore{})
	t.Cleanup(func() { c.etcd.Store(nil) })
	return c
}

func TestClusterMetricsPassTheLint(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&clusterCollector{cluster: testCluster(t), nanos: func() int64 { return 7e9 }})
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	want := `
# HELP gannet_ring_members Members of the ring this node serves by, by state.
# TYPE gannet_ring_members gauge
gannet_ring_members{state="active"} 1
gannet_ring_members{state="down"} 0
gannet_ring_members{state="joining"} 0
gannet_ring_members{state="leaving"} 0
gannet_ring_members{state="returning"} 0
# HELP gannet_ring_share Part of the circle that this node leads.
# TYPE gannet_ring_share gauge
gannet_ring_share 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gannet_ring_members", "gannet_ring_share"); err != nil {
		t.Error(err)
	}
}

func TestDrainSaysWhyNot(t *testing.T) {
	c := testCluster(t)
	if err := c.drain(t.Context(), "nobody"); !errors.Is(err, api.ErrUnknownNode) {
		t.Errorf("of an unknown node: %v", err)
	}
	if err := c.drain(t.Context(), ""); !errors.Is(err, api.ErrNotNow) {
		t.Errorf("of the only node: %v", err)
	}
	c.etcd.Store(nil)
	if err := c.drain(t.Context(), ""); !errors.Is(err, api.ErrNotNow) {
		t.Errorf("without etcd: %v", err)
	}
}

func TestMetricsSayWhatTheBoardSays(t *testing.T) {
	registry, b := testRegistry(t)
	want := fmt.Sprintf(`
# HELP gannet_drops_total Datagrams refused or dropped above the XDP program, by stage and reason.
# TYPE gannet_drops_total counter
gannet_drops_total{reason="first",shard="0",stage="guard"} 0
gannet_drops_total{reason="first",shard="0",stage="port"} 0
gannet_drops_total{reason="first",shard="0",stage="wire"} 0
gannet_drops_total{reason="first",shard="1",stage="guard"} 0
gannet_drops_total{reason="first",shard="1",stage="port"} 0
gannet_drops_total{reason="first",shard="1",stage="wire"} 0
gannet_drops_total{reason="second",shard="0",stage="guard"} 77
gannet_drops_total{reason="second",shard="0",stage="port"} 0
gannet_drops_total{reason="second",shard="0",stage="wire"} 0
gannet_drops_total{reason="second",shard="1",stage="guard"} 77
gannet_drops_total{reason="second",shard="1",stage="port"} 0
gannet_drops_total{reason="second",shard="1",stage="wire"} 0
# HELP gannet_fence_remaining_seconds Time for which writes may still be acknowledged; negative: lapsed.
# TYPE gannet_fence_remaining_seconds gauge
gannet_fence_remaining_seconds 1
# HELP gannet_heartbeat_age_seconds Time since the shard's loop turned last.
# TYPE gannet_heartbeat_age_seconds gauge
gannet_heartbeat_age_seconds{shard="0"} 2
gannet_heartbeat_age_seconds{shard="1"} 2
# HELP gannet_hits_total GETs answered with a value, stale ones included.
# TYPE gannet_hits_total counter
gannet_hits_total{shard="0"} %d
gannet_hits_total{shard="1"} %d
# HELP gannet_memory_bytes Off-heap memory by purpose; shard "process" is what all shards share.
# TYPE gannet_memory_bytes gauge
gannet_memory_bytes{purpose="frames",shard="process"} 7
gannet_memory_bytes{purpose="slabs",shard="0"} 40
gannet_memory_bytes{purpose="slabs",shard="1"} 40
# HELP gannet_memory_class_bytes Slab memory by size class.
# TYPE gannet_memory_class_bytes gauge
gannet_memory_class_bytes{shard="0",slot_bytes="64"} 4.194304e+06
gannet_memory_class_bytes{shard="1",slot_bytes="64"} 4.194304e+06
`, b.Counters(0).Get(board.CountHits), b.Counters(1).Get(board.CountHits))
	err := testutil.GatherAndCompare(registry, strings.NewReader(want), "gannet_drops_total", "gannet_fence_remaining_seconds",
		"gannet_heartbeat_age_seconds", "gannet_hits_total", "gannet_memory_bytes", "gannet_memory_class_bytes")
	if err != nil {
		t.Error(err)
	}
}

// TestEveryCounterIsShown keeps a counter that is added to the board from being
// forgotten here: each has a value of its own in testBoard.
func TestEveryCounterIsShown(t *testing.T) {
	registry, b := testRegistry(t)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[float64]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			shown[m.GetCounter().GetValue()] = true
			shown[m.GetGauge().GetValue()] = true
		}
	}
	for c := range board.NumCounters {
		value := float64(b.Counters(1).Get(c))
		if c == board.CountBusyNanos {
			value /= 1e9
		}
		if !shown[value] {
			t.Errorf("counter %s of the board is no metric", c)
		}
	}
}

func TestLatencyBucketsAreCumulativeAndComplete(t *testing.T) {
	var counts [board.LatencyBuckets]uint64
	sum := uint64(0)
	for i := range counts {
		counts[i] = uint64(i%7 + 1)
		sum += counts[i]
	}
	total, buckets := cumulate(&counts)
	if total != sum {
		t.Fatalf("total %d, want %d", total, sum)
	}
	for power := latencyFirstPower; power <= latencyLastPower; power++ {
		bound, want := int64(1)<<power, uint64(0)
		for i := range counts {
			if board.LatencyUpperNanos(i) <= bound {
				want += counts[i]
			}
		}
		if got, ok := buckets[float64(bound)/1e9]; !ok || got != want {
			t.Errorf("bucket up to %d ns has %d, want %d", bound, got, want)
		}
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/board"
	"gannet/client"
	"gannet/config"
	"gannet/control"
	"gannet/control/api"
	"gannet/replication"
	"gannet/ring"
	"gannet/security/mtls"
)

var (
	loopback    = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	quietConfig = config.Config{LogLevel: "error", LogFormat: config.LogText}
)

// flockNode is one of the nodes of a test: a control process and its data plane.
type flockNode struct {
	name            string
	data, ctl, http int
	args            []string
	dir             string
	cmd             *exec.Cmd
	output          *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// flock is a cluster of real nodes over an etcd in the test.
type flock struct {
	t     *testing.T
	etcd  *control.Etcd
	nodes []*flockNode
}

func newFlock(t *testing.T, count int) *flock {
	t.Helper()
	log, _ := newLog(os.Stderr, &quietConfig)
	etcd, err := control.StartEtcd(t.Context(), "test", t.TempDir(), "http://127.0.0.1:0", "http://127.0.0.1:0", mtls.Files{}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	f := &flock{t: t, etcd: etcd}
	for i := range count {
		f.add(i, count)
	}
	return f
}

// add prepares a node. Its ports are found free one after the other, by test and node.
func (f *flock) add(i, expect int) *flockNode {
	f.t.Helper()
	dir, err := os.MkdirTemp(roomyDir(64<<20), "gannet-test-")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &flockNode{name: fmt.Sprint("node-", i+1), dir: filepath.Join(dir, "data")}
	n.data, n.ctl, n.http = freePort(f.t), freePort(f.t), freePort(f.t)
	n.args = []string{
		"node", "--node-name=" + n.name, "--zone=zone-" + strconv.Itoa(i), "--data-dir=" + n.dir, "--data-port=" + strconv.Itoa(n.data),
		"--control-port=" + strconv.Itoa(n.ctl), "--gossip-port=" + strconv.Itoa(freePort(f.t)), "--admin=127.0.0.1:" + strconv.Itoa(n.http), "--memory=16MiB", "--shards=1",
		"--etcd-endpoints=" + f.etcd.ClientURL, "--expect-nodes=" + strconv.Itoa(expect), "--dataplane-binary=" + dataplanePath,
		"--hugepages=never", "--watchdog=2s",
	}
	f.nodes = append(f.nodes, n)
	return n
}

// portsTaken counts the ports that tests of this process were given: two that ask before
// they bind must not get the same.
var portsTaken = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32N(portsToGive))
	return &n
}()

const (
	firstPort, portsToGive = 12000, 18000
	portsInARow            = 8 // for as many shards
)

// freePorts finds a port that is free for TCP and UDP, as those behind it are, below
// those that the system gives to outgoing connections: one of these would be taken
// before the node binds it.
func freePorts() (int, error) {
search:
	for range 100 {
		first := firstPort + int(portsTaken.Add(portsInARow)%portsToGive)
		for i := range portsInARow {
			at := netip.AddrPortFrom(loopback, uint16(first+i))
			tcp, err := net.Listen("tcp", at.String())
			if err != nil {
				continue search
			}
			_ = tcp.Close()
			udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
			if err != nil {
				continue search
			}
			_ = udp.Close()
		}
		return first, nil
	}
	return 0, errors.New("no free port")
}

func freePort(t *testing.T) int {
	t.Helper()
	at, err := freePorts()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// start starts a node as the test binary that runs as gannet.
func (f *flock) start(n *flockNode) {
	f.t.Helper()
	self, err := os.Executable()
	if err != nil {
		f.t.Fatal(err)
	}
	n.output = &syncBuffer{}
	n.cmd = exec.Command(self, n.args...)
	n.cmd.Env = append(os.Environ(), runAsGannet+"=1")
	n.cmd.Stdout, n.cmd.Stderr = n.output, n.output
	n.cmd.WaitDelay = time.Second
	if err := n.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	cmd := n.cmd
	f.t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		_ = cmd.Wait()
		n.killDataplane()
		if f.t.Failed() {
			f.t.Logf("%s:\n%s", n.name, n.output.String())
		}
	})
}

func (n *flockNode) killDataplane() {
	b, err := board.Attach(control.BoardPath(n.dir))
	if err != nil {
		return
	}
	defer b.Close()
	var left control.Target
	left.PID, left.StartTicks = b.Node().PID()
	if process, err := control.OpenProcess(left); err == nil {
		_ = process.Signal(unix.SIGKILL)
		_ = process.Close()
	}
}

// kill is the end of both processes at once.
func (n *flockNode) kill() {
	_ = n.cmd.Process.Kill()
	n.killDataplane()
	_ = n.cmd.Wait()
}

func (f *flock) until(what string, longest time.Duration, right func() bool) time.Duration {
	f.t.Helper()
	began := time.Now()
	for !right() {
		if time.Since(began) > longest {
			f.t.Fatalf("%s: not within %s", what, longest)
		}
		time.Sleep(2 * time.Millisecond) // the processes announce nothing to this one
	}
	return time.Since(began)
}

func (n *flockNode) ready() bool {
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", n.http))
	if err != nil {
		return false
	}
	defer response.Body.Close()
	var answer control.Readiness
	return json.NewDecoder(response.Body).Decode(&answer) == nil && answer.Ready
}

func (n *flockNode) ring(t *testing.T) *ring.Ring {
	t.Helper()
	c := api.NewClient(fmt.Sprintf("127.0.0.1:%d", n.ctl), nil, mtls.ClientOptions{})
	defer c.Close()
	r, err := c.Ring(t.Context(), nil)
	if err != nil {
		return nil
	}
	return r
}

// state is what a node says of another; "" when it is not in the ring.
func (n *flockNode) state(t *testing.T, name string) string {
	t.Helper()
	r := n.ring(t)
	if r == nil {
		return "unknown"
	}
	for _, m := range r.Members() {
		if m.Name == name {
			return m.State.String()
		}
	}
	return ""
}

// replicated waits until what was written before is with followers: no range is without
// one, and their word is young enough to cover it. How much followers have applied would
// not tell, for some things they apply twice.
func (f *flock) replicated() {
	f.t.Helper()
	written := time.Now()
	f.until("every write is with a follower", time.Minute, func() bool {
		for _, n := range f.nodes {
			if n.metric("gannet_replication_degraded_share") != 0 || n.metric("gannet_replication_sync_remaining_seconds") <= 0 {
				return false
			}
		}
		return time.Since(written) > 10*f.lag()
	})
}

// lag is the greatest age of a write that no follower has, while acknowledgements are
// not marked degraded.
func (f *flock) lag() time.Duration {
	cfg := replication.Config{}
	return time.Duration(cfg.WithDefaults().LagNanos)
}

// ledBy makes a key that a member leads.
func ledBy(t *testing.T, r *ring.Ring, name, tag string) string {
	t.Helper()
	for i := range 100000 {
		key := fmt.Sprintf("%s-%d", tag, i)
		if holders := holdersOf(r, key).Holders; len(holders) > 0 && holders[0].Name == name {
			return key
		}
	}
	t.Fatalf("%s leads nothing", name)
	return ""
}

func (f *flock) client(n *flockNode) *client.Client {
	f.t.Helper()
	c, err := client.Open([]string{fmt.Sprintf("127.0.0.1:%d", n.data)}, client.WithTimeout(20*time.Second))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestAClusterOutlivesItsNodes: three nodes make a ring, replicate, lose one, go on,
// get it back, and let one leave.
func TestAClusterOutlivesItsNodes(t *testing.T) {
	f := newFlock(t, 3)
	for _, n := range f.nodes {
		f.start(n)
	}
	for _, n := range f.nodes {
		f.until(n.name+" is ready", time.Minute, n.ready)
	}
	first, victim, last := f.nodes[0], f.nodes[1], f.nodes[2]
	r := first.ring(t)
	c := f.client(first)
	ctx := context.Background()
	const items = 300
	for i := range items {
		key := fmt.Sprint("key-", i)
		if _, err := c.Put(ctx, key, []byte(key)); err != nil {
			t.Fatalf("put %s: %v", key, err)
		}
	}
	f.replicated()
	probe := ledBy(t, r, victim.name, "probe")

	victim.kill()
	took := f.until("writes of what the killed node led", time.Minute, func() bool {
		_, err := c.Put(ctx, probe, []byte("again"))
		return err == nil
	})
	t.Logf("writes were back after %s", took.Round(time.Millisecond))
	f.until("the killed node is down", time.Minute, func() bool { return last.state(t, victim.name) == "down" })
	for i := range items {
		key := fmt.Sprint("key-", i)
		if item, err := c.Get(ctx, key); err != nil || string(item.Value) != key {
			t.Fatalf("%s after the failover: %v", key, err)
		}
	}

	f.start(victim)
	f.until("the killed node is active again", time.Minute, func() bool { return first.state(t, victim.name) == "active" })
	f.until("the killed node is ready again", time.Minute, victim.ready)
	if item, err := c.Get(ctx, probe); err != nil || string(item.Value) != "again" {
		t.Fatalf("the write of meanwhile: %v", err)
	}

	drained := api.NewClient(fmt.Sprintf("127.0.0.1:%d", first.ctl), nil, mtls.ClientOptions{})
	defer drained.Close()
	if err := drained.Drain(ctx, last.name); err != nil {
		t.Fatal(err)
	}
	f.until("the drained node is out of the ring", time.Minute, func() bool { return first.state(t, last.name) == "" })
	for i := range items {
		key := fmt.Sprint("key-", i)
		if _, err := c.Get(ctx, key); err != nil {
			t.Fatalf("%s after a node was drained: %v", key, err)
		}
	}
	if err := drained.Drain(ctx, "nobody"); err == nil || !strings.Contains(err.Error(), "no node of this name") {
		t.Fatalf("draining a node that is not there: %v", err)
	}
}

// TestWritesGoOnWithoutEtcd: the members grant each other their fences; a node that is
// killed meanwhile is missed by nobody's reads.
func TestWritesGoOnWithoutEtcd(t *testing.T) {
	f := newFlock(t, 3)
	for _, n := range f.nodes {
		f.start(n)
	}
	for _, n := range f.nodes {
		f.until(n.name+" is ready", time.Minute, n.ready)
	}
	r, c, ctx := f.nodes[0].ring(t), f.client(f.nodes[0]), context.Background()
	keys := map[string]string{}
	for _, n := range f.nodes {
		keys[n.name] = ledBy(t, r, n.name, "without-etcd")
		if _, err := c.Put(ctx, keys[n.name], []byte("before")); err != nil {
			t.Fatal(err)
		}
	}
	f.replicated()
	f.until("gossip knows everybody", time.Minute, func() bool {
		for _, n := range f.nodes {
			if n.metric("gannet_gossip_members") != 2 {
				return false
			}
		}
		return true
	})
	f.etcd.Close()
	// Far longer than a fence that etcd renewed last can stand.
	for began := time.Now(); time.Since(began) < 2*time.Second; {
		for name, key := range keys {
			if _, err := c.Put(ctx, key, []byte("meanwhile")); err != nil {
				t.Fatalf("a write that %s leads, %s after etcd ended: %v", name, time.Since(began), err)
			}
		}
	}
	f.nodes[1].kill()
	if item, err := c.Get(ctx, keys[f.nodes[1].name]); err != nil || string(item.Value) != "meanwhile" {
		t.Fatalf("a read of what the killed node led: %v", err)
	}
	if _, err := c.Put(ctx, keys[f.nodes[2].name], []byte("after")); err != nil {
		t.Fatalf("a write beside the killed node: %v", err)
	}
	if epoch := f.nodes[0].ring(t).Epoch(); epoch != r.Epoch() {
		t.Fatalf("the ring went from epoch %d to %d without etcd", r.Epoch(), epoch)
	}
}

// metric reads a metric without labels, -1 when it is not there.
func (n *flockNode) metric(name string) float64 {
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", n.http))
	if err != nil {
		return -1
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return -1
			}
			return value
		}
	}
	return -1
}

package bench

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gannet/test/lab"
)

func newLab(t *testing.T, c lab.Config) *lab.Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root, for network namespaces and XDP")
	}
	l, err := lab.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// runIn runs in the lab's client namespace. Sockets and programs stay where they
// were opened, so that only the opening has to be done there.
func runIn(t *testing.T, l *lab.Lab, o Options) *Result {
	t.Helper()
	var s *session
	err := l.Client.Do(func() (err error) {
		s, err = open(context.Background(), o)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	if s.opt.Preload {
		if err := s.preload(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.offer(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	check(t, r)
	return r
}

// echoes starts a server in the lab that sends datagrams back.
func echoes(t *testing.T, l *lab.Lab, port int) {
	t.Helper()
	var conn *net.UDPConn
	err := l.Server.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(lab.ServerAddr), Port: port})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
}

func TestXDPEcho(t *testing.T) {
	l := newLab(t, lab.Config{})
	echoes(t, l, 7777)
	for _, size := range []Fixed{16, 58, 1400} {
		r := runIn(t, l, Options{
			Protocol: Echo, Datapath: XDP, Interface: lab.ClientDevice, Server: netip.MustParseAddrPort(lab.ServerAddr + ":7777"),
			InFlight: 32, ValueSize: size, Connections: 3, Duration: 200 * time.Millisecond, Timeout: 5 * time.Second,
		})
		if r.Lost != 0 || r.Corrupt != 0 || r.Hits == 0 {
			t.Errorf("%d bytes: %+v", size, r)
		}
		t.Logf("%d bytes: %.0f/s %+v", size, r.Rate, r.Threads)
	}
}

// TestXDPJumbo: packets longer than a frame come as a chain of frames.
func TestXDPJumbo(t *testing.T) {
	l := newLab(t, lab.Config{MTU: 9000})
	echoes(t, l, 7777)
	r := runIn(t, l, Options{
		Protocol: Echo, Datapath: XDP, Interface: lab.ClientDevice, Server: netip.MustParseAddrPort(lab.ServerAddr + ":7777"),
		InFlight: 16, ValueSize: Fixed(3900), Duration: 200 * time.Millisecond, Timeout: 5 * time.Second,
	})
	if r.Lost != 0 || r.Corrupt != 0 || r.Hits == 0 {
		t.Errorf("%+v", r)
	}
}

// startNode starts a real node in the lab.
func startNode(t *testing.T, l *lab.Lab, c lab.NodeConfig) {
	t.Helper()
	c.Bin = filepath.Join(t.TempDir(), "bin")
	build := exec.Command("go", "build", "-o", c.Bin+"/", "gannet/cmd/gannet", "gannet/cmd/gannet-dataplane")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.Memory = 64 << 20
	n, err := l.StartNode(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	})
}

func nodeOptions() Options {
	return Options{
		Datapath: XDP, Interface: lab.ClientDevice, Server: netip.MustParseAddrPort(lab.ServerAddr + ":9800"),
		Threads: 2, InFlight: 64, Keys: 5000, Preload: true, WriteRatio: 0.05, Duration: 300 * time.Millisecond, Timeout: 300 * time.Millisecond, Seed: 3,
	}
}

func TestXDPAgainstNode(t *testing.T) {
	l := newLab(t, lab.Config{Queues: 2})
	// A shard that the machine starves for longer than that loses what is on its way to it.
	startNode(t, l, lab.NodeConfig{Datapath: "xdp", Shards: 2, Flags: []string{"--dead-man=5s", "--watchdog=20s"}})
	sizes, err := ParseSizes("list:10:50,1000:45,5000:5")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*Options)
	}{
		{"closed, one key", func(*Options) {}},
		{"closed, 16 keys", func(o *Options) { o.KeysPerRequest, o.WriteRatio = 16, 0 }},
		{"open, long values", func(o *Options) { o.Open, o.Rate, o.ValueSize = true, 5000, sizes }},
		{"four source ports", func(o *Options) { o.Connections = 2 }},
		{"padded, with stages", func(o *Options) { o.PadToReply, o.Stages, o.ValueSize, o.WriteRatio = true, true, Fixed(400), 0 }},
		{"kernel sockets", func(o *Options) { o.Datapath, o.Threads = UDP, 1 }},
	} {
		o := nodeOptions()
		c.change(&o)
		began := time.Now()
		r := runIn(t, l, o)
		// A queue may run over once, but not twice.
		if r.Lost > uint64(o.InFlight) || r.Corrupt != 0 || r.Misses != 0 || r.Hits == 0 || len(r.Errors) != 0 || o.WriteRatio > 0 && r.Stored == 0 {
			t.Errorf("%s: %d lost, %d corrupt, %d misses, %v: %+v", c.name, r.Lost, r.Corrupt, r.Misses, r.Errors, r)
		}
		if o.Stages && (r.Stages == nil || r.Stages.ServedNanos <= 0) {
			t.Errorf("%s: stage times %+v", c.name, r.Stages)
		}
		t.Logf("%s: %v, %.0f/s, p50 %.0f µs, %+v", c.name, time.Since(began), r.Rate, r.LatencyUS.P50, r.Threads)
	}
}

package bench

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// rival starts a server from the system's packages on a free port of loopback.
func rival(t *testing.T, name string, arguments func(port string) []string) netip.AddrPort {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("missing: %s", name)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().(*net.TCPAddr).AddrPort()
	_ = free.Close()
	cmd := exec.Command(name, arguments(strconv.Itoa(int(addr.Port())))...)
	cmd.Dir = t.TempDir()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", addr.String())
		if err == nil {
			_ = conn.Close()
			return addr
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %v\n%s", name, err, output.String())
		}
		time.Sleep(5 * time.Millisecond) // nothing tells when a process listens
	}
}

func memcachedArguments(port string) []string {
	return []string{"-u", "nobody", "-l", "127.0.0.1", "-p", port, "-U", port, "-t", "1", "-m", "64"}
}

func redisArguments(port string) []string {
	return []string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no"}
}

func rivalOptions(p Protocol, server netip.AddrPort) Options {
	return Options{
		Protocol: p, Server: server, Keys: 500, Preload: true, InFlight: 16, Connections: 4, TTLSeconds: 1000,
		Duration: 150 * time.Millisecond, Timeout: 5 * time.Second, ValueSize: Fixed(100),
	}
}

func TestRivals(t *testing.T) {
	sizes, err := Range(0, 9000)
	if err != nil {
		t.Fatal(err)
	}
	for _, rivalry := range []struct {
		program   string
		arguments func(string) []string
		protocols []Protocol
	}{
		{"memcached", memcachedArguments, []Protocol{MemcachedUDP, MemcachedTCP}},
		{"redis-server", redisArguments, []Protocol{Redis}},
	} {
		t.Run(rivalry.program, func(t *testing.T) {
			server := rival(t, rivalry.program, rivalry.arguments)
			for _, p := range rivalry.protocols {
				for i, change := range []func(*Options){
					func(o *Options) { o.WriteRatio = 0.2 },
					func(o *Options) { o.KeysPerRequest = 16; o.ZipfS = 1.1 },
					func(o *Options) { o.Open, o.Rate, o.ValueSize = true, 3000, sizes },
					func(o *Options) { o.Threads, o.Connections, o.KeysPerRequest = 2, 2, 7 },
				} {
					o := rivalOptions(p, server)
					change(&o)
					name := fmt.Sprintf("%s, case %d", p, i)
					r := run(t, o)
					if r.Lost != 0 || r.Corrupt != 0 || r.Misses != 0 || len(r.Errors) != 0 || r.Hits == 0 || o.WriteRatio > 0 && r.Stored == 0 {
						t.Errorf("%s: %+v", name, r)
					}
				}
			}
		})
	}
}

// TestRivalsWithoutTheKeys: what was never stored misses, also in the middle of a
// multi-get.
func TestRivalsWithoutTheKeys(t *testing.T) {
	memcached := rival(t, "memcached", memcachedArguments)
	redis := rival(t, "redis-server", redisArguments)
	for p, server := range map[Protocol]netip.AddrPort{MemcachedUDP: memcached, MemcachedTCP: memcached, Redis: redis} {
		o := rivalOptions(p, server)
		o.Keys = 50
		if p == MemcachedUDP {
			run(t, o) // stores the first 50, for TCP as well
		} else if p == Redis {
			run(t, o)
		}
		o.Keys, o.Preload, o.KeysPerRequest = 100, false, 8
		r := run(t, o)
		if r.Hits == 0 && p != MemcachedTCP || r.Misses == 0 || r.Corrupt != 0 || len(r.Errors) != 0 || r.Keys != r.Hits+r.Misses {
			t.Errorf("%s: %+v", p, r)
		}
	}
}

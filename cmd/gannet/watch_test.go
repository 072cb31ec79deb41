package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gannet/config"
	"gannet/control/api"
	"gannet/control/gossip"
	"gannet/control/invalidate"
	"gannet/ring"
	"gannet/security/mtls"
)

// A batch of invalidations must fit into a message of gossip.
const _ = uint(gossip.MaxPayload - invalidate.MaxBatchBytes)

// runVerb runs a verb in this process.
func runVerb(signals chan os.Signal, args ...string) (code int, stdout, stderr string) {
	var out, problems bytes.Buffer
	code = run(&Env{Args: args, Program: "gannet", Stdout: &out, Stderr: &problems, Signals: signals})
	return code, out.String(), problems.String()
}

// startControlPort serves a hub on a port, which the function returns.
func startControlPort(t *testing.T, store *mtls.Store) (addr string, hub *invalidate.Hub) {
	t.Helper()
	hub = invalidate.NewHub(invalidate.Config{
		Origin: 1, Incarnation: 1, Timing: invalidate.DefaultTiming(), Spread: func([]byte) {}, Peers: func() int { return 0 },
	})
	server, err := api.Listen(api.Config{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), TLS: store, Hub: hub, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server.Addr(), hub
}

// whenWatched calls do as soon as somebody is subscribed.
func whenWatched(t *testing.T, hub *invalidate.Hub, do func()) {
	t.Helper()
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for hub.Stats().Subscribers == 0 {
			select {
			case <-tick.C:
			case <-t.Context().Done():
				return
			}
		}
		do()
	}()
}

func TestWatchInvalidations(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	if code, out, problems := runVerb(nil, "certs", "dev", "--out", dir, "--nodes", "2"); code != 0 || !strings.Contains(out, "gannet://node/node-2") {
		t.Fatalf("%d, %s%s", code, out, problems)
	}
	store, err := mtls.Open(mtls.DevFiles(dir, "node-1"), mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client := mtls.DevFiles(dir, "client")
	secured := []string{"--tls-cert", client.Cert, "--tls-key", client.Key, "--tls-ca", client.CA, "--tls-name", "node-1"}
	for name, test := range map[string]struct {
		store *mtls.Store
		flags []string
	}{"plain": {}, "secure": {store, secured}} {
		t.Run(name, func(t *testing.T) {
			addr, hub := startControlPort(t, test.store)
			announce := func() {
				hub.Announce(0, []invalidate.Write{{Key: []byte("user_123"), Version: 7}, {Key: []byte{0, 0xff}, Version: 8}})
			}
			whenWatched(t, hub, announce)
			args := append([]string{"watch", "invalidations", "--server", addr, "--count", "2"}, test.flags...)
			code, out, problems := runVerb(nil, args...)
			want := "# drop everything: subscribed\n# drop what 0000000000000001 led: covered\n" +
				"user_123\t7\t0000000000000001#1\n\"\\x00\\xff\"\t8\t0000000000000001#2\n"
			if code != 0 || out != want {
				t.Errorf("%d, %q, %s", code, out, problems)
			}
		})
	}
}

func TestWatchAsJSON(t *testing.T) {
	addr, hub := startControlPort(t, nil)
	whenWatched(t, hub, func() { hub.Announce(0, []invalidate.Write{{Key: []byte("k"), Version: 7}}) })
	code, out, problems := runVerb(nil, "watch", "invalidations", "-s", addr, "--count", "1", "-o", "json")
	if code != 0 || !strings.HasSuffix(out, `{"action":"invalidate","key":"k","version":7,"origin":"0000000000000001","sequence":1}`+"\n") {
		t.Errorf("%d, %q, %s", code, out, problems)
	}
}

func TestWatchEnds(t *testing.T) {
	addr, hub := startControlPort(t, nil)
	signals := make(chan os.Signal, 1)
	whenWatched(t, hub, func() { signals <- unix.SIGINT })
	if code, _, problems := runVerb(signals, "watch", "invalidations", "-s", addr); code != 0 || problems != "" {
		t.Errorf("after a signal: %d, %s", code, problems)
	}
	if code, _, problems := runVerb(nil, "watch", "invalidations", "-s", "127.0.0.1:1"); code != exitError || !strings.Contains(problems, "connection refused") {
		t.Errorf("nobody there: %d, %s", code, problems)
	}
	if code, _, problems := runVerb(nil, "watch", "invalidations", "-s", addr, "--tls-cert", "x"); code != exitError || !strings.Contains(problems, "without tls-key") {
		t.Errorf("half a set of files: %d, %s", code, problems)
	}
}

// TestReplicasLimit holds the configuration, which may not look into the ring, to it.
func TestReplicasLimit(t *testing.T) {
	most := config.Input{Flags: map[string]string{"replicas": "8"}}
	if _, err := config.Load(most); err != nil || ring.MaxReplicas != 8 {
		t.Errorf("the ring takes %d replicas, the configuration says otherwise: %v", ring.MaxReplicas, err)
	}
}

package main

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"

	"gannet/control/api"
)

func TestHot(t *testing.T) {
	keys := []api.HotKey{{Key: []byte("front page"), Requests: 90_000, InKernel: true, KernelHits: 11, GrantMillis: 2600, Grants: 5}, {Key: []byte{0xff, '\n'}, Requests: 7}}
	server, err := api.Listen(api.Config{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Log: slog.New(slog.DiscardHandler),
		Hot: func() []api.HotKey { return keys },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	code, out, problems := runVerb(make(chan os.Signal), "hot", "-s", server.Addr())
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 3 || !strings.HasPrefix(lines[1], "90000 ") || !strings.HasSuffix(lines[1], "front page") ||
		!strings.Contains(lines[1], " shard, kernel (11 GETs), L1 (2.6s, 5 grants) ") || !strings.Contains(lines[2], " shard ") {
		t.Errorf("code %d, %q, %s", code, out, problems)
	}
	if code, out, _ = runVerb(make(chan os.Signal), "hot", "-s", server.Addr(), "-n", "1", "-o", "json"); code != 0 ||
		!strings.Contains(out, `"front page"`) || !strings.Contains(out, `"l1_grants":5`) || strings.Contains(out, "base64") {
		t.Errorf("json: code %d, %q", code, out)
	}
	keys = nil
	if code, out, _ = runVerb(make(chan os.Signal), "hot", "-s", server.Addr()); code != 1 || out != "" {
		t.Errorf("nothing hot: code %d, %q", code, out)
	}
}

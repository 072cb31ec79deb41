package control

import (
	"net"
	"net/netip"
	"testing"

	"gannet/config"
)

// TestWhoHearsIsReady: a node that starts again is gossiped to from the moment on at
// which it listens. All that takes a message is there before.
func TestWhoHearsIsReady(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := netip.MustParseAddrPort(taken.Addr().String())
	self := testSelf
	self.Addr = netip.MustParseAddrPort("127.0.0.1:9800")
	cfg := &config.Config{NodeID: self.ID, NodeName: "a", DataDir: t.TempDir(), Listen: at.Addr(), ControlPort: at.Port(), Seeds: []string{"127.0.0.1:1"}}
	c, err := newCluster(cfg, NewLink(cfg.DataDir, quiet), self, quiet)
	if err == nil {
		c.close()
		t.Fatal("it listens at a port that is taken")
	}
	if c.driver == nil {
		t.Error("it listened before it could take a message")
	}
}

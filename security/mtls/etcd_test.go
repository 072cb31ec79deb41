package mtls_test

import (
	"context"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"gannet/security/mtls"
)

// startEtcd runs an embedded server on the files of node-1.
func startEtcd(t *testing.T, dir string) string {
	t.Helper()
	files := mtls.DevFiles(dir, "node-1")
	cfg := embed.NewConfig()
	cfg.Dir, cfg.Name = t.TempDir(), "e"
	any := url.URL{Scheme: "https", Host: "127.0.0.1:0"}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{any}, []url.URL{any}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{any}, []url.URL{any}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.ClientTLSInfo = transport.TLSInfo{
		CertFile: files.Cert, KeyFile: files.Key, TrustedCAFile: files.CA, CRLFile: files.CRL, ClientCertAuth: true,
	}
	cfg.PeerTLSInfo = cfg.ClientTLSInfo
	cfg.TlsMinVersion = "TLS1.3"
	cfg.EnableGRPCGateway = false
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd is not ready")
	}
	return server.Clients[0].Addr().String()
}

// TestEtcd connects to an etcd in the two ways there are: with the configuration, and
// with connections of the store's own, which are on its list.
func TestEtcd(t *testing.T) {
	dir := t.TempDir()
	err := mtls.DevCA(dir, mtls.DevOptions{
		NodeNames: []string{"node-1", "node-2"}, Hosts: []string{"127.0.0.1"}, ValidFor: time.Hour, Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	addr := startEtcd(t, dir)
	store, err := mtls.Open(mtls.DevFiles(dir, "node-2"), mtls.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dialer := grpc.WithContextDialer(func(ctx context.Context, target string) (net.Conn, error) {
		return store.Dial(ctx, target, mtls.ClientOptions{NextProtos: []string{"h2"}})
	})
	put := func(cfg clientv3.Config) error {
		cfg.Logger = zap.NewNop()
		client, err := clientv3.New(cfg)
		if err != nil {
			return err
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = client.Put(ctx, "k", "v")
		if st := store.Stats(); err == nil && (st.Open == 1) != (cfg.TLS == nil) {
			t.Errorf("%d connections are on the list", st.Open)
		}
		return err
	}
	hosts := mtls.ClientOptions{Hosts: []string{"127.0.0.1"}}
	if err := put(clientv3.Config{Endpoints: []string{"https://" + addr}, TLS: store.ClientConfig(hosts)}); err != nil {
		t.Errorf("with the configuration: %v", err)
	}
	if err := put(clientv3.Config{Endpoints: []string{"http://" + addr}, DialOptions: []grpc.DialOption{dialer}}); err != nil {
		t.Errorf("with connections of the store: %v", err)
	}
	if err := mtls.DevRevoke(dir, time.Now(), "node-2"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := store.Dial(ctx, addr, mtls.ClientOptions{NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 64)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("revoked, etcd goes on: %v", err)
	}
}

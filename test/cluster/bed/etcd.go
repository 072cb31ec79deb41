package bed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"

	"gannet/security/mtls"
)

// envEtcd holds what kind of etcd server the program is to be.
const envEtcd = "BED_ETCD"

// etcdSpec describes a server to the process that becomes it.
type etcdSpec struct {
	Name, Dir, Client, Peer, Cluster string
	Existing                         bool // it was a member before
	Files                            mtls.Files
}

// Etcd is one etcd server: this program, started again in a namespace of its own.
type Etcd struct {
	Name, Addr string
	URL        string // for clients
	bed        *Bed
	spec       etcdSpec
	place      *place
	process    *process // nil before the first start
}

func (b *Bed) etcdAddr(i int) string { return fmt.Sprintf("10.79.%d.%d", b.number, 2+i) }

func (b *Bed) startEtcds(ctx context.Context) error {
	scheme := "http"
	var files mtls.Files
	if b.cfg.Secure {
		scheme, files = "https", mtls.DevFiles(b.Certs, "etcd")
		files.CRL = "" // etcd reads DER only
	}
	var cluster []string
	for i := range b.cfg.Etcds {
		e := &Etcd{Name: fmt.Sprintf("e%d", i+1), Addr: b.etcdAddr(i), bed: b}
		e.URL = scheme + "://" + e.Addr + ":2379"
		e.spec = etcdSpec{Name: e.Name, Dir: b.path(e.Name), Client: e.URL, Peer: scheme + "://" + e.Addr + ":2380", Files: files}
		cluster = append(cluster, e.Name+"="+e.spec.Peer)
		var err error
		if e.place, err = newPlace(b.prefix + "-" + e.Name); err != nil {
			return err
		}
		b.etcds = append(b.etcds, e)
		if err := e.place.plug(fmt.Sprintf("b%d%s", b.number, e.Name), e.Addr); err != nil {
			return err
		}
	}
	for _, e := range b.etcds {
		e.spec.Cluster = strings.Join(cluster, ",")
		if err := e.launch(); err != nil {
			return err
		}
	}
	for _, e := range b.etcds {
		if err := e.awaitHealthy(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Endpoints are the URLs of all servers.
func (b *Bed) Endpoints() []string {
	var urls []string
	for _, e := range b.etcds {
		urls = append(urls, e.URL)
	}
	return urls
}

// EtcdClient opens a client of the servers, as a node's would be.
func (b *Bed) EtcdClient() (*clientv3.Client, error) {
	cfg := clientv3.Config{Endpoints: b.Endpoints(), DialTimeout: 2 * time.Second}
	if b.cfg.Secure {
		files := mtls.DevFiles(b.Certs, "etcd")
		info := transport.TLSInfo{CertFile: files.Cert, KeyFile: files.Key, TrustedCAFile: files.CA}
		var err error
		if cfg.TLS, err = info.ClientConfig(); err != nil {
			return nil, fmt.Errorf("bed: %w", err)
		}
	}
	return clientv3.New(cfg)
}

// Start starts the server again with what it had, and returns when it answers: with a
// majority of the others away it may not.
func (e *Etcd) Start(ctx context.Context) error {
	if err := e.launch(); err != nil {
		return err
	}
	return e.awaitHealthy(ctx)
}

// Launch starts the server again and waits for nothing.
func (e *Etcd) Launch() error { return e.launch() }

func (e *Etcd) launch() error {
	spec, err := json.Marshal(e.spec)
	if err != nil {
		return err
	}
	e.spec.Existing = true
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envEtcd+"="+string(spec))
	e.process, err = startIn(e.place, cmd, e.bed.path(e.Name+".log"))
	return err
}

func (e *Etcd) awaitHealthy(ctx context.Context) error {
	client := &http.Client{Timeout: time.Second}
	target := e.URL + "/health"
	if e.bed.cfg.Secure {
		files := mtls.DevFiles(e.bed.Certs, "etcd")
		info := transport.TLSInfo{CertFile: files.Cert, KeyFile: files.Key, TrustedCAFile: files.CA}
		tlsConfig, err := info.ClientConfig()
		if err != nil {
			return fmt.Errorf("bed: %w", err)
		}
		client.Transport = &http.Transport{TLSClientConfig: tlsConfig}
		defer client.CloseIdleConnections()
	}
	return e.bed.await(ctx, 30*time.Second, "etcd "+e.Name+" answers", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, tail(e.process.log))
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", response.StatusCode)
		}
		return nil
	})
}

// Kill ends the server at once.
func (e *Etcd) Kill() error { return e.place.killAll() }

// Stop ends the server in order.
func (e *Etcd) Stop() error { return e.process.stop() }

// Pause stops the server where it is.
func (e *Etcd) Pause() error { return e.place.signal(unix.SIGSTOP) }

// Resume lets it go on.
func (e *Etcd) Resume() error { return e.place.signal(unix.SIGCONT) }

// Cut takes the server off the network.
func (e *Etcd) Cut() error {
	return outside.wire.Do(func() error { return setMaster(e.place.port, false) })
}

// Heal puts it back.
func (e *Etcd) Heal() error {
	return outside.wire.Do(func() error { return setMaster(e.place.port, true) })
}

func (e *Etcd) end() { _ = e.place.killAll() }

// runEtcd is the program as an etcd server.
func runEtcd(encoded string) error {
	var spec etcdSpec
	if err := json.Unmarshal([]byte(encoded), &spec); err != nil {
		return err
	}
	cfg, err := spec.config()
	if err != nil {
		return err
	}
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return fmt.Errorf("etcd %s: %w", spec.Name, err)
	}
	defer server.Close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM)
	select {
	case <-signals:
		return nil
	case err := <-server.Err():
		return err
	}
}

func (s *etcdSpec) config() (*embed.Config, error) {
	client, err := url.Parse(s.Client)
	if err != nil {
		return nil, err
	}
	peer, err := url.Parse(s.Peer)
	if err != nil {
		return nil, err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.LogLevel = s.Name, s.Dir, "error"
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	cfg.InitialCluster = s.Cluster
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = "revision", "1000"
	cfg.UnsafeNoFsync = true // its disk is memory
	if s.Existing {
		cfg.ClusterState = embed.ClusterStateFlagExisting
	}
	if client.Scheme == "https" {
		info := transport.TLSInfo{CertFile: s.Files.Cert, KeyFile: s.Files.Key, TrustedCAFile: s.Files.CA, ClientCertAuth: true}
		cfg.ClientTLSInfo, cfg.PeerTLSInfo = info, info
	}
	return cfg, nil
}

// errNotStarted is a node or server that has no process.
var errNotStarted = errors.New("bed: it was not started")

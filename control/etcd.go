package control

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"gannet/security/mtls"
)

// etcdStartLongest is how long an embedded server may take to elect itself.
const etcdStartLongest = 30 * time.Second

// Etcd is an etcd server inside this process, for one node on its own.
type Etcd struct {
	server *embed.Etcd
	log    *etcdLog
	closed sync.Once
	// ClientURL is where it listens; a port 0 asked for has become a real one.
	ClientURL string
}

// StartEtcd starts a single-member server and waits until it serves. URLs of https
// take the files, and let in who has a certificate of their authority.
func StartEtcd(ctx context.Context, name, dir, clientURL, peerURL string, files mtls.Files, log *slog.Logger) (*Etcd, error) {
	cfg, err := etcdConfig(name, dir, clientURL, peerURL)
	if err != nil {
		return nil, err
	}
	if cfg.ListenClientUrls[0].Scheme == "https" {
		cfg.ClientTLSInfo = etcdTLS(files)
	}
	if cfg.ListenPeerUrls[0].Scheme == "https" {
		cfg.PeerTLSInfo = etcdTLS(files)
	}
	core := &etcdLog{log: log.With("from", "etcd"), closing: &atomic.Bool{}}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(core))
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("start the embedded etcd (clients %s, peers %s, data in %s): %w", clientURL, peerURL, dir, err)
	}
	e := &Etcd{server: server, log: core, ClientURL: cfg.ListenClientUrls[0].Scheme + "://" + server.Clients[0].Addr().String()}
	select {
	case <-server.Server.ReadyNotify():
		return e, nil
	case err := <-server.Err():
		e.Close()
		return nil, fmt.Errorf("embedded etcd: %w", err)
	case <-ctx.Done():
		e.Close()
		return nil, context.Cause(ctx)
	case <-time.After(etcdStartLongest):
		e.Close()
		return nil, fmt.Errorf("the embedded etcd was not ready within %s; look at the disk behind %s, or delete that directory if its data is damaged", etcdStartLongest, dir)
	}
}

func etcdConfig(name, dir, clientURL, peerURL string) (*embed.Config, error) {
	client, err := url.Parse(clientURL)
	if err != nil {
		return nil, fmt.Errorf("etcd-client-url: %w; write http://HOST:PORT", err)
	}
	peer, err := url.Parse(peerURL)
	if err != nil {
		return nil, fmt.Errorf("etcd-peer-url: %w; write http://HOST:PORT", err)
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = name, dir
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	// A port 0 goes to the kernel as it is, which finds a free one without a race. Alone,
	// nobody needs the real one: the client's is read from the listener.
	cfg.InitialCluster = cfg.InitialClusterFromName(name)
	// Alone there is no one to wait for: elect fast. A tick costs idle time.
	cfg.TickMs, cfg.ElectionMs = 100, 500
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = "revision", "1000"
	cfg.EnableGRPCGateway = false
	return cfg, nil
}

// etcdTLS has both sides show certificates. etcd reads revocation lists in DER only.
func etcdTLS(files mtls.Files) transport.TLSInfo {
	info := transport.TLSInfo{CertFile: files.Cert, KeyFile: files.Key, TrustedCAFile: files.CA, ClientCertAuth: true}
	if list, err := os.ReadFile(files.CRL); err == nil && len(list) > 0 && list[0] == derSequence {
		info.CRLFile = files.CRL
	}
	return info
}

const derSequence = 0x30

// Close stops the server. Closing it again does nothing.
func (e *Etcd) Close() {
	e.closed.Do(func() {
		e.log.closing.Store(true)
		e.server.Close()
	})
}

// Failed delivers an error that ended the server.
func (e *Etcd) Failed() <-chan error { return e.server.Err() }

// etcdLog puts etcd's log into ours, two levels down: its warnings are the daily life
// of a consensus protocol, it reports errors while it starts and closes as it should,
// and what really ends it arrives at Failed. Errors are shown at level info, the rest
// at debug.
type etcdLog struct {
	log     *slog.Logger
	closing *atomic.Bool
	fields  []zapcore.Field
}

func (l *etcdLog) Enabled(level zapcore.Level) bool {
	return level >= zapcore.ErrorLevel && !l.closing.Load() || l.log.Enabled(context.Background(), slog.LevelDebug)
}

func (l *etcdLog) With(fields []zapcore.Field) zapcore.Core {
	return &etcdLog{log: l.log, closing: l.closing, fields: append(l.fields[:len(l.fields):len(l.fields)], fields...)}
}

func (l *etcdLog) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if l.Enabled(entry.Level) {
		return checked.AddCore(entry, l)
	}
	return checked
}

func (l *etcdLog) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	encoder := zapcore.NewMapObjectEncoder()
	for _, f := range append(l.fields[:len(l.fields):len(l.fields)], fields...) {
		f.AddTo(encoder)
	}
	args := make([]any, 0, 2*len(encoder.Fields))
	for k, v := range encoder.Fields {
		args = append(args, k, v)
	}
	level := slog.LevelDebug
	if entry.Level >= zapcore.ErrorLevel && !l.closing.Load() {
		level = slog.LevelInfo
	}
	l.log.Log(context.Background(), level, entry.Message, args...)
	return nil
}

func (l *etcdLog) Sync() error { return nil }

package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"gannet/client"
	"gannet/security/mtls"
)

// Cache is what the gateway asks of a client. *client.Client is one.
type Cache interface {
	Get(ctx context.Context, key string, opts ...client.GetOption) (client.Item, error)
	GetMulti(ctx context.Context, keys []string, opts ...client.GetOption) ([]client.Result, error)
	Put(ctx context.Context, key string, value []byte, opts ...client.WriteOption) (client.Version, error)
	Add(ctx context.Context, key string, value []byte, opts ...client.WriteOption) (client.Version, error)
	Replace(ctx context.Context, key string, value []byte, opts ...client.WriteOption) (client.Version, error)
	CompareAndSwap(ctx context.Context, key string, value []byte, old client.Version, opts ...client.WriteOption) (client.Version, error)
	Delete(ctx context.Context, key string) error
	Limits(ctx context.Context) (client.Limits, error)
}

// Defaults of Config.
const (
	DefaultListen      = "127.0.0.1:9744"
	DefaultMaxInFlight = 256
)

// The times that bound what a slow or silent peer can hold. A write includes the
// reading of the request before it.
const (
	readHeaderLongest = 5 * time.Second
	readLongest       = 30 * time.Second
	writeLongest      = 60 * time.Second
	idleLongest       = 2 * time.Minute
	drainLongest      = 10 * time.Second
	maxHeaderBytes    = 16 << 10
)

// Config describes a gateway.
type Config struct {
	// Cache is asked for everything; the caller closes it after Run.
	Cache Cache
	// Listen is where HTTP is served; port 0 takes any free one.
	Listen string
	// Admin is where /metrics is served; empty means nowhere.
	Admin string
	// TLS makes the gateway speak HTTPS. The zero value means plain HTTP.
	TLS TLSFiles
	// MaxInFlight bounds the requests that are served at once, and with them the
	// memory: each may hold a value twice over. 0 means DefaultMaxInFlight.
	MaxInFlight int
	Log         *slog.Logger
}

// Gateway is a running, or about to run, HTTP server in front of a cache.
type Gateway struct {
	cache    Cache
	log      *slog.Logger
	metrics  *metrics
	slots    chan struct{} // one for each request in flight
	tls      *mtls.Store   // nil for plain HTTP
	listener net.Listener
	server   *http.Server
	admin    *adminPort // nil when not asked for
}

// New opens the gateway's ports and reads its certificates. Run serves; Close
// takes back a gateway that was never run.
func New(cfg Config) (*Gateway, error) {
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = DefaultMaxInFlight
	}
	if cfg.MaxInFlight < 0 {
		return nil, fmt.Errorf("gateway: %d requests in flight: give 1 or more", cfg.MaxInFlight)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{
		cache: cfg.Cache, log: cfg.Log, metrics: newMetrics(), slots: make(chan struct{}, cfg.MaxInFlight),
	}
	g.server = newServer(g, cfg.Log)
	if err := g.open(&cfg); err != nil {
		g.Close()
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return g, nil
}

// newServer is an HTTP server on which nobody can wait for ever.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderLongest,
		ReadTimeout:       readLongest,
		WriteTimeout:      writeLongest,
		IdleTimeout:       idleLongest,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func (g *Gateway) open(cfg *Config) (err error) {
	if cfg.TLS != (TLSFiles{}) {
		if g.tls, err = openTLS(cfg.TLS, g.log); err != nil {
			return err
		}
		g.metrics.observeTLS(g.tls)
	}
	if g.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return fmt.Errorf("REST port (choose another with --listen, port 0 for any free one): %w", err)
	}
	if cfg.TLS.ClientCA == "" && !isLoopback(g.listener.Addr()) {
		g.log.Warn("anybody who reaches this address can read and write the cache; ask for client certificates with --tls-client-ca",
			"listen", g.Addr())
	}
	if cfg.Admin == "" {
		return nil
	}
	g.admin, err = openAdmin(cfg.Admin, g.metrics, g.log)
	return err
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Addr is the address of the REST port.
func (g *Gateway) Addr() string { return g.listener.Addr().String() }

// URL is the REST port as a URL without a path.
func (g *Gateway) URL() string {
	if g.tls != nil {
		return "https://" + g.Addr()
	}
	return "http://" + g.Addr()
}

// AdminAddr is the address of the admin port, empty when there is none.
func (g *Gateway) AdminAddr() string {
	if g.admin == nil {
		return ""
	}
	return g.admin.listener.Addr().String()
}

// ReloadTLS reads the certificate files now instead of at the next look, and says
// whether they were other ones. Without TLS there is nothing to read.
func (g *Gateway) ReloadTLS() (changed bool, err error) {
	if g.tls == nil {
		return false, nil
	}
	changed, err = g.tls.Refresh()
	g.tls.Sweep()
	return changed, err
}

// Run serves until the context ends. Then it takes no more connections, lets
// requests in flight finish, and cuts off those that take too long for it.
func (g *Gateway) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(g.serve)
	if g.admin != nil {
		group.Go(g.admin.serve)
	}
	if g.tls != nil {
		group.Go(func() error { return g.tls.Run(ctx) })
	}
	group.Go(func() error {
		<-ctx.Done()
		return g.shutdown()
	})
	return group.Wait()
}

func (g *Gateway) serve() error {
	listener := g.listener
	if g.tls != nil {
		g.server.TLSConfig = &tls.Config{NextProtos: nextProtos} // says that HTTP/2 may come
		listener = g.tls.Listen(listener, mtls.ServerOptions{NextProtos: nextProtos, HTTP: true})
	}
	if err := g.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("REST port: %w", err)
	}
	return nil
}

// shutdown ends the REST port first: metrics can be read while it drains.
func (g *Gateway) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainLongest)
	defer cancel()
	err := g.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests still in flight after %v were cut off: %w", drainLongest, err), g.server.Close())
	}
	if g.admin != nil {
		g.admin.close()
	}
	return err
}

// Close frees the ports of a gateway that was never run.
func (g *Gateway) Close() {
	if g.listener != nil {
		_ = g.listener.Close()
	}
	if g.admin != nil {
		g.admin.close()
	}
}

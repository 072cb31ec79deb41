package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"gannet/control/invalidate"
	"gannet/security/mtls"
)

const (
	maxConnections   = 4096
	headerLongest    = 5 * time.Second
	bodyLongest      = 5 * time.Second
	writeLongest     = 5 * time.Second
	idleLongest      = 2 * time.Minute
	pollLongest      = 30 * time.Second
	closeLongest     = 2 * time.Second
	maxHeaderBytes   = 16 << 10
	maxBodyBytes     = 4 << 10
	protocolOfHTTP   = "http/1.1"
	protocolOfStream = "gannet-replication/1"
)

// Config is what a Server is made of.
type Config struct {
	// Listen is where it listens; port 0: any free one.
	Listen netip.AddrPort
	// TLS verifies whoever connects; nil: everybody may everything.
	TLS *mtls.Store
	// Hub has the invalidations.
	Hub *invalidate.Hub
	// Hot returns the hottest keys, greatest first.
	Hot func() []HotKey
	// Drain begins to take the node of this name out of the ring; "": this one.
	// ErrUnknownNode and ErrNotNow are answered as such.
	Drain func(ctx context.Context, node string) error
	// Replicate has a stream from peer until it returns. It must return when the
	// context ends, which also closes the connection. Without TLS the peer is not known.
	Replicate func(ctx context.Context, conn net.Conn, peer mtls.Identity)
	Log       *slog.Logger

	writeLongest, pollLongest time.Duration // of tests; 0: the constants
}

// Server is the control port of a node.
type Server struct {
	cfg      Config
	inner    net.Listener
	listener net.Listener
	server   http.Server
	ring     rings
	counts   counters
	upgraded sync.WaitGroup
}

// Listen binds the port. Nothing is answered before Run.
func Listen(cfg Config) (*Server, error) {
	if cfg.writeLongest == 0 {
		cfg.writeLongest = writeLongest
	}
	if cfg.pollLongest == 0 {
		cfg.pollLongest = pollLongest
	}
	inner, err := net.Listen("tcp", cfg.Listen.String())
	if err != nil {
		return nil, fmt.Errorf("control port (choose another with --control-port, 0 for any free one): %w", err)
	}
	s := &Server{cfg: cfg, inner: inner, listener: netutil.LimitListener(inner, maxConnections)}
	s.ring.init()
	if cfg.TLS == nil && !cfg.Listen.Addr().IsLoopback() {
		cfg.Log.Warn("the control port is open to everybody who reaches it; set tls-cert, tls-key and tls-ca unless the network is trusted",
			"listen", inner.Addr())
	}
	s.server = http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: headerLongest,
		IdleTimeout:       idleLongest,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.inner.Addr().String() }

// Close lets go of the port of a server that was not run.
func (s *Server) Close() error { return s.inner.Close() }

// Run serves until the context ends.
func (s *Server) Run(ctx context.Context) error {
	if s.cfg.TLS != nil {
		s.listener = s.cfg.TLS.Listen(s.listener, mtls.ServerOptions{
			Roles: []mtls.Role{mtls.RoleNode, mtls.RoleClient, mtls.RoleAdmin}, NextProtos: []string{protocolOfHTTP},
		})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.server.BaseContext = func(net.Listener) context.Context { return ctx }
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.listener) }()
	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("control port: %w", err), s.close(cancel))
	case <-ctx.Done():
		err := s.close(cancel)
		<-served // says that it was closed
		return err
	}
}

// close ends the streams by their context, and gives answers under way a moment.
func (s *Server) close(cancel context.CancelFunc) error {
	cancel()
	ctx, stop := context.WithTimeout(context.Background(), closeLongest)
	defer stop()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	s.upgraded.Wait()
	return err
}

func (s *Server) routes() http.Handler {
	everybody := []mtls.Role{mtls.RoleNode, mtls.RoleClient, mtls.RoleAdmin}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/ring", s.may(s.getRing, everybody...))
	mux.HandleFunc("GET /v1/invalidations", s.may(s.getInvalidations, everybody...))
	mux.HandleFunc("GET /v1/hot", s.may(s.getHot, everybody...))
	mux.HandleFunc("POST /v1/drain", s.may(s.postDrain, mtls.RoleAdmin))
	mux.HandleFunc("POST /v1/replicate", s.may(s.postReplicate, mtls.RoleNode))
	for path, method := range map[string]string{
		"/v1/ring": "GET, HEAD", "/v1/invalidations": "GET, HEAD", "/v1/hot": "GET, HEAD", "/v1/drain": "POST", "/v1/replicate": "POST",
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			s.refuse(w, r, newProblem(http.StatusMethodNotAllowed, "method-not-allowed", "this path takes %s", method).with("Allow", method))
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, newProblem(http.StatusNotFound, "no-such-path", "there are /v1/ring, /v1/invalidations, /v1/hot, /v1/drain and /v1/replicate"))
	})
	return mux
}

// handler answers a request of a peer; of one without TLS nothing is known.
type handler func(w http.ResponseWriter, r *http.Request, peer mtls.Identity) error

// may lets peers of these roles through.
func (s *Server) may(do handler, roles ...mtls.Role) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.counts.requests.Add(1)
		var peer mtls.Identity
		if s.cfg.TLS != nil {
			peer, _ = mtls.IdentityOfState(r.TLS) // the listener lets nobody in without one
			if !slices.Contains(roles, peer.Role) {
				s.cfg.Log.Warn("control port: forbidden", "peer", peer, "method", r.Method, "path", r.URL.Path)
				s.refuse(w, r, newProblem(http.StatusForbidden, "forbidden",
					"%s may not do this; it takes a certificate of the role %s", peer, roles))
				return
			}
		}
		if err := do(w, r, peer); err != nil {
			s.refuse(w, r, err)
		}
	}
}

// bounded gives an ordinary answer its time.
func (s *Server) bounded(w http.ResponseWriter) error {
	return http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.cfg.writeLongest))
}

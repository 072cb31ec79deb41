package mtls

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// LookEvery is how often the files are looked at and open connections verified
// again.
const LookEvery = time.Second

// Options are what a Store is made of, beside its files.
type Options struct {
	Log *slog.Logger
	// Now is the wall clock, which certificates are written in; nil: time.Now.
	Now func() time.Time
}

// Store holds what the files amounted to when they last fitted together, and the
// open connections that rest on it.
type Store struct {
	files   Files
	log     *slog.Logger
	now     func() time.Time
	current atomic.Pointer[material]
	open    registry
	counts  counters

	mu   sync.Mutex        // one refresh at a time
	seen [fileCount][]byte // guarded by mu: what the files held at the last look, good or not
}

// Open reads the files; here, unlike later, they must be good.
func Open(files Files, opts Options) (*Store, error) {
	if err := files.Check(); err != nil {
		return nil, err
	}
	return openFiles(files, opts)
}

// OpenServer reads the files of a server. Without authorities it lets everybody in who
// speaks TLS, and the store cannot be dialled with.
func OpenServer(files Files, opts Options) (*Store, error) {
	if files.CA != "" || files.CRL != "" {
		return Open(files, opts)
	}
	if err := (Files{Cert: files.Cert, Key: files.Key, CA: files.Cert}).Check(); err != nil {
		return nil, err
	}
	return openFiles(files, opts)
}

func openFiles(files Files, opts Options) (*Store, error) {
	s := &Store{files: files, log: opts.Log, now: opts.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	contents, err := s.read()
	if err == nil {
		err = s.take(contents)
	}
	if err != nil {
		return nil, err
	}
	s.seen = contents
	s.warnOfKeyMode()
	return s, nil
}

func (s *Store) warnOfKeyMode() {
	if info, err := os.Stat(s.files.Key); err == nil && info.Mode().Perm()&0o077 != 0 {
		s.log.Warn("others than its owner may read the key file; chmod 600 it", "file", s.files.Key, "mode", info.Mode().Perm())
	}
}

// read returns what the files hold; of one that cannot be read, nil.
func (s *Store) read() (contents [fileCount][]byte, err error) {
	for i, path := range s.files.paths() {
		if path == "" {
			continue
		}
		var fileErr error
		if contents[i], fileErr = os.ReadFile(path); fileErr != nil {
			contents[i], err = nil, errors.Join(err, fmt.Errorf("read a TLS file: %w", fileErr))
		}
	}
	return contents, err
}

// take publishes what the contents amount to.
func (s *Store) take(contents [fileCount][]byte) error {
	next, err := parse(s.files, contents)
	if err != nil {
		return err
	}
	if former := s.current.Load(); former != nil {
		next.generation = former.generation + 1
	}
	s.current.Store(next)
	return nil
}

// Refresh takes the files over if they changed since the last look. Files that do
// not fit together, as in the middle of an exchange, leave everything as it is and
// are complained about once.
func (s *Store) Refresh() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	contents, err := s.read()
	if equalContents(&contents, &s.seen) {
		return false, nil
	}
	s.seen = contents
	if err == nil {
		err = s.take(contents)
	}
	if err != nil {
		s.counts.reloadsRefused.Add(1)
		s.log.Error("TLS files not reloaded; the former ones stay in use", "error", err)
		return false, err
	}
	s.counts.reloadsTaken.Add(1)
	m := s.current.Load()
	s.log.Info("TLS files reloaded", "not_after", m.certificate.Leaf.NotAfter, "revoked", len(m.revoked))
	return true, nil
}

func equalContents(a, b *[fileCount][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// Run looks at files and connections every second until the context ends. It
// compares contents: an exchange by rename, by symlink or in place looks the same.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(LookEvery)
	defer tick.Stop()
	for stale := false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		_, _ = s.Refresh() // has been logged and counted
		s.Sweep()
		stale = s.warnOfStaleList(stale)
	}
}

// warnOfStaleList says once that a list should have been replaced. It goes on to
// count: to let everybody in, or nobody, would both be worse.
func (s *Store) warnOfStaleList(warned bool) bool {
	m := s.current.Load()
	stale := !m.staleAt.IsZero() && s.now().After(m.staleAt)
	if stale && !warned {
		s.log.Warn("the revocation list is older than it says it should be; fetch a new one", "file", s.files.CRL, "next_update", m.staleAt)
	}
	return stale
}

// ServerOptions say who may connect.
type ServerOptions struct {
	Roles      []Role   // empty: whoever an authority has signed
	NextProtos []string // application protocols (ALPN)
	HTTP       bool     // a Listener tells those who speak HTTP without TLS what is wrong
}

// ServerConfig leads every handshake to the current files. Connections made with it
// are on no list: where a Listener will do, prefer that.
func (s *Store) ServerConfig(opts ServerOptions) *tls.Config {
	want := &expectation{usage: x509.ExtKeyUsageClientAuth, roles: opts.Roles}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: opts.NextProtos,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			m := s.current.Load()
			if m.roots == nil {
				return &tls.Config{
					MinVersion: tls.VersionTLS13, NextProtos: opts.NextProtos, Certificates: []tls.Certificate{m.certificate},
					Time: s.now, SessionTicketsDisabled: true,
				}, nil
			}
			return &tls.Config{
				MinVersion:   tls.VersionTLS13,
				NextProtos:   opts.NextProtos,
				Certificates: []tls.Certificate{m.certificate},
				// The standard library's own check tells the peer by alert what is
				// wrong; ours knows of lists and roles beside.
				ClientAuth: tls.RequireAndVerifyClientCert,
				ClientCAs:  m.roots,
				Time:       s.now,
				// A resumed session would not show its certificate again.
				SessionTicketsDisabled: true,
				VerifyConnection: func(state tls.ConnectionState) error {
					_, err := m.verify(s.now(), state.PeerCertificates, want)
					return err
				},
			}, nil
		},
	}
}

// ClientOptions say who is expected at the other end. At least one of the fields
// that say so must be set, or the server name of the connection be known.
type ClientOptions struct {
	Roles      []Role   // the server's identity has one of these; then hosts are checked only if given
	Name       string   // the name of its identity, e.g. that of a member of the ring
	Hosts      []string // its certificate is for one of these hosts or addresses
	NextProtos []string // application protocols (ALPN)
}

func (o *ClientOptions) expectation(serverName string) *expectation {
	want := &expectation{usage: x509.ExtKeyUsageServerAuth, roles: o.Roles, name: o.Name, hosts: o.Hosts}
	switch {
	case len(want.hosts) > 0:
	case len(o.Roles) > 0 || o.Name != "":
		want.hosts = nil
	case serverName != "":
		want.hosts = []string{serverName}
	default:
		want.hosts = []string{} // nobody fits
	}
	return want
}

// ClientConfig verifies servers against the current files, and shows them the
// current certificate. Servers reached by address alone need Hosts, Roles or Name:
// TLS tells no addresses.
func (s *Store) ClientConfig(opts ClientOptions) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: opts.NextProtos,
		Time:       s.now,
		// It does not skip the check, but the check against a pool that could not
		// be exchanged: VerifyConnection does it.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := s.current.Load().verify(s.now(), state.PeerCertificates, opts.expectation(state.ServerName))
			return err
		},
		// Shown whatever authorities the server names: its refusal says more than
		// a missing certificate.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &s.current.Load().certificate, nil
		},
	}
}

package gateway

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

// tlsLookEvery is how often the certificate files are looked at.
const tlsLookEvery = 2 * time.Second

// TLSFiles names PEM files. Cert and Key belong together; ClientCA makes every
// client show a certificate that one of its authorities has signed.
type TLSFiles struct {
	Cert, Key, ClientCA string
}

// check says which file is missing.
func (f *TLSFiles) check() error {
	switch {
	case f.Cert == "" && f.Key == "":
		return errors.New("--tls-client-ca is given without a certificate of the gateway's own; give --tls-cert and --tls-key, too")
	case f.Key == "":
		return errors.New("--tls-cert is given without --tls-key; give both")
	case f.Cert == "":
		return errors.New("--tls-key is given without --tls-cert; give both")
	}
	return nil
}

// tlsStore holds the TLS configuration made from the files as they last fitted
// together. Each handshake takes the whole of it, so it never mixes old and new.
type tlsStore struct {
	files   TLSFiles
	log     *slog.Logger
	metrics *metrics
	current atomic.Pointer[tls.Config]

	mu   sync.Mutex // one refresh at a time
	seen [3][]byte  // guarded by mu: what the files held at the last look, good or not
}

// openTLS reads the files; here, unlike later, they must be good.
func openTLS(files TLSFiles, log *slog.Logger, m *metrics) (*tlsStore, error) {
	if err := files.check(); err != nil {
		return nil, err
	}
	s := &tlsStore{files: files, log: log, metrics: m}
	contents, err := s.read()
	if err == nil {
		err = s.take(contents)
	}
	if err != nil {
		return nil, err
	}
	s.seen = contents
	return s, nil
}

// serverConfig leads every handshake to the current configuration.
func (s *tlsStore) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return s.current.Load(), nil
		},
	}
}

// read returns what the files hold; of one that cannot be read, nil.
func (s *tlsStore) read() (contents [3][]byte, err error) {
	for i, path := range [3]string{s.files.Cert, s.files.Key, s.files.ClientCA} {
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

// take makes a configuration of the files' contents and publishes it.
func (s *tlsStore) take(contents [3][]byte) error {
	certificate, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", s.files.Cert, s.files.Key, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{certificate},
	}
	if s.files.ClientCA != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(contents[2]) {
			return fmt.Errorf("client CA %s: it holds no PEM certificate", s.files.ClientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		// A resumed session would not show its certificate to the new authorities.
		config.SessionTicketsDisabled = true
	}
	s.metrics.tlsNotAfter.Set(float64(certificate.Leaf.NotAfter.Unix()))
	s.current.Store(config)
	return nil
}

// refresh takes over the files if they have changed since the last look. Files that
// do not fit together, as in the middle of an exchange, leave everything as it is
// and are complained about once.
func (s *tlsStore) refresh() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	contents, err := s.read()
	if equalContents(contents, s.seen) {
		return false, nil
	}
	s.seen = contents
	if err == nil {
		err = s.take(contents)
	}
	if err != nil {
		s.metrics.tlsReloads.WithLabelValues("refused").Inc()
		s.log.Error("TLS files not reloaded; the former ones stay in use", "error", err)
		return false, err
	}
	s.metrics.tlsReloads.WithLabelValues("taken").Inc()
	s.log.Info("TLS files reloaded", "not_after", s.current.Load().Certificates[0].Leaf.NotAfter)
	return true, nil
}

func equalContents(a, b [3][]byte) bool {
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// watch looks at the files until the context ends. It compares contents: an
// exchange by rename, by symlink or in place looks the same to it.
func (s *tlsStore) watch(ctx context.Context) error {
	tick := time.NewTicker(tlsLookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = s.refresh() // has been logged and counted
		case <-ctx.Done():
			return nil
		}
	}
}

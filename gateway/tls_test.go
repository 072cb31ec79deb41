package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

var serial int64

func template(name string, notAfter time.Time) *x509.Certificate {
	serial++
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
	}
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	tmpl := template(name, time.Now().Add(time.Hour))
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue signs a certificate for the loopback address and a usage.
func (a *authority) issue(name string, usage x509.ExtKeyUsage, notAfter time.Time) (certPEM, keyPEM []byte) {
	a.t.Helper()
	tmpl := template(name, notAfter)
	tmpl.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	key := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// client issues a client certificate ready for use.
func (a *authority) client(usage x509.ExtKeyUsage, notAfter time.Time) []tls.Certificate {
	a.t.Helper()
	pair, err := tls.X509KeyPair(a.issue("client", usage, notAfter))
	if err != nil {
		a.t.Fatal(err)
	}
	return []tls.Certificate{pair}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tlsWorld is a gateway with files of its own.
type tlsWorld struct {
	*world
	servers, clients *authority
	files            TLSFiles
}

func newTLSFiles(t *testing.T) (files TLSFiles, servers, clients *authority) {
	t.Helper()
	dir := t.TempDir()
	servers, clients = newAuthority(t, "servers"), newAuthority(t, "clients")
	files = TLSFiles{
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "ca.pem"),
	}
	certPEM, keyPEM := servers.issue("gateway", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	write(t, files.Cert, certPEM)
	write(t, files.Key, keyPEM)
	write(t, files.ClientCA, clients.pem)
	return files, servers, clients
}

func newTLSWorld(t *testing.T) *tlsWorld {
	t.Helper()
	files, servers, clients := newTLSFiles(t)
	w := &tlsWorld{servers: servers, clients: clients, files: files}
	w.world = newWorld(t, func(c *Config) { c.TLS = files })
	return w
}

// get makes one request on a connection of its own.
func (w *tlsWorld) get(config *tls.Config) (*http.Response, error) {
	w.Helper()
	if config.RootCAs == nil {
		config.RootCAs = w.servers.pool()
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(w.g.URL() + "/v1/key/k")
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	return response, err
}

func TestMutualTLS(t *testing.T) {
	w := newTLSWorld(t)
	w.node.Set("k", []byte("v"))
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	stranger := newAuthority(t, "clients") // of the same name
	good := w.clients.client(x509.ExtKeyUsageClientAuth, later)
	for name, test := range map[string]struct {
		config  *tls.Config
		refused string
	}{
		"good":            {&tls.Config{Certificates: good}, ""},
		"missing":         {&tls.Config{}, "certificate required"},
		"expired":         {&tls.Config{Certificates: w.clients.client(x509.ExtKeyUsageClientAuth, past)}, "expired certificate"},
		"wrong authority": {&tls.Config{GetClientCertificate: show(stranger.client(x509.ExtKeyUsageClientAuth, later))}, "unknown certificate authority"},
		"wrong usage":     {&tls.Config{Certificates: w.clients.client(x509.ExtKeyUsageServerAuth, later)}, "bad certificate"},
		"TLS 1.2":         {&tls.Config{Certificates: good, MaxVersion: tls.VersionTLS12}, "protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.refused != "" {
				if err := w.refusal(test.config); err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("error %v, want %q", err, test.refused)
				}
				return
			}
			response, err := w.get(test.config)
			if err != nil || response.StatusCode != 200 || response.TLS.Version != tls.VersionTLS13 || response.ProtoMajor != 2 {
				t.Errorf("%+v, %v", response, err)
			}
		})
	}
	if got := gathered(t, w.g, `gannet_gateway_requests_total{code="200",method="GET",route="key"}`); got != "1" {
		t.Errorf("%s requests were answered, want 1", got)
	}
}

// refusal connects and says nothing, so that nothing crosses the server's alert.
func (w *tlsWorld) refusal(config *tls.Config) error {
	w.Helper()
	config.RootCAs = w.servers.pool()
	conn, err := tls.Dial("tcp", w.g.Addr(), config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		w.Fatal(err)
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// show sends a certificate although the server names other authorities.
func show(certificates []tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificates[0], nil }
}

func TestPlainHTTPOnTLSPort(t *testing.T) {
	w := newTLSWorld(t)
	if answer := w.talk("GET /v1/key/k HTTP/1.1\r\nHost: g\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.0 400") {
		t.Errorf("answer: %q", answer)
	}
}

// TestServerTLS: without a client CA, clients need no certificate.
func TestServerTLS(t *testing.T) {
	files, servers, _ := newTLSFiles(t)
	files.ClientCA = ""
	w := &tlsWorld{servers: servers}
	w.world = newWorld(t, func(c *Config) { c.TLS = files })
	if response, err := w.get(&tls.Config{}); err != nil || response.StatusCode != 404 {
		t.Errorf("%v, %v", response, err)
	}
}

// TestReload exchanges all three files, one at a time, and looks in between.
func TestReload(t *testing.T) {
	w := newTLSWorld(t)
	oldClient := &tls.Config{Certificates: w.clients.client(x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))}
	serves := func(when string, config *tls.Config, servers *authority) {
		t.Helper()
		config.RootCAs = servers.pool()
		if response, err := w.get(config); err != nil || response.StatusCode != 404 {
			t.Errorf("%s: %v, %v", when, response, err)
		}
	}
	serves("at first", oldClient, w.servers)

	newServers, newClients := newAuthority(t, "servers 2"), newAuthority(t, "clients 2")
	certPEM, keyPEM := newServers.issue("gateway", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	write(t, w.files.Cert, certPEM)
	if _, err := w.g.ReloadTLS(); err == nil {
		t.Error("a certificate was taken with another's key")
	}
	serves("with half of a pair in the files", oldClient, w.servers)
	if _, err := w.g.ReloadTLS(); err != nil {
		t.Errorf("the same half was complained about twice: %v", err)
	}
	write(t, w.files.Key, keyPEM)
	if _, err := w.g.ReloadTLS(); err != nil {
		t.Error(err)
	}
	serves("with the new pair", oldClient, newServers)

	write(t, w.files.ClientCA, []byte("no PEM"))
	if _, err := w.g.ReloadTLS(); err == nil {
		t.Error("a client CA without certificates was taken")
	}
	if err := os.Remove(w.files.ClientCA); err != nil {
		t.Fatal(err)
	}
	if _, err := w.g.ReloadTLS(); err == nil {
		t.Error("an absent client CA was taken")
	}
	serves("without a client CA file", oldClient, newServers)
	w.servers = newServers
	if err := w.refusal(&tls.Config{}); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a client CA file, a client without certificate got %v", err)
	}
	write(t, w.files.ClientCA, newClients.pem)
	if _, err := w.g.ReloadTLS(); err != nil {
		t.Error(err)
	}
	newClient := &tls.Config{Certificates: newClients.client(x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))}
	serves("with the new client CA", newClient, newServers)
	oldClient.GetClientCertificate = show(oldClient.Certificates)
	if err := w.refusal(oldClient); err == nil || !strings.Contains(err.Error(), "authority") {
		t.Errorf("a client of the former authority got %v", err)
	}
	for result, want := range map[string]string{"taken": "2", "refused": "3"} {
		if got := gathered(t, w.g, `gannet_gateway_tls_reloads_total{result="`+result+`"}`); got != want {
			t.Errorf("%s reloads %s, want %s", got, result, want)
		}
	}
}

// TestNoResumption: who has been here before shows the certificate again.
func TestNoResumption(t *testing.T) {
	w := newTLSWorld(t)
	config := &tls.Config{
		Certificates:       w.clients.client(x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour)),
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	for range 3 {
		if response, err := w.get(config); err != nil || response.TLS.DidResume {
			t.Errorf("%v, %v", response, err)
		}
	}
}

// TestRevokedClient: who is on the list is cut off, and let in no more.
func TestRevokedClient(t *testing.T) {
	files, servers, clients := newTLSFiles(t)
	files.ClientCRL = filepath.Join(t.TempDir(), "clients.crl")
	write(t, files.ClientCRL, clients.list(1))
	w := &tlsWorld{servers: servers, clients: clients, files: files}
	w.world = newWorld(t, func(c *Config) { c.TLS = files })
	certificates := clients.client(x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))
	conn, err := tls.Dial("tcp", w.g.Addr(), &tls.Config{Certificates: certificates, RootCAs: servers.pool()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if response, err := w.get(&tls.Config{Certificates: certificates}); err != nil || response.StatusCode != 404 {
		t.Fatalf("before: %v, %v", response, err)
	}
	write(t, files.ClientCRL, clients.list(2, certificates[0].Leaf.SerialNumber))
	if changed, err := w.g.ReloadTLS(); !changed || err != nil {
		t.Fatalf("the list: %v, %v", changed, err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection of before: %v", err)
	}
	if err := w.refusal(&tls.Config{Certificates: certificates}); err == nil || !strings.Contains(err.Error(), "bad certificate") {
		t.Errorf("a new connection: %v", err)
	}
	// It is counted only after the refusal was sent.
	const series = `gannet_gateway_tls_refused_total{reason="revoked"}`
	for end := time.Now().Add(time.Minute); gathered(t, w.g, series) != "1"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s refused as revoked, want 1", gathered(t, w.g, series))
		}
	}
}

// list makes a revocation list.
func (a *authority) list(number int64, revoked ...*big.Int) []byte {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, serial := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

func TestBadTLSFiles(t *testing.T) {
	files, servers, _ := newTLSFiles(t)
	_, otherKey := servers.issue("other", x509.ExtKeyUsageServerAuth, time.Now().Add(time.Hour))
	wrongKey := filepath.Join(t.TempDir(), "key.pem")
	write(t, wrongKey, otherKey)
	for name, test := range map[string]struct {
		files TLSFiles
		says  string
	}{
		"no key":       {TLSFiles{Cert: files.Cert}, "--tls-cert is given without --tls-key"},
		"no cert":      {TLSFiles{Key: files.Key}, "--tls-key is given without --tls-cert"},
		"only CA":      {TLSFiles{ClientCA: files.ClientCA}, "give --tls-cert and --tls-key, too"},
		"list, no CA":  {TLSFiles{Cert: files.Cert, Key: files.Key, ClientCRL: files.ClientCA}, "--tls-client-crl is given without --tls-client-ca"},
		"absent":       {TLSFiles{Cert: "/nonexistent", Key: files.Key}, "no such file"},
		"wrong key":    {TLSFiles{Cert: files.Cert, Key: wrongKey}, "private key does not match"},
		"swapped":      {TLSFiles{Cert: files.Key, Key: files.Cert}, files.Key},
		"CA is no PEM": {TLSFiles{Cert: files.Cert, Key: files.Key, ClientCA: "/dev/null"}, "no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Config{Listen: "127.0.0.1:0", TLS: test.files})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %q", err, test.says)
			}
		})
	}
}

// TestWarnsInTheOpen: an open address without client certificates is worth a word.
func TestWarnsInTheOpen(t *testing.T) {
	files, _, _ := newTLSFiles(t)
	for name, test := range map[string]struct {
		listen string
		tls    TLSFiles
		warns  bool
	}{
		"loopback":       {"127.0.0.1:0", TLSFiles{}, false},
		"open":           {"0.0.0.0:0", TLSFiles{}, true},
		"open, no CA":    {"0.0.0.0:0", TLSFiles{Cert: files.Cert, Key: files.Key}, true},
		"open and mTLS":  {"0.0.0.0:0", files, false},
		"name, loopback": {"localhost:0", TLSFiles{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			g, err := New(Config{Listen: test.listen, TLS: test.tls, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			g.Close()
			if warned := strings.Contains(log.String(), "--tls-client-ca"); warned != test.warns {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

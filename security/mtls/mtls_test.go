package mtls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a wall clock that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// set is a directory of certificates with node-1, node-2, client and admin.
func set(t *testing.T, now time.Time, valid time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	issue(t, dir, now, valid)
	return dir
}

func issue(t *testing.T, dir string, now time.Time, valid time.Duration) {
	t.Helper()
	err := DevCA(dir, DevOptions{
		NodeNames: []string{"node-1", "node-2"}, Hosts: []string{"127.0.0.1", "localhost"}, ValidFor: valid, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, files Files, c *clock) *Store {
	t.Helper()
	if c == nil {
		c = &clock{}
	}
	s, err := Open(files, Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// echo serves connections by repeating what they say.
func echo(t *testing.T, s *Store, opts ServerOptions) *Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := s.Listen(inner, opts)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		<-served
	})
	return l
}

// say sends a byte and waits for it to come back.
func say(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{7}); err != nil {
		return Explain(err)
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return Explain(err)
}

func dial(t *testing.T, s *Store, addr string, opts ClientOptions) (*tls.Conn, error) {
	t.Helper()
	conn, err := s.Dial(t.Context(), addr, opts)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, say(conn)
}

// nodes is what a client that trusts any node of the cluster expects.
var nodes = ClientOptions{Roles: []Role{RoleNode}}

// TestWhoMayConnect lets several holders connect to one server: what each is told,
// and what the server counts.
func TestWhoMayConnect(t *testing.T) {
	now := time.Now()
	dir, strangers := set(t, now, time.Hour), set(t, now, time.Hour)
	withCA := func(files Files, ca string) Files {
		files.CA, files.CRL = DevFiles(ca, "").CA, ""
		return files
	}
	server := open(t, DevFiles(dir, "node-1"), nil)
	l := echo(t, server, ServerOptions{Roles: []Role{RoleNode, RoleAdmin}})
	old := set(t, now.Add(-2*time.Hour), time.Hour)
	early := set(t, now.Add(2*time.Hour), time.Hour)
	// The server trusts these two, so that nothing but the time is wrong.
	trust(t, DevFiles(dir, "").CA, DevFiles(old, "").CA, DevFiles(early, "").CA)
	if err := DevRevoke(dir, now, "node-2"); err != nil {
		t.Fatal(err)
	}
	if changed, err := server.Refresh(); !changed || err != nil {
		t.Fatalf("%v, %v", changed, err)
	}
	want := map[Reason]uint64{}
	for name, test := range map[string]struct {
		files  Files
		reason Reason // of the server
		told   string // to the one that connects
	}{
		"another node":    {files: DevFiles(dir, "node-1")},
		"admin":           {files: DevFiles(dir, "admin")},
		"wrong role":      {DevFiles(dir, "client"), ReasonWrongRole, "of a role that is not allowed"},
		"revoked":         {DevFiles(dir, "node-2"), ReasonRevoked, "it is revoked"},
		"wrong authority": {withCA(DevFiles(strangers, "node-1"), dir), ReasonUnknownAuthority, "no authority that the peer trusts"},
		"expired":         {withCA(DevFiles(old, "node-1"), dir), ReasonExpired, "it has expired"},
		"not yet valid":   {withCA(DevFiles(early, "node-1"), dir), ReasonNotYetValid, "not valid yet"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, open(t, test.files, nil), l.Addr().String(), nodes)
			if test.told == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.told) {
				t.Errorf("it is told %v, want %q", err, test.told)
			}
			want[test.reason]++
		})
	}
	awaitRefused(t, server, want)
}

// awaitRefused waits for what is counted only after the refusal was sent.
func awaitRefused(t *testing.T, s *Store, want map[Reason]uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		got := s.Stats().Refused
		maps.DeleteFunc(got, func(_ Reason, n uint64) bool { return n == 0 })
		if maps.Equal(got, want) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("refused %v, want %v", got, want)
		}
	}
}

// trust adds authorities to a file of them.
func trust(t *testing.T, file string, others ...string) {
	t.Helper()
	var all []byte
	for _, name := range append([]string{file}, others...) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content...)
	}
	write(t, file, all)
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := writeFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutCertificate: neither plain TLS nor plain text gets anywhere.
func TestWithoutCertificate(t *testing.T) {
	var log bytes.Buffer
	dir := set(t, time.Now(), time.Hour)
	server, err := Open(DevFiles(dir, "node-1"), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	l := echo(t, server, ServerOptions{})
	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var refused *RefusedError
	if err := say(conn); !errors.As(err, &refused) || !strings.Contains(err.Error(), "give --tls-cert and --tls-key") {
		t.Errorf("without a certificate: %v", err)
	}
	plain, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := io.WriteString(plain, "GET / HTTP/1.1\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(plain); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	if _, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil ||
		!strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.2: %v", err)
	}
	awaitRefused(t, server, map[Reason]uint64{ReasonNoCertificate: 1, ReasonNotTLS: 1, ReasonHandshake: 1})
	if err := l.Close(); err != nil { // waits for those who log
		t.Error(err)
	}
	if !strings.Contains(log.String(), "reason=no_certificate") || !strings.Contains(log.String(), "does not speak TLS") {
		t.Errorf("log: %s", log.String())
	}
}

// TestServersAreVerified is the other direction.
func TestServersAreVerified(t *testing.T) {
	now := time.Now()
	dir, strangers := set(t, now, time.Hour), set(t, now, time.Hour)
	strangerFiles := DevFiles(strangers, "node-1")
	trust(t, strangerFiles.CA, DevFiles(dir, "").CA) // it would let us in
	good := echo(t, open(t, DevFiles(dir, "node-1"), nil), ServerOptions{})
	stranger := echo(t, open(t, strangerFiles, nil), ServerOptions{})
	hostless := echo(t, open(t, DevFiles(dir, "admin"), nil), ServerOptions{})
	client := open(t, DevFiles(dir, "client"), nil)
	for name, test := range map[string]struct {
		server *Listener
		opts   ClientOptions
		reason Reason
		ok     bool
	}{
		"by role":         {good, nodes, 0, true},
		"by name":         {good, ClientOptions{Name: "node-1"}, 0, true},
		"by address":      {good, ClientOptions{}, 0, true},
		"by host":         {good, ClientOptions{Hosts: []string{"other", "localhost"}}, 0, true},
		"wrong name":      {good, ClientOptions{Name: "node-2"}, ReasonWrongName, false},
		"wrong host":      {good, ClientOptions{Roles: []Role{RoleNode}, Hosts: []string{"10.0.0.1"}}, ReasonWrongName, false},
		"wrong role":      {hostless, nodes, ReasonWrongRole, false},
		"wrong address":   {hostless, ClientOptions{}, ReasonWrongName, false},
		"wrong authority": {stranger, nodes, ReasonUnknownAuthority, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, client, test.server.Addr().String(), test.opts)
			var judged *PeerError
			switch {
			case test.ok && err != nil:
				t.Error(err)
			case !test.ok && (!errors.As(err, &judged) || judged.Reason != test.reason):
				t.Errorf("%v, want the reason %s", err, test.reason)
			}
		})
	}
}

// TestNothingExpected: a client that says nothing of whom it expects gets nobody.
func TestNothingExpected(t *testing.T) {
	dir := set(t, time.Now(), time.Hour)
	l := echo(t, open(t, DevFiles(dir, "node-1"), nil), ServerOptions{})
	config := open(t, DevFiles(dir, "client"), nil).ClientConfig(ClientOptions{})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var judged *PeerError
	if err := tls.Client(conn, config).Handshake(); !errors.As(err, &judged) || judged.Reason != ReasonWrongName {
		t.Errorf("%v", err)
	}
}

// TestRevokedIsCutOff leaves everything to the running stores: the file says it, and
// both ends of the connection find out.
func TestRevokedIsCutOff(t *testing.T) {
	dir := set(t, time.Now(), time.Hour)
	server := open(t, DevFiles(dir, "node-1"), nil)
	l := echo(t, server, ServerOptions{})
	cut, err := dial(t, open(t, DevFiles(dir, "node-2"), nil), l.Addr().String(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	stays, err := dial(t, open(t, DevFiles(dir, "client"), nil), l.Addr().String(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	if err := DevRevoke(dir, time.Now(), "node-2"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := cut.SetReadDeadline(begin.Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := cut.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the revoked peer read on: %v", err)
	}
	t.Logf("cut off %s after the list was written", time.Since(begin))
	if err := say(stays); err != nil {
		t.Errorf("the other peer: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if st := server.Stats(); st.Closed[ReasonRevoked] != 1 || st.Open != 1 || st.Revoked != 1 {
		t.Errorf("%+v", st)
	}
}

// TestExpiredIsCutOff moves the clock past the end of a certificate.
func TestExpiredIsCutOff(t *testing.T) {
	var c clock
	dir := set(t, time.Now(), time.Hour)
	server := open(t, DevFiles(dir, "node-1"), &c)
	l := echo(t, server, ServerOptions{})
	conn, err := dial(t, open(t, DevFiles(dir, "node-2"), nil), l.Addr().String(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	c.advance(59 * time.Minute)
	server.Sweep()
	if err := say(conn); err != nil {
		t.Errorf("before its end: %v", err)
	}
	c.advance(2 * time.Minute)
	server.Sweep()
	if err := say(conn); err == nil {
		t.Error("an expired peer goes on")
	}
	if st := server.Stats(); st.Closed[ReasonExpired] != 1 || st.Open != 0 {
		t.Errorf("%+v", st)
	}
}

// TestClientCutsServerOff: the list of the dialling side counts, too.
func TestClientCutsServerOff(t *testing.T) {
	dir := set(t, time.Now(), time.Hour)
	client := open(t, DevFiles(dir, "client"), nil)
	l := echo(t, open(t, DevFiles(dir, "node-1"), nil), ServerOptions{})
	conn, err := dial(t, client, l.Addr().String(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	if err := DevRevoke(dir, time.Now(), "node-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Refresh(); err != nil {
		t.Fatal(err)
	}
	client.Sweep()
	if err := say(conn); !errors.Is(err, net.ErrClosed) {
		t.Errorf("to a revoked server: %v", err)
	}
	if _, err := dial(t, client, l.Addr().String(), nodes); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a new connection to it: %v", err)
	}
}

// TestRotation exchanges certificate, key and authority under a server that runs.
func TestRotation(t *testing.T) {
	now := time.Now()
	dir, next := set(t, now, time.Hour), set(t, now, time.Hour)
	files := DevFiles(dir, "node-1")
	server := open(t, files, nil)
	l := echo(t, server, ServerOptions{})
	client := open(t, DevFiles(dir, "client"), nil)
	serves := func(when string, s *Store, want bool) *tls.Conn {
		t.Helper()
		conn, err := dial(t, s, l.Addr().String(), nodes)
		if (err == nil) != want {
			t.Errorf("%s: %v", when, err)
		}
		return conn
	}
	before := serves("at first", client, true)

	write(t, files.Cert, content(t, DevFiles(next, "node-1").Cert))
	if _, err := server.Refresh(); err == nil {
		t.Error("a certificate was taken with another's key")
	}
	if changed, err := server.Refresh(); changed || err != nil {
		t.Errorf("the same half was complained about twice: %v", err)
	}
	serves("with half a pair in the files", client, true)

	both := slices.Concat(content(t, files.CA), content(t, DevFiles(next, "").CA))
	write(t, files.Key, content(t, DevFiles(next, "node-1").Key))
	write(t, files.CA, both) // the client's file, too
	for _, s := range []*Store{server, client} {
		if changed, err := s.Refresh(); !changed || err != nil {
			t.Fatalf("%v, %v", changed, err)
		}
	}
	serves("with a certificate of the next authority", client, true)
	newClient := open(t, Files{Cert: DevFiles(next, "client").Cert, Key: DevFiles(next, "client").Key, CA: files.CA}, nil)
	serves("a client of the next authority", newClient, true)
	server.Sweep()
	if err := say(before); err != nil {
		t.Errorf("the connection from before: %v", err)
	}

	write(t, files.CRL, content(t, DevFiles(next, "").CRL))
	write(t, files.CA, content(t, DevFiles(next, "").CA))
	if _, err := server.Refresh(); err != nil {
		t.Fatal(err)
	}
	server.Sweep()
	if err := say(before); err == nil {
		t.Error("a peer of the former authority goes on")
	}
	serves("with the former authority gone", client, false)
	serves("a client of the next authority in the end", newClient, true)

	for name, spoil := range map[string]func(){
		"no PEM":      func() { write(t, files.CA, []byte("no PEM")) },
		"absent":      func() { _ = os.Remove(files.CA) },
		"broken list": func() { write(t, files.CRL, []byte("x")) },
	} {
		former := content(t, files.CRL)
		spoil()
		if _, err := server.Refresh(); err == nil {
			t.Errorf("%s was taken", name)
		}
		serves(name, newClient, true)
		write(t, files.CA, content(t, DevFiles(next, "").CA))
		write(t, files.CRL, former)
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestForeignList: a list that no authority here has signed revokes nothing, and is
// not taken for one.
func TestForeignList(t *testing.T) {
	dir, other := set(t, time.Now(), time.Hour), set(t, time.Now(), time.Hour)
	files := DevFiles(dir, "node-1")
	files.CRL = DevFiles(other, "").CRL
	if _, err := Open(files, Options{}); err == nil || !strings.Contains(err.Error(), "has signed the list") {
		t.Errorf("%v", err)
	}
}

// TestNoResumption: who has been here before shows the certificate again.
func TestNoResumption(t *testing.T) {
	dir := set(t, time.Now(), time.Hour)
	l := echo(t, open(t, DevFiles(dir, "node-1"), nil), ServerOptions{})
	config := open(t, DevFiles(dir, "client"), nil).ClientConfig(nodes)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for range 3 {
		conn, err := tls.Dial("tcp", l.Addr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		if err := say(conn); err != nil || conn.ConnectionState().DidResume || conn.ConnectionState().Version != tls.VersionTLS13 {
			t.Errorf("%v, %+v", err, conn.ConnectionState())
		}
		conn.Close()
	}
}

// TestHTTP serves HTTP on a listener, and with the plain configuration.
func TestHTTP(t *testing.T) {
	dir := set(t, time.Now(), time.Hour)
	store := open(t, DevFiles(dir, "node-1"), nil)
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := IdentityOfState(r.TLS)
		if !ok {
			t.Error("no identity")
		}
		_, _ = io.WriteString(w, id.String())
	})
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: who}
	served := make(chan error, 1)
	go func() { served <- server.Serve(store.Listen(inner, ServerOptions{NextProtos: []string{"http/1.1"}})) }()
	transport := &http.Transport{TLSClientConfig: open(t, DevFiles(dir, "client"), nil).ClientConfig(nodes)}
	response, err := (&http.Client{Transport: transport}).Get("https://" + inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "gannet://client/client" {
		t.Errorf("%q, %v", body, err)
	}
	response.Body.Close()
	transport.CloseIdleConnections()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

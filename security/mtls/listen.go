package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	handshakeLongest = 5 * time.Second
	// Handshakes under way at once; more wait in the kernel's queue.
	maxHandshakes = 512
	// A reason for refusing is logged once in this time, with the number of refusals.
	logRefusedEvery = time.Second
)

// Listener hands out connections whose peers are known and welcome.
type Listener struct {
	inner  net.Listener
	store  *Store
	config *tls.Config
	want   *expectation
	http   bool
	ready  chan *tls.Conn
	slots  chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	failed chan struct{} // closed when inner is, with err set before
	err    error
}

// Listen shakes hands with whoever connects to inner and takes it over. Connections
// are *tls.Conn, their handshake done.
func (s *Store) Listen(inner net.Listener, opts ServerOptions) *Listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{
		inner: inner, store: s, config: s.ServerConfig(opts),
		want: &expectation{usage: x509.ExtKeyUsageClientAuth, roles: opts.Roles}, http: opts.HTTP,
		ready: make(chan *tls.Conn), slots: make(chan struct{}, maxHandshakes),
		ctx: ctx, cancel: cancel, failed: make(chan struct{}),
	}
	l.done.Add(1)
	go l.acceptAll()
	return l
}

// acceptAll starts a handshake for each connection, until inner is closed.
func (l *Listener) acceptAll() {
	defer l.done.Done()
	defer close(l.failed)
	for {
		select {
		case l.slots <- struct{}{}:
		case <-l.ctx.Done():
			l.err = net.ErrClosed
			return
		}
		conn, err := l.inner.Accept()
		if err != nil {
			<-l.slots
			if temporary(err) && pause(l.ctx) {
				continue
			}
			l.err = err
			return
		}
		l.done.Go(func() {
			defer func() { <-l.slots }()
			l.shake(conn)
		})
	}
}

// temporary tells errors that a server survives, such as too many open files.
func temporary(err error) bool {
	var netErr net.Error
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &netErr)
}

func pause(ctx context.Context) bool {
	select {
	case <-time.After(10 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// shake hands a connection on if its peer is welcome.
func (l *Listener) shake(raw net.Conn) {
	p := &peer{Conn: raw, store: l.store}
	conn := tls.Server(p, l.config)
	ctx, cancel := context.WithTimeout(l.ctx, handshakeLongest)
	defer cancel()
	err := conn.HandshakeContext(ctx)
	if err == nil {
		// Once more, and on the list: the files may have changed in between.
		err = l.store.admit(p, conn.ConnectionState().PeerCertificates, l.want)
	}
	if err != nil {
		if l.http {
			sayTLS(raw, err)
		}
		_ = p.Close() // refused anyway
		l.store.refuse(raw.RemoteAddr(), err)
		return
	}
	select {
	case l.ready <- conn:
	case <-l.ctx.Done():
		_ = p.Close() // nobody will ask for it
	}
}

// sayTLS tells somebody who speaks HTTP without TLS what is wrong, in his language.
func sayTLS(raw net.Conn, err error) {
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || record.Conn == nil {
		return
	}
	switch string(record.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET":
		_ = raw.SetWriteDeadline(time.Now().Add(time.Second))                                                         // it is closed next
		_, _ = io.WriteString(raw, "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks HTTPS; the request was HTTP.\n") // nobody to tell
	}
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case <-l.failed:
		return nil, l.err
	}
}

// Close ends listening and handshakes; connections handed out live on.
func (l *Listener) Close() error {
	l.cancel()
	err := l.inner.Close()
	l.done.Wait()
	return err
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Dial connects, shakes hands and verifies the server, whose connection is on the
// store's list from then on. Without an expectation in opts, the server's
// certificate must be for the host in address.
func (s *Store) Dial(ctx context.Context, address string, opts ClientOptions) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if len(opts.Hosts) == 0 && len(opts.Roles) == 0 && opts.Name == "" {
		opts.Hosts = []string{host}
	}
	raw, err := (&net.Dialer{Timeout: handshakeLongest}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	config := s.ClientConfig(opts)
	config.ServerName = host
	p := &peer{Conn: raw, store: s}
	conn := tls.Client(p, config)
	ctx, cancel := context.WithTimeout(ctx, handshakeLongest)
	defer cancel()
	if err = conn.HandshakeContext(ctx); err == nil {
		state := conn.ConnectionState()
		err = s.admit(p, state.PeerCertificates, opts.expectation(state.ServerName))
	}
	if err != nil {
		return nil, errors.Join(Explain(err), closed(p))
	}
	return conn, nil
}

// closed closes what has failed already; that it was closed before is no news.
func closed(p *peer) error {
	if err := p.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// refuse counts and logs a peer that was not let in.
func (s *Store) refuse(remote net.Addr, err error) {
	err = Explain(err)
	reason := ReasonHandshake
	var judged *PeerError
	if errors.As(err, &judged) {
		reason = judged.Reason
	}
	count := s.counts.refused[reason].Add(1)
	now := s.now().UnixNano()
	last := s.counts.refusedLogged[reason].Load()
	if now-last < logRefusedEvery.Nanoseconds() || !s.counts.refusedLogged[reason].CompareAndSwap(last, now) {
		return
	}
	s.log.Warn("connection refused", "peer", remote, "reason", reason.String(), "refused_so_far", count, "error", err)
}

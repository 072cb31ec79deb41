package client

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"gannet/security/mtls"
)

const (
	// maxStreams is how many control ports are subscribed to. Each tells of all nodes'
	// writes; those of its own node come first there. Few will do in a large cluster.
	maxStreams = 8
	// streamSilence is after how long a stream without a line is given up: a node says
	// something every 200 ms.
	streamSilence  = time.Second
	streamPauseMin = 50 * time.Millisecond
	streamPauseMax = 5 * time.Second
	streamConnect  = 2 * time.Second
	maxNoticeBytes = 4 << 10
)

// listener keeps a stream of invalidations to each of some members, as the ring
// changes, until the client is closed.
type listener struct {
	client  *Client
	store   *mtls.Store // nil: without TLS
	rings   chan struct{}
	running map[netip.AddrPort]context.CancelFunc // used by run alone
	streams sync.WaitGroup
}

func newListener(c *Client) *listener {
	return &listener{
		client: c, store: c.settings.control, rings: make(chan struct{}, 1),
		running: map[netip.AddrPort]context.CancelFunc{},
	}
}

// reroute tells that there are other routes now.
func (l *listener) reroute() {
	select {
	case l.rings <- struct{}{}:
	default: // it has yet to look
	}
}

func (l *listener) run() {
	defer l.client.readers.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer l.streams.Wait()
	defer cancel()
	for {
		select {
		case <-l.client.closing:
			return
		case <-l.rings:
			l.adjust(ctx, l.client.routes.Load())
		}
	}
}

// adjust starts and ends streams so that they are to members of the ring.
func (l *listener) adjust(ctx context.Context, r *routes) {
	wanted := l.choose(r)
	for addr, cancel := range l.running {
		if !slices.Contains(wanted, addr) {
			cancel()
			delete(l.running, addr)
		}
	}
	for _, addr := range wanted {
		if l.running[addr] != nil {
			continue
		}
		streamCtx, cancel := context.WithCancel(ctx)
		l.running[addr] = cancel
		s := &stream{client: l.client, store: l.store, addr: addr}
		l.streams.Go(func() { s.run(streamCtx) })
	}
}

// choose returns the control ports to listen to: those listened to already come first.
func (l *listener) choose(r *routes) (wanted []netip.AddrPort) {
	if r == nil || r.ring == nil {
		return nil
	}
	var others []netip.AddrPort
	for i := range r.ring.Members() {
		addr := r.ring.Members()[i].Control
		switch {
		case !addr.IsValid() || addr.Port() == 0:
		case l.running[addr] != nil:
			wanted = append(wanted, addr)
		default:
			others = append(others, addr)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	wanted = append(wanted, others...)
	return wanted[:min(len(wanted), maxStreams)]
}

// stream is the subscription to one control port's invalidations, connected or not.
type stream struct {
	client *Client
	store  *mtls.Store
	addr   netip.AddrPort
}

// run follows the stream, and connects again when it breaks, until the context ends.
func (s *stream) run(ctx context.Context) {
	pause := streamPauseMin
	for ctx.Err() == nil {
		heard, err := s.follow(ctx)
		s.client.l1.origins.lose(s)
		if ctx.Err() != nil {
			return
		}
		s.client.counters.streamsBroken.Add(1)
		s.client.l1.problem.Store(&err)
		if heard {
			pause = streamPauseMin
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, streamPauseMax)
	}
}

// errSilent ends a stream that says nothing, not even that it is alive.
var errSilent = errors.New("it has been silent for too long")

// follow connects and takes in notices until the stream breaks. heard says that there
// were some.
func (s *stream) follow(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(streamConnect+streamSilence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	transport := &http.Transport{DialContext: s.dial, DisableKeepAlives: true, DisableCompression: true}
	defer transport.CloseIdleConnections()
	// TLS, if any, is the dialer's business.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr.String()+"/v1/invalidations?of=granted", nil)
	if err != nil {
		return false, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false, s.explain(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("control port %s answers %s", s.addr, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxNoticeBytes)
	for lines.Scan() {
		watchdog.Reset(streamSilence)
		if err := s.take(lines.Bytes()); err != nil {
			return heard, err
		}
		heard = true
	}
	return heard, s.explain(ctx, cmp.Or(lines.Err(), io.EOF))
}

func (s *stream) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("invalidations of %s: %w", s.addr, mtls.Explain(err))
}

// dial connects to the control port, with TLS if the client has certificates.
func (s *stream) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if s.store == nil {
		return (&net.Dialer{Timeout: streamConnect}).DialContext(ctx, "tcp", s.addr.String())
	}
	conn, err := s.store.Dial(ctx, s.addr.String(), mtls.ClientOptions{Roles: []mtls.Role{mtls.RoleNode}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return nil, err // a nil *tls.Conn would be a net.Conn that is not nil
	}
	return conn, nil
}

// notice is a line of the stream; docs/security.md describes them.
type notice struct {
	Action    string `json:"action"`
	Key       string `json:"key"`
	KeyBase64 []byte `json:"key_base64"`
	Version   uint64 `json:"version"`
	Origin    string `json:"origin"`
	Covered   bool   `json:"covered"`
}

// take does what a line says. A line that makes no sense ends the stream: what it
// meant to say would be missed.
func (s *stream) take(line []byte) error {
	var n notice
	if err := json.Unmarshal(line, &n); err != nil {
		return fmt.Errorf("%w: a notice: %w", ErrProtocol, err)
	}
	l1 := s.client.l1
	switch n.Action {
	case "invalidate":
		s.client.counters.invalidations.Add(1)
		if n.KeyBase64 != nil {
			n.Key = string(n.KeyBase64)
		}
		l1.invalidate(n.Key, Version(n.Version))
	case "flush":
		s.client.counters.flushes.Add(1)
		if n.Origin == "" {
			l1.origins.lose(s)
			return nil
		}
		id, err := strconv.ParseUint(n.Origin, 16, 64)
		if err != nil {
			return fmt.Errorf("%w: origin of a notice: %w", ErrProtocol, err)
		}
		l1.origins.flush(s, id, n.Covered)
	case "heartbeat":
	default:
		return fmt.Errorf("%w: a notice of the unknown kind %q", ErrProtocol, n.Action)
	}
	return nil
}

package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gannet/ring"
	"gannet/security/mtls"
)

const (
	connectLongest = 5 * time.Second
	maxRingBytes   = 4 << 20
	maxLineBytes   = 4 << 10
)

// Client asks the control port of one node: command line and replication use it.
type Client struct {
	addr  string
	store *mtls.Store // nil: without TLS
	peer  mtls.ClientOptions
	http  http.Client
}

// NewClient makes a client for the node at addr. With a store it speaks TLS, and peer
// says who is expected there: without a word, any node of the cluster.
func NewClient(addr string, store *mtls.Store, peer mtls.ClientOptions) *Client {
	if len(peer.Roles) == 0 {
		peer.Roles = []mtls.Role{mtls.RoleNode}
	}
	peer.NextProtos = []string{protocolOfHTTP}
	c := &Client{addr: addr, store: store, peer: peer}
	c.http.Transport = &http.Transport{DialContext: c.dial, DialTLSContext: c.dial}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// dial connects to the node, whatever address the request has.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if c.store != nil {
		conn, err := c.store.Dial(ctx, c.addr, c.peer)
		if err != nil {
			return nil, err // a nil *tls.Conn would be a net.Conn that is not nil
		}
		return conn, nil
	}
	return (&net.Dialer{Timeout: connectLongest}).DialContext(ctx, "tcp", c.addr)
}

func (c *Client) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	scheme := "http"
	if c.store != nil {
		scheme = "https"
	}
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(encoded)
	}
	return http.NewRequestWithContext(ctx, method, scheme+"://"+c.addr+path, content)
}

// do sends a request; an answer that is a problem is an error.
func (c *Client) do(r *http.Request) (*http.Response, error) {
	response, err := c.http.Do(r)
	if err != nil {
		return nil, c.explain(err)
	}
	if response.StatusCode < 300 || response.StatusCode == http.StatusNotModified {
		return response, nil
	}
	defer response.Body.Close()
	return nil, fmt.Errorf("control port of %s: %w", c.addr, problemOf(response))
}

// explain says what is behind an error of the connection.
func (c *Client) explain(err error) error {
	var address *url.Error
	if errors.As(err, &address) {
		err = address.Err // its URL is ours, and says nothing
	}
	err = mtls.Explain(err)
	if c.store == nil && hungUp(err) {
		return fmt.Errorf("control port of %s: it hung up; it may want TLS (--tls-cert, --tls-key, --tls-ca): %w", c.addr, err)
	}
	return fmt.Errorf("control port of %s: %w", c.addr, err)
}

// hungUp tells how a port that wants TLS looks to one that speaks without.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) ||
		strings.Contains(err.Error(), "malformed HTTP")
}

// Ring gets the ring, encoded as the node has it. after waits until there is one
// beyond this epoch; nil without an error says that there was none for a while.
func (c *Client) Ring(ctx context.Context, after *uint32) (*ring.Ring, error) {
	path := "/v1/ring"
	if after != nil {
		path += "?after=" + strconv.FormatUint(uint64(*after), 10)
	}
	request, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotModified {
		return nil, nil
	}
	encoded, err := io.ReadAll(io.LimitReader(response.Body, maxRingBytes))
	if err != nil {
		return nil, c.explain(err)
	}
	r, err := ring.Decode(encoded)
	if err != nil {
		return nil, fmt.Errorf("ring of %s: %w", c.addr, err)
	}
	return r, nil
}

// Watch calls do with each line of the invalidations until it fails, the connection
// breaks or the context ends. The line is do's only until it returns.
func (c *Client) Watch(ctx context.Context, do func(line []byte) error) error {
	request, err := c.request(ctx, http.MethodGet, "/v1/invalidations", nil)
	if err != nil {
		return err
	}
	response, err := c.do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLineBytes)
	for lines.Scan() {
		if err := do(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return c.explain(err)
	}
	return fmt.Errorf("control port of %s: it ended the stream: %w", c.addr, io.EOF)
}

// Hot gets the hottest keys.
func (c *Client) Hot(ctx context.Context) (*HotJSON, error) {
	request, err := c.request(ctx, http.MethodGet, "/v1/hot", nil)
	if err != nil {
		return nil, err
	}
	response, err := c.do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	hot := &HotJSON{}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxRingBytes)).Decode(hot); err != nil {
		return nil, fmt.Errorf("hot keys of %s: %w", c.addr, err)
	}
	return hot, nil
}

// Drain asks the node to have a node of this name drained; "": itself.
func (c *Client) Drain(ctx context.Context, node string) error {
	request, err := c.request(ctx, http.MethodPost, "/v1/drain", drainJSON{node})
	if err != nil {
		return err
	}
	response, err := c.do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Replicate opens a replication stream to the node.
func (c *Client) Replicate(ctx context.Context) (net.Conn, error) {
	conn, err := c.dial(ctx, "tcp", c.addr)
	if err != nil {
		return nil, c.explain(err)
	}
	stream, err := c.upgrade(ctx, conn)
	if err != nil {
		return nil, errors.Join(err, hangUp(conn))
	}
	return stream, nil
}

// hangUp closes a connection of no use; that it is broken already is no news.
func hangUp(conn net.Conn) error {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn() // a farewell could wait for the other side
	}
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

func (c *Client) upgrade(ctx context.Context, conn net.Conn) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request, err := c.request(ctx, http.MethodPost, "/v1/replicate", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", protocolOfStream)
	if err := conn.SetDeadline(time.Now().Add(connectLongest)); err != nil {
		return nil, c.explain(err)
	}
	if err := request.Write(conn); err != nil {
		return nil, c.explain(err)
	}
	read := bufio.NewReader(conn)
	response, err := http.ReadResponse(read, request)
	if err != nil {
		return nil, c.explain(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		defer response.Body.Close()
		return nil, fmt.Errorf("control port of %s: %w", c.addr, problemOf(response))
	}
	if !stop() {
		return nil, ctx.Err()
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, c.explain(err)
	}
	return withBuffered(conn, read), nil
}

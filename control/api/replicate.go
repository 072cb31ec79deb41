package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"gannet/security/mtls"
)

// postReplicate turns the connection into a stream and gives it away.
func (s *Server) postReplicate(w http.ResponseWriter, r *http.Request, peer mtls.Identity) error {
	if r.Header.Get("Upgrade") != protocolOfStream || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
		return newProblem(http.StatusUpgradeRequired, "upgrade-required",
			"this path speaks %s only; send Connection: Upgrade and Upgrade: %[1]s", protocolOfStream).
			with("Upgrade", protocolOfStream).with("Connection", "Upgrade")
	}
	ctx := s.server.BaseContext(nil) // the request's own ends with the handover
	s.upgraded.Add(1)
	defer s.upgraded.Done()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("take the connection over: %w", err)
	}
	defer conn.Close()
	answer := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocolOfStream + "\r\n\r\n"
	if err := errors.Join(conn.SetDeadline(time.Time{}), conn.SetWriteDeadline(time.Now().Add(s.cfg.writeLongest))); err != nil {
		return nil // it is gone already, and nobody is left to tell
	}
	if _, err := conn.Write([]byte(answer)); err != nil {
		return nil
	}
	if err := conn.SetWriteDeadline(time.Time{}); err != nil {
		return nil
	}
	s.counts.streams.Add(1)
	defer s.counts.streams.Add(-1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	s.cfg.Replicate(ctx, withBuffered(conn, buffered.Reader), peer)
	return nil
}

// withBuffered puts what was read already in front of a connection.
func withBuffered(conn net.Conn, read *bufio.Reader) net.Conn {
	if read.Buffered() == 0 {
		return conn
	}
	return &bufferedConn{Conn: conn, read: read}
}

type bufferedConn struct {
	net.Conn
	read *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) {
	if c.read == nil {
		return c.Conn.Read(b)
	}
	n, err := c.read.Read(b[:min(len(b), c.read.Buffered())])
	if c.read.Buffered() == 0 {
		c.read = nil
	}
	return n, err
}

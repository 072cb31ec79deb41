package transport

import (
	"context"
	"net"
	"net/netip"
	"time"

	"gannet/replication"
)

// holdLifeline keeps a TCP connection to the port on which a member's data plane
// listens for nothing else than this. When it ends, the port is asked again: refused by
// a living machine means that the process is gone. A refusal counts only where there
// was a connection before: a member of an older version, or behind a firewall, has none.
func (p *prober) holdLifeline(ctx context.Context, member uint64, addr netip.AddrPort) {
	known := false
	dialer := net.Dialer{Timeout: dialTimeout}
	for pause := redialShortest; ctx.Err() == nil; {
		conn, err := dialer.DialContext(ctx, "tcp", addr.String())
		switch {
		case err == nil:
			known, pause = true, redialShortest
			awaitEnd(ctx, conn)
			continue // ask at once
		case known && isReset(err):
			p.post(replication.Traced{Of: member, Sign: replication.PortUnreachable})
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, redialLongest)
	}
}

// awaitEnd returns when a connection over which nothing is said has ended.
func awaitEnd(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	var nothing [1]byte
	_, _ = conn.Read(nothing[:])
}

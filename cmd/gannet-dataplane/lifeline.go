package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
)

// mostLifelines bounds who may hold one: members of a cluster do, one each.
const mostLifelines = 1024

// lifeline is a TCP port beside the first data port. Nothing is said over it: other
// nodes hold a connection, which the kernel ends when this process dies, and refuses
// from then on. An ICMP message would say the same, but kernels send few of these, and
// clients that still ask a dead port use them up.
type lifeline struct {
	listener net.Listener
	room     chan struct{} // of capacity mostLifelines
}

func openLifeline(addr netip.AddrPort) (*lifeline, error) {
	listener, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("lifeline on TCP port %d (other nodes will take longer to notice a death): %w", addr.Port(), err)
	}
	l := &lifeline{listener: listener, room: make(chan struct{}, mostLifelines)}
	go l.accept()
	return l, nil
}

// accept lets others hold connections until they go, or close is called.
func (l *lifeline) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		select {
		case l.room <- struct{}{}:
			go l.hold(conn)
		default:
			_ = conn.Close() // somebody who is no member holds them all
		}
	}
}

func (l *lifeline) hold(conn net.Conn) {
	_, _ = io.Copy(io.Discard, conn) // it ends with the other side's interest
	_ = conn.Close()
	<-l.room
}

func (l *lifeline) close() error { return l.listener.Close() }

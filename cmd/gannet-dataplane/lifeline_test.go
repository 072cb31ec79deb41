package main

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

func TestLifelineIsHeldUntilTheEnd(t *testing.T) {
	l, err := openLifeline(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	addr := l.listener.Addr().String()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("anything")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("read from a lifeline: %v, want silence", err)
	}
	for len(l.room) != 1 {
		time.Sleep(time.Millisecond)
	}
	_ = conn.Close()
	for len(l.room) != 0 {
		time.Sleep(time.Millisecond) // given back
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after its end: %v, want refused", err)
	}
}

package bed

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// switched makes a switch with nodes on it that run nothing: namespaces and cables.
func switched(t *testing.T, count int) []*Node {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root, for network namespaces")
	}
	prefix := namePrefix + strconv.Itoa(os.Getpid())
	t.Cleanup(func() {
		outside.prefix, outside.wire = "", nil
		if err := removeAll(prefix); err != nil {
			t.Error(err)
		}
	})
	wire, err := newPlace(prefix + "-switch")
	if err != nil {
		t.Fatal(err)
	}
	outside.prefix, outside.wire = prefix, wire
	if err := wire.Do(makeBridge); err != nil {
		t.Fatal(err)
	}
	b := &Bed{number: 1, prefix: prefix}
	for i := range count {
		n, err := b.makeNode(i)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.box.close(); err != nil {
				t.Error(err)
			}
		})
		b.nodes = append(b.nodes, n)
	}
	return b.nodes
}

// listener repeats what it hears, and knows what it was.
type listener struct {
	conn *net.UDPConn
	mu   sync.Mutex
	seen []string // guarded by mu
}

func listen(t *testing.T, n *Node, port uint16) *listener {
	t.Helper()
	l := &listener{}
	at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(n.Addr), port))
	err := n.Do(func() (err error) { l.conn, err = net.ListenUDP("udp", at); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.conn.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			got, from, err := l.conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			l.mu.Lock()
			l.seen = append(l.seen, string(buf[:got]))
			l.mu.Unlock()
			_, _ = l.conn.WriteToUDPAddrPort(buf[:got], from)
		}
	}()
	return l
}

func (l *listener) heard(word string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.seen, word)
}

// speaker is a socket of a node that speaks to a listener.
type speaker struct {
	t    *testing.T
	conn net.Conn
	to   *listener
}

func speak(t *testing.T, n *Node, to *listener) *speaker {
	t.Helper()
	s := &speaker{t: t, to: to}
	err := n.Do(func() (err error) { s.conn, err = net.Dial("udp", to.conn.LocalAddr().String()); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	return s
}

// say sends a word. It arrives before what is said later, or never.
func (s *speaker) say(word string) {
	s.t.Helper()
	if _, err := s.conn.Write([]byte(word)); err != nil {
		s.t.Fatal(err)
	}
}

// reach says a word until it comes back.
func (s *speaker) reach(word string) {
	s.t.Helper()
	buf := make([]byte, 100)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		s.say(word)
		_ = s.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if got, err := s.conn.Read(buf); err == nil && string(buf[:got]) == word {
			return
		}
	}
	s.t.Fatalf("%q never comes back", word)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestACutCutsAndHeals: what is said while a node is cut off never arrives, not even
// after the cut is healed, and those that are not cut off go on.
func TestACutCutsAndHeals(t *testing.T) {
	const port = 5000
	nodes := switched(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	atB, atC, gossipAtB := listen(t, b, port), listen(t, c, port), listen(t, b, GossipPort)
	toB, toC, gossipToB := speak(t, a, atB), speak(t, a, atC), speak(t, a, gossipAtB)
	for name, row := range map[string]struct {
		cut  func() error
		dead []*speaker
		live []*speaker
	}{
		"off the network": {func() error { return b.Cut() }, []*speaker{toB, gossipToB}, []*speaker{toC}},
		"from a peer":     {func() error { return b.Cut(a) }, []*speaker{toB, gossipToB}, []*speaker{toC, speak(t, c, atB)}},
		"by the peer":     {func() error { return a.Cut(b) }, []*speaker{toB, gossipToB}, []*speaker{toC, speak(t, c, atB)}},
		"gossip":          {func() error { return b.CutGossip() }, []*speaker{gossipToB}, []*speaker{toB, toC}},
	} {
		t.Run(name, func(t *testing.T) {
			all := append(slices.Clone(row.dead), row.live...)
			for i, s := range all {
				s.reach(fmt.Sprint(name, ": before ", i))
			}
			must(t, row.cut())
			for i, s := range row.live {
				s.reach(fmt.Sprint(name, ": meanwhile ", i))
			}
			for i, s := range row.dead {
				s.say(fmt.Sprint(name, ": lost ", i))
			}
			must(t, errors.Join(a.Heal(), b.Heal()))
			for i, s := range all {
				s.reach(fmt.Sprint(name, ": after ", i))
			}
			for i, s := range row.dead {
				if s.to.heard(fmt.Sprint(name, ": lost ", i)) {
					t.Errorf("what the cut-off node was told as word %d has arrived", i)
				}
			}
		})
	}
}

// TestPlacesGoWithAllThatRunsInThem.
func TestPlacesGoWithAllThatRunsInThem(t *testing.T) {
	n := switched(t, 1)[0]
	name := filepath.Join(netnsDir, n.place.Name())
	if _, err := os.Stat(name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	must(t, n.Do(cmd.Start))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if pids, err := n.place.processes(); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Fatalf("processes %v, %v; want %d", pids, err, cmd.Process.Pid)
	}
	must(t, n.place.remove())
	var exit *exec.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Errorf("what ran there ended with %v", err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there still: %v", name, err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) { // the kernel takes it away in its own time
		if err := outside.wire.Do(func() error { return linkUp(n.place.port) }); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the cable's other end is there still")
		}
	}
}

// TestNothingIsBuiltOutside: a program that did not begin with Enter makes nothing.
func TestNothingIsBuiltOutside(t *testing.T) {
	if _, err := New(t.Context(), Config{}); !errors.Is(err, ErrNotEntered) {
		t.Errorf("%v, want ErrNotEntered", err)
	}
}

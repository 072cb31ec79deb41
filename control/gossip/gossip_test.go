package gossip

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The library ends these only with the probe that is under way.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probe"),
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).handleIndirectPing.func2"))
}

// world is a network of nodes on loopback whose traffic a test may cut.
type world struct {
	*testing.T
	keyFile string
	tune    func(*memberlist.Config)

	mu    sync.Mutex
	side  map[string]int // address → side of the split; guarded by mu
	nodes []*node
}

type node struct {
	*Gossip
	stop func()

	mu       sync.Mutex
	messages map[string]int // payload → times heard; guarded by mu
	more     *sync.Cond
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, side: map[string]int{}, tune: steady, keyFile: filepath.Join(t.TempDir(), "keys")}
	w.writeKeys("first")
	return w
}

// key makes a key of a word.
func key(word string) string {
	return base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%-32s", word)))
}

func (w *world) writeKeys(words ...string) {
	w.Helper()
	writeKeyFile(w.T, w.keyFile, words...)
}

func writeKeyFile(t *testing.T, path string, words ...string) {
	t.Helper()
	text := "# keys\n\n"
	for _, word := range words {
		text += key(word) + "\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// steady spreads fast, but does not take a busy machine for a dead one.
func steady(c *memberlist.Config) {
	c.GossipInterval = 10 * time.Millisecond
	c.ProbeTimeout = 900 * time.Millisecond
}

// hasty also takes little time to declare the dead and to forget them.
func hasty(c *memberlist.Config) {
	steady(c)
	c.ProbeInterval, c.ProbeTimeout = 150*time.Millisecond, 100*time.Millisecond
	c.SuspicionMult = 2
	c.GossipToTheDeadTime = 300 * time.Millisecond
	c.TCPTimeout = time.Second
}

func (w *world) start(keyFile string) *node {
	w.Helper()
	return w.startAs(uint64(len(w.nodes)+1), keyFile)
}

func (w *world) startAs(id uint64, keyFile string) *node {
	w.Helper()
	n := &node{messages: map[string]int{}}
	n.more = sync.NewCond(&n.mu)
	g, err := Start(Config{
		ID: id, Life: uint64(len(w.nodes) + 1), Name: fmt.Sprint("n", id), Listen: netip.MustParseAddrPort("127.0.0.1:0"), KeyFile: keyFile,
		Seeds: w.seeds, Epoch: func() uint32 { return 7 },
		Handlers: map[Kind]Handler{KindReplication: n.hear, KindInvalidation: n.hear},
		Log:      slog.New(slog.DiscardHandler), rejoinEvery: 50 * time.Millisecond, tune: w.tune,
		wrap: func(inner memberlist.NodeAwareTransport) (memberlist.NodeAwareTransport, error) {
			return &splitTransport{NodeAwareTransport: inner, w: w}, nil
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	n.Gossip = g
	w.mu.Lock()
	w.nodes = append(w.nodes, n)
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(n.stop)
	return n
}

func (w *world) seeds() (addrs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		addrs = append(addrs, n.Addr())
	}
	return addrs
}

// split puts the nodes from index on on another side.
func (w *world) split(from int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, n := range w.nodes {
		w.side[n.Addr()] = 0
		if i >= from {
			w.side[n.Addr()] = 1
		}
	}
}

func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.side)
}

func (w *world) cut(a, b string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.side[a] != w.side[b]
}

// await waits until each of the nodes sees so many others.
func (w *world) await(nodes []*node, others int) {
	w.Helper()
	w.eventually(fmt.Sprintf("%d nodes see %d others each", len(nodes), others), func() bool {
		return !slices.ContainsFunc(nodes, func(n *node) bool { return len(n.Members()) != others })
	})
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.Fatalf("waited in vain until %s", what)
		}
	}
}

func (n *node) hear(_ uint64, payload []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.messages[string(payload)]++
	return n.messages[string(payload)] == 1
}

func (n *node) heard(payload string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.messages[payload]
}

// splitTransport loses what would cross the split.
type splitTransport struct {
	memberlist.NodeAwareTransport
	w *world
}

var errCut = errors.New("cut")

func (t *splitTransport) self() string {
	ip, port, err := t.FinalAdvertiseAddr("", 0)
	if err != nil {
		t.w.Error(err)
	}
	return net.JoinHostPort(ip.String(), fmt.Sprint(port))
}

func (t *splitTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if t.w.cut(t.self(), a.Addr) {
		return time.Now(), nil
	}
	return t.NodeAwareTransport.WriteToAddress(b, a)
}

func (t *splitTransport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (t *splitTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.w.cut(t.self(), a.Addr) {
		return nil, errCut
	}
	return t.NodeAwareTransport.DialAddressTimeout(a, timeout)
}

func (t *splitTransport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func TestMessages(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.start(w.keyFile), w.start(w.keyFile), w.start(w.keyFile)
	w.await(w.nodes, 2)
	if got := a.Members()[0]; got.ID != 2 || got.Name != "n2" || got.Epoch != 7 || got.Addr != b.Addr() {
		t.Errorf("%+v", got)
	}
	// Datagrams may be lost even here: what is sent again and again arrives.
	w.eventually("the message to one arrives", func() bool {
		if err := a.Send(2, KindReplication, []byte("grant")); err != nil {
			t.Fatal(err)
		}
		return b.heard("grant") > 0
	})
	w.eventually("the message to all arrives", func() bool {
		if err := a.Broadcast(KindInvalidation, []byte("event")); err != nil {
			t.Fatal(err)
		}
		return b.heard("event") > 0 && c.heard("event") > 0
	})
	if c.heard("grant") != 0 || a.heard("event") != 0 {
		t.Error("a message went where it should not")
	}
	if err := a.Send(99, KindReplication, nil); !errors.Is(err, ErrNoMember) {
		t.Errorf("to nobody: %v", err)
	}
	if err := a.Broadcast(KindReplication, make([]byte, MaxPayload+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	c.stop()
	w.await([]*node{a, b}, 1)
	if st := a.Stats(); st.Members != 1 || st.Sent[KindReplication] == 0 || st.Broadcasts[KindInvalidation] == 0 {
		t.Errorf("%+v", st)
	}
	if err := a.Send(3, KindReplication, []byte("x")); err != nil {
		t.Errorf("to where a member was: %v", err)
	}
}

// TestLargestPayload goes through the queue, and arrives whole.
func TestLargestPayload(t *testing.T) {
	w := newWorld(t)
	a, b := w.start(w.keyFile), w.start(w.keyFile)
	w.await(w.nodes, 1)
	payload := bytes.Repeat([]byte{1}, MaxPayload)
	e := envelope{kind: KindInvalidation, passOn: true, origin: 1, payload: payload}
	a.enqueue(KindInvalidation, e.encode())
	w.eventually("it arrives", func() bool { return b.heard(string(payload)) > 0 })
}

// TestSplitHeals cuts a cluster in two until each side has forgotten the other, and
// lets traffic pass again.
func TestSplitHeals(t *testing.T) {
	w := newWorld(t)
	w.tune = hasty
	for range 5 {
		w.start(w.keyFile)
	}
	w.await(w.nodes, 4)
	w.split(3)
	w.await(w.nodes[:3], 2)
	w.await(w.nodes[3:], 1)
	// By now both sides forget the dead: the library would not find them by itself.
	w.eventually("many attempts to join the other side failed", func() bool {
		return !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.Stats().JoinsFailed < 20 })
	})
	w.heal()
	w.await(w.nodes, 4)
}

// TestStartedAgainElsewhere: a node that died and came back on another port is heard
// there long before the others have given up its former life, and that one's end does
// it no harm.
func TestStartedAgainElsewhere(t *testing.T) {
	w := newWorld(t)
	a, b, dead := w.start(w.keyFile), w.start(w.keyFile), w.start(w.keyFile)
	w.await(w.nodes, 2)
	w.split(2) // it dies without a word to the others
	dead.stop()
	again := w.startAs(3, w.keyFile)
	w.eventually("the others know where it is", func() bool {
		return !slices.ContainsFunc([]*node{a, b}, func(n *node) bool {
			m, ok := n.members.find(3)
			return !ok || m.Addr != again.Addr()
		})
	})
	if _, heard := a.members.gone[3]; heard {
		t.Error("it counts as gone")
	}
	former := &memberlist.Node{Name: wireName(3, 3), Meta: encodeMeta(7, "n3")}
	a.members.NotifyLeave(former)
	a.members.NotifyUpdate(former)
	if m, ok := a.members.find(3); !ok || m.Addr != again.Addr() {
		t.Errorf("after the end of its former life it is at %q", m.Addr)
	}
	if err := a.Send(3, KindReplication, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	w.eventually("it hears", func() bool { return again.heard("hello") == 1 })
}

// TestKeysRotate exchanges the keys of nodes that run.
func TestKeysRotate(t *testing.T) {
	w := newWorld(t)
	a, b := w.start(w.keyFile), w.start(w.keyFile)
	w.await(w.nodes, 1)
	arrives := func(when string) {
		t.Helper()
		w.eventually(when, func() bool {
			_ = a.Send(2, KindReplication, []byte(when))
			return b.heard(when) > 0
		})
	}
	reload := func(words ...string) {
		t.Helper()
		w.writeKeys(words...)
		for _, n := range []*node{a, b} {
			if changed, err := n.keys.refresh(); !changed || err != nil {
				t.Fatalf("%v: %v, %v", words, changed, err)
			}
		}
	}
	reload("first", "second")
	arrives("two keys")
	reload("second", "first")
	arrives("the second encrypts")
	reload("second")
	arrives("the first is gone")
	if keys := a.keys.ring.GetKeys(); len(keys) != 1 || base64.StdEncoding.EncodeToString(keys[0]) != key("second") {
		t.Errorf("%q", keys)
	}
	if err := os.WriteFile(w.keyFile, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := a.keys.refresh(); err == nil {
		t.Error("a broken file was taken")
	}
	if changed, err := a.keys.refresh(); changed || err != nil {
		t.Errorf("it was complained about twice: %v", err)
	}
	arrives("with a broken file")
}

// TestStrangersStayOut: a node with another key, or none, is no member.
func TestStrangersStayOut(t *testing.T) {
	w := newWorld(t)
	a, b := w.start(w.keyFile), w.start(w.keyFile)
	w.await(w.nodes, 1)
	other := filepath.Join(t.TempDir(), "keys")
	writeKeyFile(t, other, "other")
	wrong, plain := w.start(other), w.start("")
	w.eventually("the strangers have tried", func() bool {
		return wrong.Stats().JoinsFailed > 3 && plain.Stats().JoinsFailed > 3
	})
	for _, n := range []*node{a, b} {
		if others := n.Members(); len(others) != 1 {
			t.Errorf("members: %+v", others)
		}
	}
	if len(wrong.Members())+len(plain.Members()) != 0 {
		t.Error("a stranger has members")
	}
}

// TestPassedOn: in a large cluster everybody hears a broadcast, though its origin
// speaks to few.
func TestPassedOn(t *testing.T) {
	w := newWorld(t)
	const count = directMembers + 4
	for range count {
		w.start(w.keyFile)
	}
	w.await(w.nodes, count-1)
	if err := w.nodes[0].Broadcast(KindInvalidation, []byte("to all")); err != nil {
		t.Fatal(err)
	}
	w.eventually("all have heard it", func() bool {
		for _, n := range w.nodes[1:] {
			if n.heard("to all") == 0 {
				return false
			}
		}
		return true
	})
	passed := uint64(0)
	for _, n := range w.nodes {
		passed += n.Stats().PassedOn[KindInvalidation]
	}
	if passed == 0 {
		t.Error("nobody passed it on")
	}
}

// TestFullQueue drops the oldest and counts it.
func TestFullQueue(t *testing.T) {
	g := &Gossip{members: newMembers(1)}
	g.queues[KindInvalidation] = memberlist.TransmitLimitedQueue{NumNodes: func() int { return 100 }, RetransmitMult: 4}
	g.queues[KindReplication] = memberlist.TransmitLimitedQueue{NumNodes: func() int { return 100 }, RetransmitMult: 4}
	for i := range maxQueued + 5 {
		g.enqueue(KindInvalidation, fmt.Appendf(nil, "%04d", i))
	}
	if got := g.counts.dropped[KindInvalidation].Load(); got != 5 || g.queues[KindInvalidation].NumQueued() != maxQueued {
		t.Errorf("%d dropped, %d queued", got, g.queues[KindInvalidation].NumQueued())
	}
	g.enqueue(KindReplication, []byte("urgent"))
	if first := g.GetBroadcasts(3, 100); len(first) == 0 || string(first[0]) != "urgent" {
		t.Errorf("first comes %q", first)
	}
	total := 0
	for _, m := range g.GetBroadcasts(3, 100) {
		total += len(m) + 3
	}
	if total > 100 {
		t.Errorf("%d bytes in a datagram of 100", total)
	}
}

func TestStartFails(t *testing.T) {
	base := Config{ID: 1, Name: "n", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Epoch: func() uint32 { return 1 }, Log: slog.New(slog.DiscardHandler)}
	everywhere := base
	everywhere.Listen = netip.MustParseAddrPort("0.0.0.0:0")
	if _, err := Start(everywhere); !errors.Is(err, ErrNoAddress) {
		t.Errorf("%v", err)
	}
	everywhere.Advertise = netip.MustParseAddr("127.0.0.1")
	g, err := Start(everywhere)
	if err != nil || !strings.HasPrefix(g.Addr(), "127.0.0.1:") || strings.HasSuffix(g.Addr(), ":0") {
		t.Fatalf("%v", err)
	}
	taken := base
	taken.Listen = netip.MustParseAddrPort(g.Addr())
	if _, err := Start(taken); err == nil || !strings.Contains(err.Error(), "--gossip-port") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.cfg.Seeds = func() []string { return nil }
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}
	for name, content := range map[string]string{"empty": "# none\n", "not base64": "%%%\n", "short": "AAAA\n"} {
		bad := base
		bad.KeyFile = filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(bad.KeyFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var wrong *KeyFileError
		if _, err := Start(bad); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLog: a flood of warnings is one line a second.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(100, 0)
	w := &logWriter{log: slog.New(slog.NewTextHandler(&out, nil)), now: func() time.Time { return now }}
	for range 3 {
		fmt.Fprintln(w, "[ERR] memberlist: wrong datagram")
		fmt.Fprintln(w, "[DEBUG] memberlist: detail")
	}
	now = now.Add(warnEvery)
	fmt.Fprintln(w, "[WARN] memberlist: slow")
	want := []string{"level=WARN msg=\"wrong datagram\" left_out=0", "level=INFO msg=slow left_out=2"}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) || !strings.Contains(lines[0], want[0]) || !strings.Contains(lines[1], want[1]) {
		t.Errorf("%q", lines)
	}
}

func FuzzEnvelope(f *testing.F) {
	e := envelope{kind: KindReplication, passOn: true, origin: 3, payload: []byte("p")}
	f.Add(e.encode())
	f.Add([]byte{1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := decodeEnvelope(b)
		if ok && !bytes.Equal(e.encode()[:3], b[:3]) || ok && !bytes.Equal(e.encode()[4:], b[4:]) {
			t.Errorf("%x is read as %+v", b, e)
		}
		if epoch, name, ok := decodeMeta(b); ok && !bytes.Equal(encodeMeta(epoch, name), b) {
			t.Errorf("%x is read as %d, %q", b, epoch, name)
		}
		_, _ = parseKeys("f", b)
	})
}

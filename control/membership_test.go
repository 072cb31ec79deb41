package control

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"gannet/replication"
	"gannet/ring"
	"gannet/security/mtls"
)

var testSelf = ring.Member{
	ID: 1 << 63, Name: "a", Zone: "z", Addr: netip.MustParseAddrPort("10.0.0.1:9800"), Control: netip.MustParseAddrPort("10.0.0.1:9741"),
	Gossip: netip.MustParseAddrPort("10.0.0.1:9742"), Shards: 2, Weight: 1,
}

func startEtcdIn(t *testing.T, dir string) *Etcd {
	t.Helper()
	etcd, err := StartEtcd(t.Context(), "test", dir, "http://127.0.0.1:0", "http://127.0.0.1:0", mtls.Files{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return etcd
}

func connect(t *testing.T, etcd *Etcd, store *mtls.Store) *clientv3.Client {
	t.Helper()
	client, err := NewEtcdClient([]string{etcd.ClientURL}, store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	client.Lease = longLease{client.Lease}
	return client
}

// longLease grants leases that outlast a test in which nobody keeps them.
type longLease struct{ clientv3.Lease }

func (l longLease) Grant(ctx context.Context, _ int64) (*clientv3.LeaseGrantResponse, error) {
	return l.Lease.Grant(ctx, 600)
}

func startTestEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	etcd := startEtcdIn(t, t.TempDir())
	t.Cleanup(etcd.Close)
	return connect(t, etcd, nil)
}

func TestEtcdStartsAgainOnItsData(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		etcd := startEtcdIn(t, dir)
		client := connect(t, etcd, nil)
		got, err := client.Get(t.Context(), "kept")
		if err != nil || int(got.Count) != round {
			t.Fatalf("start %d: %v, %v", round, got, err)
		}
		if _, err := client.Put(t.Context(), "kept", "yes"); err != nil {
			t.Fatal(err)
		}
		etcd.Close()
	}
}

// TestEtcdOverTLS: who has a certificate gets an answer, who has none gets none.
func TestEtcdOverTLS(t *testing.T) {
	certs := filepath.Join(t.TempDir(), "certs")
	err := mtls.DevCA(certs, mtls.DevOptions{NodeNames: []string{"etcd", "a"}, Hosts: []string{"127.0.0.1"}, ValidFor: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	etcd, err := StartEtcd(t.Context(), "test", t.TempDir(), "https://127.0.0.1:0", "https://127.0.0.1:0", mtls.DevFiles(certs, "etcd"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Close()
	store, err := mtls.Open(mtls.DevFiles(certs, "a"), mtls.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := connect(t, etcd, store).Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := connect(t, etcd, nil).Put(short, "k", "v"); err == nil {
		t.Fatal("etcd takes a write without a certificate")
	}
}

func TestMemberRecordsComeBack(t *testing.T) {
	text, err := encodeMember(&testSelf)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeMember([]byte(text)); err != nil || got != testSelf {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := decodeMember([]byte("{")); err == nil {
		t.Fatal("a damaged record was read")
	}
	if id, ok := idOfKey(memberKey(testSelf.ID), membersKey); !ok || id != testSelf.ID {
		t.Fatalf("id %x of its key", id)
	}
}

func always() bool { return true }

// step makes one; an etcd whose disk is slow is asked again.
func step(t *testing.T, m *Membership) {
	t.Helper()
	err := m.step(t.Context())
	for limit := time.Now().Add(time.Minute); err != nil && time.Now().Before(limit); {
		err = m.step(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestMembershipStandsAndLeaves(t *testing.T) {
	client := startTestEtcd(t)
	first := NewMembership(client, testSelf, always, quiet)
	step(t, first)
	other := testSelf
	other.ID = 7
	second := NewMembership(client, other, always, quiet)
	step(t, second)
	views := follow(t, client)
	v := awaitView(t, views, func(v View) bool { return len(v.Members) == 2 })
	if v.Controller != testSelf.ID {
		t.Fatalf("controller %x, want the first that stood", v.Controller)
	}
	if v.Members[0] != other || v.Members[1] != testSelf {
		t.Fatalf("members %+v", v.Members)
	}
	first.leave()
	awaitView(t, views, func(v View) bool { return len(v.Members) == 1 && v.Controller == 0 })
	step(t, second)
	awaitView(t, views, func(v View) bool { return v.Controller == other.ID })
}

func TestMembershipGetsANewLease(t *testing.T) {
	client := startTestEtcd(t)
	m := NewMembership(client, testSelf, always, quiet)
	step(t, m)
	lost := m.lease
	if _, err := client.Revoke(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	step(t, m)
	if got, err := client.Get(t.Context(), memberKey(testSelf.ID)); m.lease == lost || err != nil || len(got.Kvs) != 1 {
		t.Fatalf("after a lost lease: lease %x, %v, %v", m.lease, got, err)
	}
}

// muteLease grants leases, and never says a word to who would keep one.
type muteLease struct {
	clientv3.Lease
	allowed []time.Duration // for each call
}

func (l *muteLease) KeepAliveOnce(ctx context.Context, _ clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	if until, ok := ctx.Deadline(); ok {
		l.allowed = append(l.allowed, time.Until(until))
	}
	return nil, context.DeadlineExceeded // as if the time had passed
}

// TestAMuteEndpointDoesNotCostTheLease: what one call may take leaves time for others
// before the lease ends.
func TestAMuteEndpointDoesNotCostTheLease(t *testing.T) {
	client := startTestEtcd(t)
	mute := &muteLease{Lease: client.Lease}
	client.Lease = mute
	m := NewMembership(client, testSelf, func() bool { return false }, quiet)
	step(t, m)
	const tries = 3
	for range tries {
		if err := m.step(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a lease that nobody keeps: %v", err)
		}
	}
	longest := leaseSeconds*time.Second - keepAliveInterval
	for _, allowed := range mute.allowed {
		longest -= max(allowed, keepAliveInterval)
	}
	if len(mute.allowed) != tries || longest < 0 {
		t.Errorf("calls may take %v; a lease lasts %d s", mute.allowed, leaseSeconds)
	}
}

// follow runs a watch and returns what it sees.
func follow(t *testing.T, client *clientv3.Client) <-chan View {
	t.Helper()
	views := make(chan View, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	w := &Watch{Client: client, Log: quiet, Seen: func(v View, _ bool) { views <- v }}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return views
}

func awaitView(t *testing.T, views <-chan View, wanted func(View) bool) View {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case v := <-views:
			if wanted(v) {
				return v
			}
		case <-limit:
			t.Fatal("the watch did not see it")
		}
	}
}

// TestWatchReadsEverythingAgain: what changed while etcd was away is seen once it is
// back.
func TestWatchReadsEverythingAgain(t *testing.T) {
	dir := t.TempDir()
	etcd := startEtcdIn(t, dir)
	url := etcd.ClientURL
	client := connect(t, etcd, nil)
	m := NewMembership(client, testSelf, always, quiet)
	step(t, m)
	views := follow(t, client)
	awaitView(t, views, func(v View) bool { return len(v.Members) == 1 })
	etcd.Close()
	// Behind the watch's back: etcd comes back with another ring.
	again, err := StartEtcd(t.Context(), "test", dir, url, "http://127.0.0.1:0", mtls.Files{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	rec := testRecord(t, 3)
	if _, err := connect(t, again, nil).Put(t.Context(), ringKey, string(rec.AppendEncode(nil))); err != nil {
		t.Fatal(err)
	}
	v := awaitView(t, views, func(v View) bool { return v.Record.Epoch() == 3 })
	if v.Record.Revision == 0 {
		t.Fatal("a ring from etcd without its revision")
	}
}

// muteStream is a stream of which nothing is heard, as over a path that has died
// without a word; the connection below and every other call go on.
type muteStream struct{ grpc.ClientStream }

func (m muteStream) RecvMsg(any) error {
	<-m.Context().Done()
	return m.Context().Err()
}

// TestAMuteWatchIsLeftBehind: a watch that gives no sign of life in its time is not
// trusted, and what happened meanwhile is read.
func TestAMuteWatchIsLeftBehind(t *testing.T) {
	etcd := startEtcdIn(t, t.TempDir())
	t.Cleanup(etcd.Close)
	var streams atomic.Int32
	deaf, err := clientv3.New(clientv3.Config{
		Endpoints: []string{etcd.ClientURL}, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithStreamInterceptor(
			func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
				s, err := open(ctx, desc, conn, method, opts...)
				if err != nil || !strings.HasSuffix(method, "/Watch") || streams.Add(1) > 1 {
					return s, err
				}
				return muteStream{s}, nil
			})},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deaf.Close() })
	views := follow(t, deaf)
	awaitView(t, views, func(v View) bool { return v.Record.Ring == nil })
	// Not a member: its lease would have ended before the silence is believed.
	client := connect(t, etcd, nil)
	for epoch := uint32(3); epoch < 5; epoch++ {
		rec := testRecord(t, epoch)
		if _, err := client.Put(t.Context(), ringKey, string(rec.AppendEncode(nil))); err != nil {
			t.Fatal(err)
		}
		awaitView(t, views, func(v View) bool { return v.Record.Epoch() == epoch })
	}
	if streams.Load() < 2 {
		t.Error("the first watch was never left")
	}
}

func testRecord(t *testing.T, epoch uint32) replication.Record {
	t.Helper()
	r, err := ring.Build(ring.Spec{Epoch: epoch, Replicas: 2, Members: []ring.Member{testSelf}})
	if err != nil {
		t.Fatal(err)
	}
	return replication.NewRecord(r, 0, []uint64{testSelf.ID})
}

func newStore(t *testing.T, client *clientv3.Client) (*ringStore, chan replication.Event) {
	t.Helper()
	events := make(chan replication.Event, 100)
	post := func(ev replication.Event) { events <- ev }
	s := &ringStore{ctx: t.Context(), client: client, node: post, both: post, swapped: post, log: quiet}
	t.Cleanup(s.running.Wait)
	return s, events
}

func TestRingStoreComparesRevisions(t *testing.T) {
	s, events := newStore(t, startTestEtcd(t))
	s.swap(testRecord(t, 1))
	if ev := <-events; ev != (replication.Swapped{Done: true}) {
		t.Fatalf("first swap: %+v", ev)
	}
	seen, ok := (<-events).(replication.RecordSeen)
	if !ok || !seen.Linear || seen.Record.Epoch() != 1 || seen.Record.Revision == 0 || len(seen.Record.PrevVoters) != 1 {
		t.Fatalf("after the swap: %+v", seen)
	}
	s.renew(seen.Record.Revision)
	if ev, ok := (<-events).(replication.Renewed); !ok || ev.Revision != seen.Record.Revision || ev.SentNanos == 0 || ev.SentNanos > BootNanos() {
		t.Fatalf("renewal: %+v", ev)
	}
	s.swap(testRecord(t, 2)) // of revision 0: as if there were none
	if ev := <-events; ev != (replication.Swapped{}) {
		t.Fatalf("a swap over a ring it has not read: %+v", ev)
	}
	<-events
	s.renew(seen.Record.Revision + 1)
	if ev := <-events; ev != (replication.RenewRefused{Revision: seen.Record.Revision + 1}) {
		t.Fatalf("renewal of another ring: %+v", ev)
	}
}

func TestStateFilesKeepTheLastState(t *testing.T) {
	f := stateFiles{t.TempDir()}
	if state, _, err := f.recall(); state != nil || err != nil {
		t.Fatalf("from an empty directory: %v, %v", state, err)
	}
	if rec, err := f.record(); rec.Ring != nil || err != nil {
		t.Fatalf("from an empty directory: %v, %v", rec, err)
	}
	for _, want := range []string{"first", "second"} {
		if err := f.remember([]byte(want), 42); err != nil {
			t.Fatal(err)
		}
	}
	if state, memoryID, err := f.recall(); string(state) != "second" || memoryID != 42 || err != nil {
		t.Fatalf("%q of %d, %v", state, memoryID, err)
	}
	rec := testRecord(t, 5)
	if err := f.putRecord(&rec); err != nil {
		t.Fatal(err)
	}
	if got, err := f.record(); err != nil || got.Epoch() != 5 || len(got.PrevVoters) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, recordFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.record(); err == nil {
		t.Fatal("a damaged ring was read")
	}
}

func TestRestartsWaitLongerAndForget(t *testing.T) {
	var r restarts
	if d := r.next(time.Hour); d != 0 {
		t.Errorf("after a sound life: %v", d)
	}
	last := time.Duration(0)
	for range 20 {
		d := r.next(0)
		if d < last || d > restartLongest || d == 0 {
			t.Fatalf("wait %v after %v", d, last)
		}
		last = d
	}
	if last != restartLongest {
		t.Errorf("waits end at %v", last)
	}
	if d := r.next(restartSound); d != 0 {
		t.Errorf("after a sound life: %v", d)
	}
}

package control

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gannet/ring"
)

func startTestEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	etcd, err := StartEtcd(t.Context(), "test", t.TempDir(), "http://127.0.0.1:0", "http://127.0.0.1:0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	client, err := NewEtcdClient([]string{etcd.ClientURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestEtcdStartsAgainOnItsData(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		etcd, err := StartEtcd(t.Context(), "test", dir, "http://127.0.0.1:0", "http://127.0.0.1:0", quiet)
		if err != nil {
			t.Fatal(err)
		}
		client, err := NewEtcdClient([]string{etcd.ClientURL})
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Get(t.Context(), "kept")
		if err != nil || int(got.Count) != round {
			t.Fatalf("start %d: %v, %v", round, got, err)
		}
		if _, err := client.Put(t.Context(), "kept", "yes"); err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
		etcd.Close()
	}
}

// heard records what a membership reports.
type heard struct {
	mu    sync.Mutex
	rings chan *ring.Ring
	alive int
}

func newMembership(client *clientv3.Client, self ring.Member) (*Membership, *heard) {
	h := &heard{rings: make(chan *ring.Ring, 100)}
	return &Membership{
		Client: client, Self: self, Log: quiet,
		Served:  func() uint32 { return 0 },
		Publish: func(r *ring.Ring) { h.rings <- r },
		KeptAlive: func(int64) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.alive++
		},
	}, h
}

func TestMembershipAgreesOnTheRingAndLeaves(t *testing.T) {
	client := startTestEtcd(t)
	m, h := newMembership(client, testSelf)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	r := <-h.rings
	if r.Epoch() != 1 || r.Owner(0).ID != testSelf.ID {
		t.Fatalf("ring of epoch %d", r.Epoch())
	}
	got, err := client.Get(t.Context(), m.memberKey())
	if err != nil || len(got.Kvs) != 1 || got.Kvs[0].Lease == 0 {
		t.Fatalf("the member's record under a lease: %v, %v", got, err)
	}
	var record memberRecord
	if err := json.Unmarshal(got.Kvs[0].Value, &record); err != nil || record != recordOf(testSelf) {
		t.Fatalf("record %+v, %v", record, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), m.memberKey()); err != nil || len(got.Kvs) != 0 {
		t.Fatalf("the record of a member that left: %v, %v", got, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.alive == 0 {
		t.Error("no keep-alive reached the fence")
	}
}

func TestMembershipRefusesAnotherNodesEtcd(t *testing.T) {
	client := startTestEtcd(t)
	first, _ := newMembership(client, testSelf)
	if err := first.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := testSelf
	other.ID = 7
	second, _ := newMembership(client, other)
	var foreign *ForeignRingError
	if err := second.Run(t.Context()); !errors.As(err, &foreign) {
		t.Fatalf("a second node in the same etcd: %v", err)
	}
}

func TestMembershipFollowsAChangedRing(t *testing.T) {
	client := startTestEtcd(t)
	m, h := newMembership(client, testSelf)
	if err := m.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	value := string(encoded(t, ringRecord{Epoch: 9, Members: []memberRecord{recordOf(testSelf)}}))
	if _, err := client.Put(t.Context(), ringKey, value); err != nil {
		t.Fatal(err)
	}
	if err := m.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first, second := <-h.rings, <-h.rings; first.Epoch() != 1 || second.Epoch() != 9 {
		t.Fatalf("epochs %d and %d", first.Epoch(), second.Epoch())
	}
}

func TestSwapLosesToAnEarlierWriter(t *testing.T) {
	client := startTestEtcd(t)
	m, _ := newMembership(client, testSelf)
	record := ringRecord{Epoch: 3, Members: []memberRecord{recordOf(testSelf)}}
	if _, err := m.swap(t.Context(), record, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.swap(t.Context(), record, 0); !errors.Is(err, errOvertaken) {
		t.Fatalf("swap over a record it has not read: %v", err)
	}
}

func TestMembershipGetsANewLease(t *testing.T) {
	client := startTestEtcd(t)
	m, h := newMembership(client, testSelf)
	if err := m.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost := m.lease
	if _, err := client.Revoke(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	if err := m.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Get(t.Context(), m.memberKey()); m.lease == lost || err != nil || len(got.Kvs) != 1 {
		t.Fatalf("after a lost lease: lease %x, %v, %v", m.lease, got, err)
	}
	if len(h.rings) != 1 {
		t.Errorf("the same ring was published %d times", len(h.rings))
	}
}

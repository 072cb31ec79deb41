package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"gannet/ring"
)

const (
	keyPrefix  = "/gannet/v1/"
	ringKey    = keyPrefix + "ring"
	membersKey = keyPrefix + "members/"

	// A lease is membership, not evidence of life: it may be slow.
	leaseSeconds      = 2
	keepAliveInterval = 500 * time.Millisecond
	etcdCallLongest   = 2 * time.Second
)

// Membership keeps this node's record in etcd under a lease and agrees with etcd on
// the ring.
type Membership struct {
	Client *clientv3.Client
	Self   ring.Member
	// Served is the greatest epoch this node has served, from the board.
	Served func() uint32
	// Publish puts a ring up on the board.
	Publish func(*ring.Ring)
	// KeptAlive takes the moment at which a keep-alive was sent that etcd answered.
	KeptAlive func(sentNanos int64)
	Log       *slog.Logger

	lease     clientv3.LeaseID
	agreed    int64 // revision of the ring that was published
	connected atomic.Bool
}

// NewEtcdClient connects lazily: it does not fail when etcd is down.
func NewEtcdClient(endpoints []string) (*clientv3.Client, error) {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   endpoints,
		DialTimeout: etcdCallLongest,
		Logger:      zap.NewNop(), // what it retries, we report
	})
	if err != nil {
		return nil, fmt.Errorf("etcd client for %v: %w", endpoints, err)
	}
	return client, nil
}

// Connected tells whether the last exchange with etcd went well.
func (m *Membership) Connected() bool { return m.connected.Load() }

// Run renews membership and ring until the context ends. It returns an error only
// for what waiting cannot mend.
func (m *Membership) Run(ctx context.Context) error {
	for {
		err := m.step(ctx)
		if foreign := (*ForeignRingError)(nil); errors.As(err, &foreign) {
			return err
		}
		m.report(ctx, err)
		if sleep(ctx, keepAliveInterval); ctx.Err() != nil {
			return m.leave()
		}
	}
}

func (m *Membership) report(ctx context.Context, err error) {
	was := m.connected.Swap(err == nil)
	switch {
	case err == nil && !was:
		m.Log.Info("etcd has this node's record", "member", m.Self.Name, "lease_seconds", leaseSeconds)
	case err != nil && was && ctx.Err() == nil:
		m.Log.Warn("etcd does not answer; this node serves on with the ring it has", "error", err)
	case err != nil && ctx.Err() == nil:
		m.Log.Debug("etcd does not answer", "error", err)
	}
}

func (m *Membership) step(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, etcdCallLongest)
	defer cancel()
	sentNanos := BootNanos()
	if err := m.keepLease(ctx); err != nil {
		return err
	}
	m.KeptAlive(sentNanos)
	return m.agree(ctx)
}

// keepLease renews the lease, or makes one and puts the record under it.
func (m *Membership) keepLease(ctx context.Context) error {
	if m.lease != 0 {
		_, err := m.Client.KeepAliveOnce(ctx, m.lease)
		if err == nil {
			return nil
		}
		if !isLeaseLost(err) {
			return fmt.Errorf("keep the lease in etcd alive: %w", err)
		}
		m.lease = 0
	}
	granted, err := m.Client.Grant(ctx, leaseSeconds)
	if err != nil {
		return fmt.Errorf("get a lease from etcd: %w", err)
	}
	value, err := json.Marshal(recordOf(m.Self))
	if err != nil {
		return fmt.Errorf("encode the member record: %w", err)
	}
	if _, err := m.Client.Put(ctx, m.memberKey(), string(value), clientv3.WithLease(granted.ID)); err != nil {
		return fmt.Errorf("put the member record into etcd: %w", err)
	}
	m.lease = granted.ID
	return nil
}

func (m *Membership) memberKey() string { return fmt.Sprintf("%s%016x", membersKey, m.Self.ID) }

// agree reads the ring, makes it name this node, and publishes it. Of two writers
// at once, one loses the comparison and reads again at its next step.
func (m *Membership) agree(ctx context.Context) error {
	got, err := m.Client.Get(ctx, ringKey)
	if err != nil {
		return fmt.Errorf("read the ring from etcd: %w", err)
	}
	var raw []byte
	revision := int64(0) // of a key that is not there
	if len(got.Kvs) == 1 {
		raw, revision = got.Kvs[0].Value, got.Kvs[0].ModRevision
	}
	if revision != 0 && revision == m.agreed {
		return nil // to derive the points again would only cost time
	}
	record, changed, err := nextRing(raw, m.Self, m.Served())
	if err != nil {
		return err
	}
	r, err := record.ring()
	if err != nil {
		return fmt.Errorf("the ring in etcd cannot be used: %w", err)
	}
	if changed {
		if revision, err = m.swap(ctx, record, revision); err != nil {
			return err
		}
		m.Log.Info("ring agreed in etcd", "epoch", record.Epoch)
	}
	m.Publish(r)
	m.agreed = revision
	return nil
}

// swap puts the record in the place of the one of this revision, and returns its own.
func (m *Membership) swap(ctx context.Context, record ringRecord, revision int64) (int64, error) {
	value, err := json.Marshal(record)
	if err != nil {
		return 0, fmt.Errorf("encode the ring: %w", err)
	}
	done, err := m.Client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(ringKey), "=", revision)).
		Then(clientv3.OpPut(ringKey, string(value))).
		Commit()
	if err != nil {
		return 0, fmt.Errorf("swap the ring in etcd: %w", err)
	}
	if !done.Succeeded {
		return 0, errOvertaken
	}
	return done.Header.Revision, nil
}

var errOvertaken = errors.New("another writer changed the ring in etcd; reading it again")

// leave takes the record away at once, where the lease would take its time.
func (m *Membership) leave() error {
	if m.lease == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := m.Client.Revoke(ctx, m.lease); err != nil {
		m.Log.Debug("revoke the lease", "error", err) // it expires by itself
	}
	return nil
}

func isLeaseLost(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }

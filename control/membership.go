package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"gannet/ring"
	"gannet/security/mtls"
)

const (
	// A lease is membership, not evidence of life: it may be slow.
	leaseSeconds      = 2
	keepAliveInterval = 500 * time.Millisecond
	etcdCallLongest   = 2 * time.Second
	// Two endpoints that are mute, or one and a campaign, leave time for a third try
	// before the lease ends.
	keepAliveLongest = 400 * time.Millisecond
	campaignLongest  = time.Second
	// An endpoint that does not answer pings for so long is given up for another.
	etcdPingInterval = 10 * time.Second
	etcdPingLongest  = 2 * time.Second
)

// NewEtcdClient connects lazily: it does not fail when etcd is down. Endpoints of
// https are dialled with the store's certificate.
func NewEtcdClient(endpoints []string, store *mtls.Store) (*clientv3.Client, error) {
	cfg := clientv3.Config{
		DialTimeout: etcdCallLongest, DialKeepAliveTime: etcdPingInterval, DialKeepAliveTimeout: etcdPingLongest,
		Logger: zap.NewNop(), // what it retries, we report
	}
	for _, endpoint := range endpoints {
		rest, secure := strings.CutPrefix(endpoint, "https://")
		if secure {
			endpoint = "http://" + rest // the dialler below speaks TLS
		}
		cfg.Endpoints = append(cfg.Endpoints, endpoint)
		if secure && cfg.DialOptions == nil {
			cfg.DialOptions = []grpc.DialOption{grpc.WithContextDialer(tlsDialer(store))}
		}
	}
	client, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("etcd client for %v: %w", endpoints, err)
	}
	return client, nil
}

func tlsDialer(store *mtls.Store) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		if store == nil {
			return nil, errors.New("https to etcd needs tls-cert, tls-key and tls-ca")
		}
		conn, err := store.Dial(ctx, addr, mtls.ClientOptions{NextProtos: []string{"h2"}})
		if err != nil {
			return nil, mtls.Explain(err)
		}
		return conn, nil
	}
}

// Membership keeps this node's record in etcd under a lease, and stands for election
// when there is no controller.
type Membership struct {
	Client *clientv3.Client
	Self   ring.Member
	// Vacant tells whether etcd knows no controller.
	Vacant func() bool
	Log    *slog.Logger

	lease     clientv3.LeaseID
	connected atomic.Bool
	kick      chan struct{}
}

// NewMembership makes one that has not put anything into etcd yet.
func NewMembership(client *clientv3.Client, self ring.Member, vacant func() bool, log *slog.Logger) *Membership {
	return &Membership{Client: client, Self: self, Vacant: vacant, Log: log, kick: make(chan struct{}, 1)}
}

// Connected tells whether the last exchange with etcd went well.
func (m *Membership) Connected() bool { return m.connected.Load() }

// Stand makes Run look at once whether there is a controller.
func (m *Membership) Stand() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// Run renews the membership until the context ends.
func (m *Membership) Run(ctx context.Context) error {
	tick := time.NewTicker(keepAliveInterval)
	defer tick.Stop()
	for {
		m.report(ctx, m.step(ctx))
		select {
		case <-tick.C:
		case <-m.kick:
		case <-ctx.Done():
			m.leave()
			return nil
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
	if err := m.keepLease(ctx); err != nil {
		return err
	}
	if m.Vacant() {
		return m.campaign(ctx)
	}
	return nil
}

// keepLease renews the lease, or makes one and puts the record under it.
func (m *Membership) keepLease(ctx context.Context) error {
	if m.lease != 0 {
		err := m.keepAlive(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return fmt.Errorf("keep the lease in etcd alive: %w", err)
		}
		m.lease = 0
	}
	ctx, cancel := context.WithTimeout(ctx, etcdCallLongest)
	defer cancel()
	granted, err := m.Client.Grant(ctx, leaseSeconds)
	if err != nil {
		return fmt.Errorf("get a lease from etcd: %w", err)
	}
	value, err := encodeMember(&m.Self)
	if err != nil {
		return err
	}
	if _, err := m.Client.Put(ctx, memberKey(m.Self.ID), value, clientv3.WithLease(granted.ID)); err != nil {
		return fmt.Errorf("put the member record into etcd: %w", err)
	}
	m.lease = granted.ID
	return nil
}

func (m *Membership) keepAlive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keepAliveLongest)
	defer cancel()
	_, err := m.Client.KeepAliveOnce(ctx, m.lease)
	return err
}

// campaign makes this node the controller unless there is one.
func (m *Membership) campaign(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, campaignLongest)
	defer cancel()
	done, err := m.Client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(controllerKey), "=", 0)).
		Then(clientv3.OpPut(controllerKey, fmt.Sprintf("%016x", m.Self.ID), clientv3.WithLease(m.lease))).
		Commit()
	if err != nil {
		return fmt.Errorf("stand for election in etcd: %w", err)
	}
	if done.Succeeded {
		m.Log.Info("this node is the controller now", "member", m.Self.Name)
	}
	return nil
}

// leave takes the record away at once, where the lease would take its time.
func (m *Membership) leave() {
	if m.lease == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := m.Client.Revoke(ctx, m.lease); err != nil {
		m.Log.Debug("revoke the lease", "error", err) // it expires by itself
	}
}

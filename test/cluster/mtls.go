package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gannet/client"
	"gannet/control/api"
	"gannet/security/mtls"
	"gannet/test/cluster/bed"
	"gannet/test/cluster/load"
)

const (
	revokedGoal   = 5.0 // seconds
	revokeLongest = 15 * time.Second
	linksLongest  = 60 * time.Second
	shortLife     = 15 * time.Second
	longLife      = 24 * time.Hour
	reloadWatched = 5 * time.Second
	etcdPort      = 2379
)

// checkMTLS exchanges, revokes and lets expire the certificates of a cluster that runs.
func checkMTLS(ctx context.Context, e *env) error {
	return e.withCluster(ctx, bed.Config{Secure: true}, func(b *bed.Bed, c *client.Client) error {
		m := &mtlsCheck{env: e, bed: b, peer: b.Nodes()[1]}
		if err := m.linked(ctx); err != nil {
			return err
		}
		if err := m.errorTexts(ctx); err != nil {
			return err
		}
		if err := m.reload(ctx, c); err != nil {
			return err
		}
		rounds := 1
		if e.full {
			rounds = 5
		}
		var revoked, expired, etcd worst
		for range rounds {
			if err := m.revokeAndExpire(ctx, &revoked, &expired); err != nil {
				return err
			}
			if err := m.revokeEtcd(ctx, &etcd); err != nil {
				return err
			}
		}
		revoked.row(e, "the certificate of a node was revoked: its connections to the others' control ports and theirs to its own (replication, requests) are gone, and new ones refused")
		expired.row(e, "the certificate of a node expired: the same")
		etcd.row(e, "the certificate of etcd was revoked: the nodes' connections to it are gone")
		return nil
	})
}

// worst collects the longest of some times.
type worst struct {
	longest     time.Duration
	connections int64
}

func (w *worst) take(took time.Duration, connections int) {
	w.longest, w.connections = max(w.longest, took), w.connections+int64(connections)
}

func (w *worst) row(e *env, note string) {
	e.table.AtMost("mtls_revoked_s", w.longest.Seconds(), revokedGoal, w.connections, "s", "until, after "+note)
}

// mtlsCheck is the check under way; peer is the node that is to be thrown out.
type mtlsCheck struct {
	env  *env
	bed  *bed.Bed
	peer *bed.Node
}

func (m *mtlsCheck) others() []*bed.Node {
	return slices.DeleteFunc(m.bed.Nodes(), func(n *bed.Node) bool { return n == m.peer })
}

// linked waits until every node replicates with every other.
func (m *mtlsCheck) linked(ctx context.Context) error {
	_, err := within(ctx, linksLongest, "every node has a link to every other", func() (bool, error) {
		for _, n := range m.bed.Nodes() {
			if links, err := n.Metric(ctx, "gannet_replication_links"); err != nil || int(links) < len(m.bed.Nodes())-1 {
				return false, err
			}
		}
		return true, nil
	})
	return err
}

// issue signs certificates of these nodes, of client and admin anew.
func (m *mtlsCheck) issue(life time.Duration, names ...string) error {
	hosts := []string{"127.0.0.1", "localhost"}
	for _, n := range m.bed.Nodes() {
		hosts = append(hosts, n.Addr)
	}
	for _, s := range m.bed.Etcd() {
		hosts = append(hosts, s.Addr)
	}
	return mtls.DevCA(m.bed.Certs, mtls.DevOptions{NodeNames: names, Hosts: hosts, ValidFor: life, Now: time.Now()})
}

func (m *mtlsCheck) names() []string {
	names := []string{"etcd"}
	for _, n := range m.bed.Nodes() {
		names = append(names, n.Name)
	}
	return names
}

// store holds a holder's files as they are now: nobody looks at them again.
func (m *mtlsCheck) store(holder string) (*mtls.Store, error) {
	return mtls.Open(mtls.DevFiles(m.bed.Certs, holder), mtls.Options{})
}

// reload exchanges all certificates while requests, a stream of invalidations and the
// replication go on.
func (m *mtlsCheck) reload(ctx context.Context, c *client.Client) error {
	store, err := m.store("client")
	if err != nil {
		return err
	}
	reloads, err := m.reloads(ctx)
	if err != nil {
		return err
	}
	l := load.Start(ctx, c, load.Config{Rate: 2000, WriteShare: 0.1, Seed: 4})
	from := l.Now()
	var asked, failed, broken atomic.Int64
	asking, stop := context.WithCancel(ctx)
	var ended sync.WaitGroup
	for _, n := range m.bed.Nodes() {
		ended.Go(func() {
			for ; asking.Err() == nil; pause(asking, 20*time.Millisecond) {
				asked.Add(1)
				if _, err := askRing(asking, store, n); err != nil && asking.Err() == nil {
					failed.Add(1)
				}
			}
		})
		ended.Go(func() {
			node := api.NewClient(controlOf(n), store, mtls.ClientOptions{Name: n.Name})
			defer node.Close()
			if err := node.Watch(asking, func([]byte) error { return nil }); asking.Err() == nil && err != nil {
				broken.Add(1)
			}
		})
	}
	pause(ctx, time.Second)
	err = m.issue(longLife, m.names()...)
	if err == nil {
		_, err = within(ctx, revokeLongest, "every node has read its files again", func() (bool, error) {
			now, err := m.reloads(ctx)
			return now >= reloads+float64(len(m.bed.Nodes())), err
		})
	}
	pause(ctx, reloadWatched)
	stop()
	ended.Wait()
	to := l.Now()
	h := l.Stop()
	if err != nil {
		return err
	}
	data := h.FailedReads(from, to) + h.FailedWrites(from, to)
	m.env.table.AtMost("mtls_reload_failed", float64(data)+float64(failed.Load()+broken.Load()), 0, asked.Load(), "requests", fmt.Sprintf(
		"while all certificates were exchanged: %d of %d cache requests, %d of %d to control ports, %d of %d streams broken; %s",
		data, h.Ops(from, to), failed.Load(), asked.Load(), broken.Load(), len(m.bed.Nodes()), strings.Join(h.FirstErrors(2), "; ")))
	return nil
}

func (m *mtlsCheck) reloads(ctx context.Context) (sum float64, err error) {
	for _, n := range m.bed.Nodes() {
		v, err := n.Metric(ctx, "gannet_tls_reloads_total", "outcome=taken")
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

func askRing(ctx context.Context, store *mtls.Store, n *bed.Node) (epoch uint32, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c := api.NewClient(controlOf(n), store, mtls.ClientOptions{Name: n.Name})
	defer c.Close()
	r, err := c.Ring(ctx, nil)
	if err != nil {
		return 0, err
	}
	return r.Epoch(), nil
}

// revokeAndExpire throws the peer out by the list, lets it in with a certificate of a
// short life, and looks on when that ends.
func (m *mtlsCheck) revokeAndExpire(ctx context.Context, revoked, expired *worst) error {
	store, err := m.store(m.peer.Name)
	if err != nil {
		return err
	}
	began := time.Now()
	took, n, err := m.thrownOut(ctx, store, "revoked", began, func() error {
		_, err := m.env.gannet(ctx, revokeLongest, "certs", "revoke", m.peer.Name, "--dir", m.bed.Certs)
		return err
	})
	if err != nil {
		return err
	}
	revoked.take(took, n)
	began = time.Now()
	if err := m.issue(shortLife, m.peer.Name); err != nil {
		return err
	}
	if store, err = m.store(m.peer.Name); err != nil {
		return err
	}
	if err := m.linked(ctx); err != nil {
		return fmt.Errorf("after a new certificate: %w", err)
	}
	ends := began.Add(shortLife).Truncate(time.Second) // as certificates have it
	if left := time.Until(ends); left < time.Second {
		return fmt.Errorf("%w: the new certificate was over before it was in use", errVoid)
	}
	took, n, err = m.thrownOut(ctx, store, "expired", ends, func() error { pause(ctx, time.Until(ends)); return nil })
	if err != nil {
		return err
	}
	expired.take(took, n)
	if err := m.issue(longLife, m.peer.Name); err != nil {
		return err
	}
	return m.linked(ctx)
}

// thrownOut counts the connections between the peer and the others, has it lose its
// welcome, and returns how long after a moment all of them were gone and new ones were
// refused, for that reason.
func (m *mtlsCheck) thrownOut(ctx context.Context, store *mtls.Store, reason string, since time.Time, lose func() error) (time.Duration, int, error) {
	streams, stop := context.WithCancel(ctx)
	defer stop()
	var open sync.WaitGroup
	for _, n := range m.others() {
		open.Go(func() {
			c := api.NewClient(controlOf(n), store, mtls.ClientOptions{Name: n.Name})
			defer c.Close()
			_ = c.Watch(streams, func([]byte) error { return nil }) // ends when it is cut off
		})
	}
	ended := make(chan struct{})
	go func() { open.Wait(); close(ended) }()
	pause(ctx, 500*time.Millisecond)
	before, err := m.connections()
	if err != nil {
		return 0, 0, err
	}
	if len(before) < len(m.others()) {
		return 0, 0, fmt.Errorf("%w: %d connections with %s", errVoid, len(before), m.peer.Name)
	}
	if err := lose(); err != nil {
		return 0, 0, err
	}
	_, err = within(ctx, revokeLongest, "all connections are gone", func() (bool, error) {
		now, err := m.connections()
		gone := !slices.ContainsFunc(now, func(c connection) bool { return slices.Contains(before, c) })
		select {
		case <-ended:
		default:
			gone = false
		}
		return gone, err
	})
	if err != nil {
		return 0, 0, err
	}
	for _, n := range m.others() {
		if _, err := within(ctx, revokeLongest, n.Name+" refuses new ones", func() (bool, error) {
			_, err := askRing(ctx, store, n)
			return err != nil, nil
		}); err != nil {
			return 0, 0, err
		}
	}
	took := time.Since(since)
	for _, n := range m.others() {
		if refused, err := n.Metric(ctx, "gannet_tls_refused_total", "reason="+reason); err != nil || refused == 0 {
			return 0, 0, fmt.Errorf("%s refused nobody as %s: %w", n.Name, reason, err)
		}
	}
	return took, len(before) + len(m.others()), nil
}

// revokeEtcd has the nodes cut off an etcd whose certificate is revoked, and gives it
// another.
func (m *mtlsCheck) revokeEtcd(ctx context.Context, w *worst) error {
	before, err := m.etcdConnections()
	if err != nil {
		return err
	}
	if len(before) == 0 {
		return fmt.Errorf("%w: no connections to etcd", errVoid)
	}
	began := time.Now()
	if _, err := m.env.gannet(ctx, revokeLongest, "certs", "revoke", "etcd", "--dir", m.bed.Certs); err != nil {
		return err
	}
	_, err = within(ctx, revokeLongest, "the connections to etcd are gone", func() (bool, error) {
		now, err := m.etcdConnections()
		return !slices.ContainsFunc(now, func(c connection) bool { return slices.Contains(before, c) }), err
	})
	if err != nil {
		return err
	}
	w.take(time.Since(began), len(before))
	if err := m.issue(longLife, "etcd"); err != nil {
		return err
	}
	return etcdBack(ctx, m.bed)
}

// connection is an established one, as a node's own system has it.
type connection struct{ local, remote netip.AddrPort }

// connections are those between the peer and the others, at either's control port.
func (m *mtlsCheck) connections() ([]connection, error) {
	peer := netip.MustParseAddr(m.peer.Addr)
	return m.established(m.others(), func(c connection) bool {
		return c.remote.Addr() == peer && (c.remote.Port() == bed.ControlPort || c.local.Port() == bed.ControlPort)
	})
}

func (m *mtlsCheck) etcdConnections() ([]connection, error) {
	return m.established(m.bed.Nodes(), func(c connection) bool { return c.remote.Port() == etcdPort })
}

func (m *mtlsCheck) established(at []*bed.Node, is func(connection) bool) (found []connection, err error) {
	for _, n := range at {
		var text []byte
		err := n.Do(func() (err error) {
			text, err = os.ReadFile("/proc/thread-self/net/tcp")
			return err
		})
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if c, ok := parseConnection(line); ok && is(c) {
				found = append(found, c)
			}
		}
	}
	return found, nil
}

const tcpEstablished = "01"

// parseConnection reads a line of /proc/net/tcp.
func parseConnection(line string) (c connection, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[3] != tcpEstablished {
		return c, false
	}
	local, okLocal := parseHexAddr(fields[1])
	remote, okRemote := parseHexAddr(fields[2])
	return connection{local, remote}, okLocal && okRemote
}

// parseHexAddr reads an IPv4 address in the machine's byte order, and a port.
func parseHexAddr(text string) (netip.AddrPort, bool) {
	addr, port, _ := strings.Cut(text, ":")
	a, err := strconv.ParseUint(addr, 16, 32)
	p, portErr := strconv.ParseUint(port, 16, 16)
	ip := netip.AddrFrom4([4]byte{byte(a), byte(a >> 8), byte(a >> 16), byte(a >> 24)})
	return netip.AddrPortFrom(ip, uint16(p)), err == nil && portErr == nil
}

// errorTexts asks as somebody who may not, and looks at what that one is told.
func (m *mtlsCheck) errorTexts(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "gannet-mtls-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	strange, old := filepath.Join(dir, "strange"), filepath.Join(dir, "old")
	if err := mtls.DevCA(strange, mtls.DevOptions{ValidFor: longLife, Now: time.Now()}); err != nil {
		return err
	}
	if err := m.expiredSet(old); err != nil {
		return err
	}
	files := func(set, ca string) []string {
		f := mtls.DevFiles(set, "client")
		return []string{"--tls-cert", f.Cert, "--tls-key", f.Key, "--tls-ca", filepath.Join(ca, "ca.pem")}
	}
	unclear, note := 0, []string{}
	for _, test := range []struct {
		name  string
		flags []string
		says  string
	}{
		{"none", nil, "it may want TLS (--tls-cert"},
		{"of another authority", files(strange, m.bed.Certs), "no authority that the peer trusts has signed it"},
		{"for a server of another authority", files(m.bed.Certs, strange), "let one of the authorities in --tls-ca sign it"},
		{"expired", files(old, m.bed.Certs), "it has expired"},
		{"of the wrong role", append([]string{"drain", m.peer.Name}, files(m.bed.Certs, m.bed.Certs)...), "it takes a certificate of the role"},
	} {
		args := append(append([]string{"ring"}, test.flags...), "--server", controlOf(m.peer))
		_, err := m.env.gannet(ctx, revokeLongest, args...)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			unclear++
			note = append(note, fmt.Sprintf("%s: %v", test.name, err))
		}
	}
	m.env.table.AtMost("mtls_unclear_errors", float64(unclear), 0, 5, "errors",
		"of a certificate that is missing, wrong or expired, that do not say so; "+strings.Join(note, "; "))
	return nil
}

// expiredSet makes certificates of the cluster's authority that are over.
func (m *mtlsCheck) expiredSet(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"ca.pem", "ca-key.pem", "ca.crl"} {
		content, err := os.ReadFile(filepath.Join(m.bed.Certs, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return mtls.DevCA(dir, mtls.DevOptions{ValidFor: time.Second, Now: time.Now().Add(-time.Minute)})
}

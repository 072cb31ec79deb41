package bed

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"gannet/ring"
	"gannet/security/mtls"
)

// Config says what cluster to build.
type Config struct {
	Bin      string   // folder with gannet and gannet-dataplane; "": bin
	Nodes    int      // at first; 0: 3
	Zones    []string // of the nodes in turn; nil: one each
	Memory   int64    // bytes of each node; 0: 128 MiB
	Shards   int      // of each node; 0: 1
	Datapath string   // "xdp", the default: AF_XDP on veth; "udp": kernel sockets
	Secure   bool     // mutual TLS on control ports and etcd, gossip encrypted
	Etcds    int      // processes of their own; 0: 1
	Flags    []string // more of `gannet node`
	Log      io.Writer
}

func (c Config) withDefaults() Config {
	setDefault(&c.Bin, "bin")
	setDefault(&c.Nodes, 3)
	setDefault(&c.Memory, 128<<20)
	setDefault(&c.Shards, 1)
	setDefault(&c.Datapath, "xdp")
	setDefault(&c.Etcds, 1)
	c.Flags = append(slices.Clone(c.Flags), strings.Fields(os.Getenv(envFlags))...)
	return c
}

// envFlags may hold more flags for all nodes, to look closer: --log-level=debug.
const envFlags = "BED_FLAGS"

func setDefault[T comparable](field *T, value T) {
	var none T
	if *field == none {
		*field = value
	}
}

// beds counts the clusters of this process, to name and number each one's parts.
var beds atomic.Int32

// Bed is one cluster.
type Bed struct {
	cfg    Config
	number int
	prefix string // of its namespaces
	dir    string // its data and logs, on tmpfs
	etcds  []*Etcd
	Certs  string // directory of certificates and gossip.keys (see [mtls.DevFiles]); "": no TLS

	mu    sync.Mutex
	nodes []*Node // guarded by mu
}

// maxNodes is how many nodes a bed has room for: addresses and certificates.
const maxNodes = 32

// New builds a cluster and returns when all nodes are active and answer.
func New(ctx context.Context, cfg Config) (_ *Bed, err error) {
	if err := entered(); err != nil {
		return nil, err
	}
	b := &Bed{cfg: cfg.withDefaults(), number: int(beds.Add(1))}
	b.prefix = fmt.Sprintf("%s-%d", outside.prefix, b.number)
	if b.dir, err = os.MkdirTemp("/dev/shm", b.prefix+"-"); err != nil {
		return nil, fmt.Errorf("bed: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if b.cfg.Secure {
		if err := b.makeCerts(); err != nil {
			return nil, err
		}
	}
	if err := b.startEtcds(ctx); err != nil {
		return nil, err
	}
	for range b.cfg.Nodes {
		if _, err := b.Add(ctx); err != nil {
			return nil, err
		}
	}
	for _, n := range b.Nodes() {
		if err := b.AwaitActive(ctx, n); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Close ends all processes and takes everything away.
func (b *Bed) Close() error {
	var errs []error
	var all sync.WaitGroup
	for _, n := range b.Nodes() {
		all.Go(func() { _ = n.Heal(); n.end() })
	}
	for _, e := range b.etcds {
		all.Go(e.end)
	}
	all.Wait()
	for _, n := range b.Nodes() {
		errs = append(errs, n.remove())
	}
	for _, e := range b.etcds {
		errs = append(errs, e.place.remove())
	}
	return errors.Join(append(errs, removeDir(b.dir))...)
}

// Nodes are all nodes ever added, also those that do not run.
func (b *Bed) Nodes() []*Node {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.nodes)
}

// Node is the one of this name; nil: none.
func (b *Bed) Node(name string) *Node {
	for _, n := range b.Nodes() {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Etcd are the etcd servers.
func (b *Bed) Etcd() []*Etcd { return b.etcds }

// Add starts one more node and returns when its processes run.
func (b *Bed) Add(ctx context.Context) (*Node, error) {
	b.mu.Lock()
	index := len(b.nodes)
	b.mu.Unlock()
	if index == maxNodes {
		return nil, fmt.Errorf("bed: room for %d nodes", maxNodes)
	}
	n, err := b.makeNode(index)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.nodes = append(b.nodes, n)
	b.mu.Unlock()
	return n, n.Start(ctx)
}

// Ring is the newest ring that a control port knows. A node that does not answer at
// once is left out.
func (b *Bed) Ring(ctx context.Context) (*ring.Ring, error) {
	var newest *ring.Ring
	var errs []error
	for _, n := range b.Nodes() {
		r, err := n.Ring(ctx)
		switch {
		case err != nil:
			errs = append(errs, err)
		case newest == nil || r.Epoch() > newest.Epoch():
			newest = r
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("bed: nobody has a ring: %w", errors.Join(errs...))
	}
	return newest, nil
}

const activeLongest = 60 * time.Second

// AwaitActive returns when a node says that it is active and answers, and the others'
// ring says so, too.
func (b *Bed) AwaitActive(ctx context.Context, n *Node) error {
	return b.await(ctx, activeLongest, n.Name+" is active", func(ctx context.Context) error {
		if err := n.Ready(ctx); err != nil {
			return err
		}
		r, err := b.Ring(ctx)
		if err != nil {
			return err
		}
		for _, m := range r.Members() {
			if m.Name == n.Name && m.State == ring.Active {
				return nil
			}
		}
		return fmt.Errorf("not active in epoch %d", r.Epoch())
	})
}

// errHopeless says that asking again is of no use.
var errHopeless = errors.New("never")

// await asks until there is no error.
func (b *Bed) await(ctx context.Context, longest time.Duration, what string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errHopeless):
			return fmt.Errorf("bed: %s: %w\n%s", what, err, b.dump())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("bed: waited %v until %s: %w\n%s", longest, what, err, b.dump())
		}
	}
}

func (b *Bed) dump() string {
	var all string
	for _, n := range b.Nodes() {
		all += n.Name + ":\n" + n.Dump()
	}
	return all
}

// Client opens a client of the cluster; the caller closes it.
func (b *Bed) Client(_ context.Context, opts ...client.Option) (*client.Client, error) {
	var servers []string
	for _, n := range b.Nodes() {
		servers = append(servers, n.Addr+":"+strconv.Itoa(DataPort))
	}
	return client.Open(servers, opts...)
}

// Control is a client of a node's control port, with the certificate of this holder
// ("client", "admin", a node's name) when the bed is secure. The caller closes it.
func (b *Bed) Control(n *Node, holder string) (*api.Client, error) {
	addr := n.Addr + ":" + strconv.Itoa(ControlPort)
	if !b.cfg.Secure {
		return api.NewClient(addr, nil, mtls.ClientOptions{}), nil
	}
	store, err := mtls.Open(mtls.DevFiles(b.Certs, holder), mtls.Options{})
	if err != nil {
		return nil, fmt.Errorf("bed: %w", err)
	}
	return api.NewClient(addr, store, mtls.ClientOptions{Name: n.Name}), nil
}

func (b *Bed) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir}, parts...)...)
}

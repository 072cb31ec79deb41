package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"gannet/control/api"
	"gannet/ring"
	"gannet/wire"
)

type ringCmd struct {
	Show  ringShowCmd  `cmd:"" default:"withargs" help:"Print members, zones, states and shares, and the epoch (what gannet ring alone does)."`
	Owner ringOwnerCmd `cmd:"" help:"Print which nodes hold a key, its leader first."`
	Drain ringDrainCmd `cmd:"" help:"Take a node out of the ring; its items move to the others first."`
}

type ringShowCmd struct {
	controlTarget
	Output outputFormat `short:"o" default:"text" help:"text or json."`
}

// Help is the text below the flags' summary.
func (ringShowCmd) Help() string {
	return `Asks a node's control port. A member's state is one of

  active     it leads and follows ranges
  joining    it receives the items of its future ranges, and is active once it has them
  leaving    it serves until others have its items
  down       its followers lead; it comes back by way of returning
  returning  it is repaired, and active again once it has what it missed

Share is the part of the keys that a member leads.

Examples:
  gannet ring
  gannet ring --server 10.0.0.7:9741 --tls-cert admin.pem --tls-key admin-key.pem --tls-ca ca.pem
  gannet ring -o json | jq '.members[] | select(.state!="active") | .name'`
}

// Run prints the ring.
func (c *ringShowCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, node *api.Client) error {
		r, err := fetchRing(ctx, node)
		if err != nil {
			return err
		}
		if c.Output == outputJSON {
			return writeJSON(env, ringJSON(r))
		}
		return printRing(env, r)
	})
}

const controlAnswerLongest = 10 * time.Second

func fetchRing(ctx context.Context, node *api.Client) (*ring.Ring, error) {
	ctx, cancel := context.WithTimeout(ctx, controlAnswerLongest)
	defer cancel()
	return node.Ring(ctx, nil)
}

func ringJSON(r *ring.Ring) *api.RingJSON {
	out := &api.RingJSON{Epoch: r.Epoch(), Replicas: r.ReplicaCount()}
	for _, m := range r.Members() {
		out.Members = append(out.Members, memberJSON(r, &m))
	}
	return out
}

func memberJSON(r *ring.Ring, m *ring.Member) api.MemberJSON {
	out := api.MemberJSON{
		ID: strconv.FormatUint(m.ID, 10), Name: m.Name, Zone: m.Zone, State: m.State.String(), Addr: m.Addr.String(),
		Shards: m.Shards, Weight: m.Weight, Share: r.Share(m.ID),
	}
	if m.Control.IsValid() {
		out.Control = m.Control.String()
	}
	if m.Gossip.IsValid() {
		out.Gossip = m.Gossip.String()
	}
	return out
}

func printRing(env *Env, r *ring.Ring) error {
	stats := r.Stats()
	w := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "epoch %d, %d replicas, greatest share %.3f of the mean\n\n", r.Epoch(), r.ReplicaCount(), stats.MaxOverMean)
	fmt.Fprintln(w, "NAME\tZONE\tSTATE\tSHARE\tSHARDS\tDATA\tCONTROL")
	for _, m := range r.Members() {
		control := "-"
		if m.Control.IsValid() {
			control = m.Control.String()
		}
		zone := m.Zone
		if zone == "" {
			zone = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f %%\t%d\t%s\t%s\n", m.Name, zone, m.State, 100*r.Share(m.ID), m.Shards, m.Addr, control)
	}
	return w.Flush()
}

type ringOwnerCmd struct {
	controlTarget
	Key    string       `arg:"" help:"Key."`
	Output outputFormat `short:"o" default:"text" help:"text or json."`
}

// Help is the text below the flags' summary.
func (ringOwnerCmd) Help() string {
	return `Prints a line for each node that holds the key, its leader first: name, zone, data address of the
key's shard.

Examples:
  gannet ring owner user:17
  gannet ring owner user:17 -o json`
}

// ownerJSON is where a key lives.
type ownerJSON struct {
	Key     string       `json:"key"`
	Hash    string       `json:"hash"`
	Epoch   uint32       `json:"epoch"`
	Holders []holderJSON `json:"holders"`
}

type holderJSON struct {
	Name   string `json:"name"`
	Role   string `json:"role"`
	Zone   string `json:"zone"`
	Shard  int    `json:"shard"`
	Addr   string `json:"addr"` // of the key's shard
	NodeID string `json:"id"`
}

// Run prints the key's holders.
func (c *ringOwnerCmd) Run(env *Env) error {
	if len(c.Key) == 0 || len(c.Key) > wire.MaxKeyBytes {
		return fmt.Errorf("the key has %d bytes; keys have 1 to %d", len(c.Key), wire.MaxKeyBytes)
	}
	return c.with(env, func(ctx context.Context, node *api.Client) error {
		r, err := fetchRing(ctx, node)
		if err != nil {
			return err
		}
		answer := holdersOf(r, c.Key)
		if c.Output == outputJSON {
			return writeJSON(env, answer)
		}
		for _, h := range answer.Holders {
			if _, err := fmt.Fprintf(env.Stdout, "%s\t%s\t%s\t%s\n", h.Role, h.Name, h.Zone, h.Addr); err != nil {
				return err
			}
		}
		if len(answer.Holders) == 0 {
			return errors.New("no member of the ring serves")
		}
		return nil
	})
}

func holdersOf(r *ring.Ring, key string) *ownerJSON {
	hash := wire.KeyHash([]byte(key))
	answer := &ownerJSON{Key: key, Hash: fmt.Sprintf("%016x", hash), Epoch: r.Epoch()}
	role := "leader"
	for _, m := range r.Replicas(hash, nil) {
		shard := wire.ShardOf(hash, int(m.Shards))
		at := fmt.Sprintf("%s:%d", m.Addr.Addr(), int(m.Addr.Port())+shard)
		if m.Addr.Addr().Is6() {
			at = fmt.Sprintf("[%s]:%d", m.Addr.Addr(), int(m.Addr.Port())+shard)
		}
		answer.Holders = append(answer.Holders, holderJSON{
			Name: m.Name, Role: role, Zone: m.Zone, Shard: shard, Addr: at, NodeID: strconv.FormatUint(m.ID, 10),
		})
		role = "follower"
	}
	return answer
}

type ringDrainCmd struct {
	controlTarget
	Node    string       `arg:"" help:"Name of the node."`
	Wait    bool         `help:"End only when it is out of the ring."`
	Timeout durationFlag `default:"10m" placeholder:"DURATION" help:"How long to wait (default: 10m)."`
}

// Help is the text below the flags' summary.
func (ringDrainCmd) Help() string {
	return `The node serves on until the others have its items, and is then out of the ring; stop it afterwards.
No request fails meanwhile. Any node of the cluster takes the wish; it stands in etcd. Starting the
node again takes it back. With TLS this takes a certificate of the role admin.

Examples:
  gannet ring drain cache-2 --wait
  gannet ring drain cache-2 --server 10.0.0.7:9741 --tls-cert admin.pem --tls-key admin-key.pem --tls-ca ca.pem`
}

// Run asks for it, and waits if that is wanted.
func (c *ringDrainCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, node *api.Client) error {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Timeout))
		defer cancel()
		if err := node.Drain(ctx, c.Node); err != nil {
			return err
		}
		if !c.Wait {
			_, err := fmt.Fprintf(env.Stdout, "%s leaves; `gannet ring` shows how far it is\n", c.Node)
			return err
		}
		return c.await(ctx, env, node)
	})
}

func (c *ringDrainCmd) await(ctx context.Context, env *Env, node *api.Client) error {
	var after *uint32
	for {
		r, err := node.Ring(ctx, after)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s is not out of the ring yet, and goes on leaving: %w", c.Node, ctx.Err())
		case err != nil:
			return err
		case r == nil:
			continue // no newer one for a while
		case !inRing(r, c.Node):
			_, err := fmt.Fprintf(env.Stdout, "%s is out of the ring since epoch %d\n", c.Node, r.Epoch())
			return err
		}
		epoch := r.Epoch()
		after = &epoch
	}
}

func inRing(r *ring.Ring, name string) bool {
	for _, m := range r.Members() {
		if m.Name == name {
			return true
		}
	}
	return false
}

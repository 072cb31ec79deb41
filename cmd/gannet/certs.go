package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gannet/security/mtls"
)

type certsCmd struct {
	Dev    certsDevCmd    `cmd:"" help:"Make a working set of certificates for development and tests."`
	Revoke certsRevokeCmd `cmd:"" help:"Revoke certificates of such a set."`
}

const maxDevNodes = 1000

type certsDevCmd struct {
	Out   string       `required:"" type:"path" placeholder:"DIR" help:"Directory for the set; an authority that is there already signs it anew."`
	Nodes int          `default:"3" placeholder:"N" help:"Certificates for so many nodes, node-1 and so on (default: 3)."`
	Node  []string     `placeholder:"NAME" help:"Name of a node instead; may be repeated."`
	Hosts []string     `default:"127.0.0.1,::1,localhost" placeholder:"HOST" help:"Names and addresses that the nodes' certificates are for (default: loopback)."`
	Valid durationFlag `default:"720h" placeholder:"DURATION" help:"How long the certificates are valid (default: 720h)."`
}

// Help is the text below the flags' summary.
func (certsDevCmd) Help() string {
	return `Writes an authority (ca.pem, ca-key.pem, ca.crl) and certificate and key (NAME.pem, NAME-key.pem) of
each node, of a client and of an admin. A second call renews all but the authority; nodes that run
take the new files over within a second. For production, let an authority of your own sign
certificates with the same names in them: URI:gannet://node/NAME, client or admin.

Examples:
  gannet certs dev --out certs
  gannet certs dev --out certs --node cache-1 --node cache-2 --hosts 10.0.0.1,10.0.0.2
  gannet node --tls-cert certs/node-1.pem --tls-key certs/node-1-key.pem --tls-ca certs/ca.pem --tls-crl certs/ca.crl
  gannet certs revoke node-2 --dir certs`
}

// Run writes the set.
func (c *certsDevCmd) Run(env *Env) error {
	names := c.Node
	if len(names) == 0 {
		if c.Nodes < 1 || c.Nodes > maxDevNodes {
			return fmt.Errorf("--nodes %d is out of range; it goes from 1 to %d", c.Nodes, maxDevNodes)
		}
		for i := range c.Nodes {
			names = append(names, fmt.Sprintf("node-%d", i+1))
		}
	}
	err := mtls.DevCA(c.Out, mtls.DevOptions{
		NodeNames: names, Hosts: c.Hosts, ValidFor: time.Duration(c.Valid), Now: time.Now(),
	})
	if err != nil {
		return err
	}
	return printCerts(env, c.Out, names, time.Duration(c.Valid))
}

func printCerts(env *Env, dir string, names []string, valid time.Duration) error {
	if _, err := fmt.Fprintf(env.Stdout, "%-24s authority, its key (ca-key.pem) and its revocation list (ca.crl)\n", filepath.Join(dir, "ca.pem")); err != nil {
		return err
	}
	holders := append(names[:len(names):len(names)], string(mtls.RoleClient), string(mtls.RoleAdmin))
	for i, holder := range holders {
		role := mtls.RoleNode
		if i >= len(names) {
			role = mtls.Role(holder)
		}
		_, err := fmt.Fprintf(env.Stdout, "%-24s %s, valid for %s\n", mtls.DevFiles(dir, holder).Cert, mtls.Identity{Role: role, Name: holder}, valid)
		if err != nil {
			return err
		}
	}
	return nil
}

type certsRevokeCmd struct {
	Dir   string   `required:"" type:"path" placeholder:"DIR" help:"Directory of the set."`
	Names []string `arg:"" help:"Whose certificates: names of nodes, client or admin."`
}

// Help is the text below the flags' summary.
func (certsRevokeCmd) Help() string {
	return `Puts the certificates on the set's revocation list. Nodes that were given the list (--tls-crl) close
the connections of their holders within two seconds.

Examples:
  gannet certs revoke node-2 --dir certs`
}

// Run revokes.
func (c *certsRevokeCmd) Run(env *Env) error {
	if _, err := os.Stat(filepath.Join(c.Dir, "ca-key.pem")); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no authority in it; `gannet certs dev --out DIR` makes one", c.Dir)
	}
	if err := mtls.DevRevoke(c.Dir, time.Now(), c.Names...); err != nil {
		return err
	}
	for _, name := range c.Names {
		if _, err := fmt.Fprintf(env.Stdout, "revoked %s\n", name); err != nil {
			return err
		}
	}
	return nil
}

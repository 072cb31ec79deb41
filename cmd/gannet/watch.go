package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gannet/control/api"
	"gannet/security/mtls"
)

// controlTarget says which control port a verb talks to, and as whom.
type controlTarget struct {
	Server  string `short:"s" default:"127.0.0.1:9741" placeholder:"HOST:PORT" help:"Control port of a node (default: 127.0.0.1:9741)."`
	TLSCert string `name:"tls-cert" type:"path" placeholder:"FILE" help:"Certificate to show, in PEM."`
	TLSKey  string `name:"tls-key" type:"path" placeholder:"FILE" help:"Its key in PEM."`
	TLSCA   string `name:"tls-ca" type:"path" placeholder:"FILE" help:"Authorities in PEM that must have signed the node's certificate."`
	TLSCRL  string `name:"tls-crl" type:"path" placeholder:"FILE" help:"Revoked certificates, PEM or DER."`
	TLSName string `name:"tls-name" placeholder:"NAME" help:"Name of the node that is expected; without it, any node's certificate will do."`
}

// with opens a client, runs do and closes the client. A signal ends the call.
func (t *controlTarget) with(env *Env, do func(context.Context, *api.Client) error) error {
	files := mtls.Files{Cert: t.TLSCert, Key: t.TLSKey, CA: t.TLSCA, CRL: t.TLSCRL}
	var store *mtls.Store
	if files.Given() {
		var err error
		if store, err = mtls.Open(files, mtls.Options{}); err != nil {
			return err
		}
	}
	c := api.NewClient(t.Server, store, mtls.ClientOptions{Name: t.TLSName})
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-env.Signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return do(ctx, c)
}

type watchCmd struct {
	Invalidations watchInvalidationsCmd `cmd:"" help:"Print what is written anywhere in the cluster, as caches outside it hear of it."`
}

type watchInvalidationsCmd struct {
	controlTarget
	Count  int          `placeholder:"N" help:"End after so many invalidations."`
	Output outputFormat `short:"o" default:"text" help:"text, or json: each line as the node sends it."`
}

// Help is the text below the flags' summary.
func (watchInvalidationsCmd) Help() string {
	return `Prints a line for each key that was written: key, tab, version, tab, origin and its number. A line
that begins with # is not about a key: it says which copies must be dropped, and why. As JSON there
are heartbeats, too. Ends with Ctrl-C, with 2 if the stream breaks.

Examples:
  gannet watch invalidations
  gannet watch invalidations --server 10.0.0.7:9741 --tls-cert client.pem --tls-key client-key.pem --tls-ca ca.pem
  gannet watch invalidations -o json | jq -r 'select(.action=="invalidate") | .key'`
}

// errEnough ends a stream without a word.
var errEnough = errors.New("enough")

// Run prints the stream.
func (c *watchInvalidationsCmd) Run(env *Env) error {
	return c.with(env, func(ctx context.Context, node *api.Client) error {
		seen := 0
		err := node.Watch(ctx, func(line []byte) error {
			event, err := c.print(env, line)
			if event {
				seen++
			}
			if err == nil && event && seen == c.Count {
				err = errEnough
			}
			return err
		})
		if errors.Is(err, errEnough) || ctx.Err() != nil {
			return nil
		}
		return err
	})
}

// invalidationLine is what a line has in it.
type invalidationLine struct {
	Action    string `json:"action"`
	Key       string `json:"key"`
	KeyBase64 []byte `json:"key_base64"`
	Version   uint64 `json:"version"`
	Origin    string `json:"origin"`
	Sequence  uint64 `json:"sequence"`
	Reason    string `json:"reason"`
}

// print prints a line and tells whether it was about a key.
func (c *watchInvalidationsCmd) print(env *Env, line []byte) (event bool, err error) {
	var l invalidationLine
	if err := json.Unmarshal(line, &l); err != nil {
		return false, fmt.Errorf("the node sent a line that is no event; is this a control port? %w", err)
	}
	event = l.Action == "invalidate"
	if c.Output == outputJSON {
		_, err = fmt.Fprintf(env.Stdout, "%s\n", line)
		return event, err
	}
	switch {
	case event:
		key := l.Key
		if l.KeyBase64 != nil {
			key = string(l.KeyBase64)
		}
		_, err = fmt.Fprintf(env.Stdout, "%s\t%d\t%s#%d\n", lineText(key), l.Version, l.Origin, l.Sequence)
	case l.Action == "flush":
		of := "everything"
		if l.Origin != "" {
			of = "what " + l.Origin + " led"
		}
		_, err = fmt.Fprintf(env.Stdout, "# drop %s: %s\n", of, strings.ReplaceAll(l.Reason, "_", " "))
	}
	return event, err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"gannet/client"
	"gannet/config"
	"gannet/gateway"
)

type gatewayCmd struct {
	Server       string           `short:"s" placeholder:"HOST:PORT" help:"Node to talk to (GANNET_SERVER; default: 127.0.0.1:9800)."`
	Timeout      durationFlag     `default:"1s" help:"How long to wait for the node."`
	Listen       string           `default:"127.0.0.1:9744" placeholder:"HOST:PORT" help:"Where to serve HTTP (default: 127.0.0.1:9744)."`
	Admin        string           `placeholder:"HOST:PORT" help:"Where to serve /metrics; nowhere without it."`
	MaxInFlight  int              `default:"256" placeholder:"N" help:"Requests served at once (default: 256); others get 503."`
	TLSCert      string           `name:"tls-cert" type:"path" placeholder:"FILE" help:"Certificate in PEM; makes it HTTPS, TLS 1.3 only."`
	TLSKey       string           `name:"tls-key" type:"path" placeholder:"FILE" help:"Its key in PEM."`
	TLSClientCA  string           `name:"tls-client-ca" type:"path" placeholder:"FILE" help:"Authorities in PEM that must have signed a client's certificate."`
	TLSClientCRL string           `name:"tls-client-crl" type:"path" placeholder:"FILE" help:"Revoked certificates of clients, PEM or DER; whoever is on it is cut off."`
	LogLevel     config.LogLevel  `enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error (default: info)."`
	LogFormat    config.LogFormat `enum:"text,json" default:"text" help:"text or json (default: text)."`
}

// Help is the text below the flags' summary.
func (gatewayCmd) Help() string {
	return `Serves GET, HEAD, PUT and DELETE of /v1/key/{key} and POST of /v1/keys. Changed certificate files are
taken over within seconds, or at once on SIGHUP. SIGTERM lets requests in flight finish.

Examples:
  gannet gateway --server 10.0.0.7:9800
  gannet gateway --listen 0.0.0.0:9744 --tls-cert gw.pem --tls-key gw.key --tls-client-ca clients.pem
  curl -T logo.png -H 'X-TTL-Seconds: 60' http://127.0.0.1:9744/v1/key/logo.png`
}

// Run serves until it is told to end.
func (c *gatewayCmd) Run(env *Env) error {
	if c.MaxInFlight < 1 {
		return fmt.Errorf("--max-in-flight %d serves nobody; give 1 or more", c.MaxInFlight)
	}
	server := (&target{Server: c.Server}).server(env)
	cache, err := client.Open([]string{server}, client.WithTimeout(time.Duration(c.Timeout)))
	if err != nil {
		return err
	}
	return errors.Join(c.serve(env, server, cache), cache.Close())
}

func (c *gatewayCmd) serve(env *Env, server string, cache *client.Client) error {
	log, _ := newLog(env.Stderr, &config.Config{LogLevel: c.LogLevel, LogFormat: c.LogFormat})
	g, err := gateway.New(gateway.Config{
		Cache: cache, Listen: c.Listen, Admin: c.Admin, MaxInFlight: c.MaxInFlight, Log: log,
		TLS: gateway.TLSFiles{Cert: c.TLSCert, Key: c.TLSKey, ClientCA: c.TLSClientCA, ClientCRL: c.TLSClientCRL},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go obeySignals(ctx, env, cancel, func() {
		if changed, err := g.ReloadTLS(); err == nil { // else it has said so itself
			log.Info("TLS files read again", "changed", changed)
		}
	})
	if g.AdminAddr() != "" {
		log.Info("admin port", "url", "http://"+g.AdminAddr())
	}
	log.Info("REST port", "url", g.URL(), "server", server)
	ready(log)
	return g.Run(ctx)
}

// ready tells systemd, if it started us.
func ready(log *slog.Logger) {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("tell systemd that the gateway is ready", "error", err)
	}
}

package config

import (
	"fmt"
	"slices"
	"strings"
)

// validate finds what no key can see alone.
func validate(c *Config) []error {
	shards := max(1, c.Shards, len(c.CPUs))
	rules := []struct {
		keys    []string
		broken  bool
		problem string
	}{
		{
			[]string{"shards", "cpus"},
			len(c.CPUs) > 0 && c.Shards > 0 && c.Shards != len(c.CPUs),
			fmt.Sprintf("%d shards but %d CPUs; set only one of them, or give every shard one CPU", c.Shards, len(c.CPUs)),
		},
		{
			[]string{"datapath", "interface"},
			c.Datapath == DatapathXDP && c.Interface == "",
			"datapath xdp needs an interface; set interface (`ip link` lists them), or use datapath auto or udp",
		},
		{
			[]string{"listen", "interface"},
			c.Interface != "" && c.Interface != "lo" && c.Datapath != DatapathUDP && c.Listen.IsLoopback(),
			fmt.Sprintf("listen %s is loopback, which packets from %s never reach; set listen to an address of %[2]s, or to ::", c.Listen, c.Interface),
		},
		{
			[]string{"data-port", "shards"},
			int(c.DataPort)+shards-1 > 65535,
			fmt.Sprintf("%d shards from port %d on go beyond 65535; choose a lower data-port", shards, c.DataPort),
		},
		{
			[]string{"dead-man", "heartbeat"},
			c.DeadMan <= c.Heartbeat,
			fmt.Sprintf("dead-man %s must be longer than heartbeat %s, or an idle shard looks dead; use at least twice", c.DeadMan, c.Heartbeat),
		},
		{
			[]string{"watchdog", "heartbeat"},
			c.Watchdog <= c.Heartbeat,
			fmt.Sprintf("watchdog %s must be longer than heartbeat %s, or an idle data plane is killed; use at least twice", c.Watchdog, c.Heartbeat),
		},
		{
			[]string{"etcd-embed", "etcd-endpoints"},
			c.EtcdEmbed && len(c.EtcdEndpoints) > 0,
			"set etcd-endpoints to use a cluster, or etcd-embed to run a server here, not both",
		},
		{
			[]string{"listen", "advertise"},
			c.Listen.IsUnspecified() && !c.Advertise.IsValid() && len(c.EtcdEndpoints) > 0,
			fmt.Sprintf("listen %s takes all addresses, and other nodes must know one; set advertise to an address of this machine", c.Listen),
		},
		{
			[]string{"etcd-endpoints", "etcd-client-url", "tls-cert"},
			c.wantsTLSForEtcd() && !c.allTLS(),
			"https to etcd needs tls-cert, tls-key and tls-ca; give them, or use http on a trusted network",
		},
		{
			[]string{"control-port", "gossip-port"},
			c.ControlPort == c.GossipPort && c.ControlPort != 0,
			fmt.Sprintf("both are %d, and gossip uses TCP, too; give them different numbers", c.ControlPort),
		},
		{
			[]string{"tls-cert", "tls-key", "tls-ca"},
			c.someTLS() && !c.allTLS(),
			"mutual TLS needs certificate, key and authorities; give all three, or none (`gannet certs dev` makes a set)",
		},
		{
			[]string{"memory", "shards"},
			int64(c.Memory)/int64(shards) < memoryLeast,
			fmt.Sprintf("memory %s for %d shards is less than %s each; raise memory or lower shards", c.Memory, shards, Size(memoryLeast)),
		},
	}
	var problems []error
	for _, r := range rules {
		if r.broken {
			problems = append(problems, &ConflictError{Keys: r.keys, Problem: r.problem})
		}
	}
	return problems
}

func (c *Config) someTLS() bool {
	return c.TLSCert != "" || c.TLSKey != "" || c.TLSCA != "" || c.TLSCRL != ""
}

func (c *Config) allTLS() bool { return c.TLSCert != "" && c.TLSKey != "" && c.TLSCA != "" }

func (c *Config) wantsTLSForEtcd() bool {
	isTLS := func(url string) bool { return strings.HasPrefix(url, "https:") }
	return slices.ContainsFunc(c.EtcdEndpoints, isTLS) || c.EtcdEmbed && (isTLS(c.EtcdClientURL) || isTLS(c.EtcdPeerURL))
}

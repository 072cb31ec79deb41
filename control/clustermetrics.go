package control

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"gannet/control/gossip"
	"gannet/ring"
	"gannet/security/mtls"
)

// clusterCollector turns this node's part in its cluster into metrics at each scrape.
type clusterCollector struct {
	cluster *cluster
	nanos   func() int64
}

// clusterMetric is one family, and how the cluster becomes its samples.
type clusterMetric struct {
	desc    *prometheus.Desc
	collect func(c *cluster, e emitter)
}

// Describe implements prometheus.Collector.
func (c *clusterCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics() {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *clusterCollector) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.metrics() {
		m.collect(c.cluster, emitter{m.desc, ch})
	}
}

func (c *clusterCollector) metrics() []clusterMetric {
	families := append(ringMetrics(), replicationMetrics(c.nanos)...)
	families = append(families, gossipMetrics()...)
	families = append(families, invalidationMetrics()...)
	return append(families, controlPortMetrics()...)
}

func ringMetrics() []clusterMetric {
	return []clusterMetric{
		{describe("ring_members", "Members of the ring this node serves by, by state.", "state"), func(c *cluster, e emitter) {
			r := c.current().Ring
			if r == nil {
				return
			}
			counts := map[ring.State]int{}
			for _, m := range r.Members() {
				counts[m.State]++
			}
			for _, state := range []ring.State{ring.Active, ring.Joining, ring.Leaving, ring.Down, ring.Returning} {
				e.gauge(float64(counts[state]), state.String())
			}
		}},
		{describe("ring_share", "Part of the circle that this node leads."), func(c *cluster, e emitter) {
			if r := c.current().Ring; r != nil {
				e.gauge(r.Share(c.self.ID))
			}
		}},
		{describe("controller", "1 while this node's controller decides."), func(c *cluster, e emitter) {
			e.gauge(boolGauge(c.chair.acts.Load()))
		}},
		{describe("controller_frozen", "1 while this node's controller leaves the ring as it is although something asks for a change."), func(c *cluster, e emitter) {
			why := c.chair.frozen.Load()
			e.gauge(boolGauge(c.chair.acts.Load() && why != nil && *why != ""))
		}},
		{describe("etcd_renewals_total", "Renewals of the fence that etcd was asked for, by outcome.", "outcome"), func(c *cluster, e emitter) {
			if s := c.etcd.Load(); s != nil {
				e.counter(float64(s.renewals.Load()), "renewed")
				e.counter(float64(s.refusals.Load()), "refused")
				e.counter(float64(s.failures.Load()), "failed")
			}
		}},
	}
}

func replicationMetrics(nanos func() int64) []clusterMetric {
	return []clusterMetric{
		{describe("replication_links", "Connections to other nodes for replication."), func(c *cluster, e emitter) {
			e.gauge(float64(c.driver.Stats().Links))
		}},
		{describe("replication_sent_bytes_total", "Mutations and parts of repairs sent to followers."), func(c *cluster, e emitter) {
			e.counter(float64(c.driver.Stats().SentBytes))
		}},
		{describe("replication_repair_parts_total", "Parts of repairs sent to followers."), func(c *cluster, e emitter) {
			e.counter(float64(c.driver.Stats().SentParts))
		}},
		{describe("replication_bad_messages_total", "Datagrams between nodes that could not be read."), func(c *cluster, e emitter) {
			e.counter(float64(c.driver.Stats().BadMessages))
		}},
		{describe("replication_degraded_share", "Part of the circle that this node leads and no follower has: writes there are marked degraded."), func(c *cluster, e emitter) {
			e.gauge(c.driver.Stats().Degraded)
		}},
		{describe("replication_held_share", "Part of the circle that this node leads and may not write yet."), func(c *cluster, e emitter) {
			e.gauge(c.driver.Stats().Held)
		}},
		{describe("replication_lacking_share", "Part of the circle that this node follows and has not whole: reads there are sent to its leader."), func(c *cluster, e emitter) {
			e.gauge(c.driver.Stats().Lacking)
		}},
		{describe("replication_sync_remaining_seconds", "Time until acknowledgements are marked degraded if no follower is heard of; negative: they are."), func(c *cluster, e emitter) {
			if s := c.driver.Stats(); s.Replicating {
				e.gauge(float64(s.SyncNanos-nanos()) / 1e9)
			}
		}},
	}
}

func gossipMetrics() []clusterMetric {
	perKind := func(name, help string, of func(*gossip.Stats) map[gossip.Kind]uint64) clusterMetric {
		return clusterMetric{describe(name, help, "kind"), func(c *cluster, e emitter) {
			if c.gossip == nil {
				return
			}
			s := c.gossip.Stats()
			for kind, n := range of(&s) {
				e.counter(float64(n), kind.String())
			}
		}}
	}
	return []clusterMetric{
		{describe("gossip_members", "Other nodes that gossip hears of."), func(c *cluster, e emitter) { e.gauge(float64(c.peerCount())) }},
		perKind("gossip_sent_total", "Datagrams to single nodes.", func(s *gossip.Stats) map[gossip.Kind]uint64 { return s.Sent }),
		perKind("gossip_sends_failed_total", "Datagrams that the system did not take.", func(s *gossip.Stats) map[gossip.Kind]uint64 { return s.SendsFailed }),
		perKind("gossip_broadcasts_total", "Broadcasts begun here.", func(s *gossip.Stats) map[gossip.Kind]uint64 { return s.Broadcasts }),
		perKind("gossip_received_total", "Messages received.", func(s *gossip.Stats) map[gossip.Kind]uint64 { return s.Received }),
		perKind("gossip_passed_on_total", "Messages passed on.", func(s *gossip.Stats) map[gossip.Kind]uint64 { return s.PassedOn }),
		perKind("gossip_dropped_total", "Messages dropped from a full queue.", func(s *gossip.Stats) map[gossip.Kind]uint64 { return s.Dropped }),
		{describe("gossip_malformed_total", "Messages that were none."), func(c *cluster, e emitter) {
			if c.gossip != nil {
				e.counter(float64(c.gossip.Stats().Malformed))
			}
		}},
		{describe("gossip_joins_total", "Attempts to join, by outcome.", "outcome"), func(c *cluster, e emitter) {
			if c.gossip != nil {
				s := c.gossip.Stats()
				e.counter(float64(s.Joins-min(s.JoinsFailed, s.Joins)), "joined")
				e.counter(float64(s.JoinsFailed), "failed")
			}
		}},
	}
}

func invalidationMetrics() []clusterMetric {
	return []clusterMetric{
		{describe("invalidations_total", "Invalidation events, by where they came from.", "origin"), func(c *cluster, e emitter) {
			s := c.hub.Stats()
			e.counter(float64(s.Announced), "self")
			e.counter(float64(s.Heard), "others")
		}},
		{describe("invalidation_batches_sent_total", "Batches of events and heartbeats spread."), func(c *cluster, e emitter) {
			e.counter(float64(c.hub.Stats().BatchesSent))
		}},
		{describe("invalidation_batches_refused_total", "Batches of others that were not taken, by reason.", "reason"), func(c *cluster, e emitter) {
			s := c.hub.Stats()
			e.counter(float64(s.Malformed), "malformed")
			e.counter(float64(s.FromThePast), "from_the_past")
			e.counter(float64(s.TooManyOrigins), "too_many_origins")
			e.counter(float64(s.Duplicates), "duplicate")
		}},
		{describe("invalidation_flushes_total", "Times subscribers were told to drop copies, by reason.", "reason"), func(c *cluster, e emitter) {
			for reason, n := range c.hub.Stats().Flushes {
				e.counter(float64(n), reason.String())
			}
		}},
		{describe("invalidation_subscribers", "Subscriptions to invalidations."), func(c *cluster, e emitter) {
			e.gauge(float64(c.hub.Stats().Subscribers))
		}},
	}
}

func controlPortMetrics() []clusterMetric {
	perReason := func(name, help string, of func(*mtls.Stats) map[mtls.Reason]uint64) clusterMetric {
		return clusterMetric{describe(name, help, "reason"), func(c *cluster, e emitter) {
			if c.tls == nil {
				return
			}
			s := c.tls.Stats()
			for reason, n := range of(&s) {
				e.counter(float64(n), reason.String())
			}
		}}
	}
	return []clusterMetric{
		{describe("control_requests_total", "Requests to the control port."), func(c *cluster, e emitter) {
			e.counter(float64(c.port.Stats().Requests))
		}},
		{describe("control_problems_total", "Requests to the control port that were not carried out, by whose fault it was.", "fault"), func(c *cluster, e emitter) {
			s := c.port.Stats()
			e.counter(float64(s.ClientProblems), "client")
			e.counter(float64(s.ServerProblems), "server")
		}},
		{describe("control_slow_subscribers_total", "Subscribers dropped because they did not read."), func(c *cluster, e emitter) {
			e.counter(float64(c.port.Stats().SlowSubscribers))
		}},
		perReason("tls_refused_total", "Peers that were not let in.", func(s *mtls.Stats) map[mtls.Reason]uint64 { return s.Refused }),
		perReason("tls_closed_total", "Peers that were cut off because their certificate is no good any more.", func(s *mtls.Stats) map[mtls.Reason]uint64 { return s.Closed }),
		{describe("tls_reloads_total", "Times certificate files changed, by outcome.", "outcome"), func(c *cluster, e emitter) {
			if c.tls != nil {
				s := c.tls.Stats()
				e.counter(float64(s.ReloadsTaken), "taken")
				e.counter(float64(s.ReloadsRefused), "refused")
			}
		}},
		{describe("tls_certificate_expiry_timestamp_seconds", "When this node's certificate ends."), func(c *cluster, e emitter) {
			if c.tls != nil {
				e.gauge(float64(c.tls.Stats().NotAfter.Unix()))
			}
		}},
	}
}

// describe says in words what the status page shows of the cluster.
func (c *cluster) describe() (role, others, controller string) {
	role = "not in the ring"
	if state, there := c.standing(); there {
		r := c.current().Ring
		role = fmt.Sprintf("%s, leads %.1f %% of the keys", state, 100*r.Share(c.self.ID))
		s := c.driver.Stats()
		if s.Degraded > 0 && s.Replicating {
			role += fmt.Sprintf("; %.1f %% have no follower", 100*s.Degraded)
		}
		if s.Held > 0 {
			role += fmt.Sprintf("; %.1f %% may not be written yet", 100*s.Held)
		}
		var names []string
		for _, m := range r.Members() {
			if m.ID != c.self.ID {
				names = append(names, m.Name+" ("+m.State.String()+")")
			}
		}
		others = strings.Join(names, ", ")
	}
	if others == "" {
		others = "none"
	}
	controller = "none"
	if id := c.chair.elected.Load(); id != 0 {
		controller = fmt.Sprintf("%016x", id)
		if m, ok := c.member(id); ok {
			controller = m.Name
		}
	}
	if why := c.chair.frozen.Load(); c.chair.acts.Load() && why != nil && *why != "" {
		controller += "; frozen: " + *why
	}
	return role, others, controller
}

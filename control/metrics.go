package control

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"gannet/board"
	"gannet/wire"
)

// collector turns the board into metrics at each scrape. It holds no state: what it
// shows is what the data plane counted. Times are seconds, sizes bytes; a key is
// never a label.
type collector struct {
	link  *Link
	nanos func() int64
}

// metric is one family: how it is described, and how a board becomes its samples.
type metric struct {
	desc    *prometheus.Desc
	collect func(b *board.Board, emit emitter)
}

// emitter sends a sample of the family at hand.
type emitter struct {
	desc *prometheus.Desc
	ch   chan<- prometheus.Metric
}

func (e emitter) counter(v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(e.desc, prometheus.CounterValue, v, labels...)
}

func (e emitter) gauge(v float64, labels ...string) {
	e.ch <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, v, labels...)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.metrics() {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.link.With(func(b *board.Board) {
		for _, m := range c.metrics() {
			m.collect(b, emitter{m.desc, ch})
		}
	})
}

func (c *collector) metrics() []metric {
	families := append(cacheMetrics(), loopMetrics()...)
	families = append(families, memoryMetrics()...)
	families = append(families, latencyMetric())
	return append(families, nodeMetrics(c.nanos)...)
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gannet_"+name, help, labels, nil)
}

// perShard is a family with one counter a shard.
func perShard(name, help string, counter board.Counter) metric {
	return metric{describe(name, help, "shard"), func(b *board.Board, e emitter) {
		for shard := range b.Shards() {
			e.counter(float64(b.Counters(shard).Get(counter)), strconv.Itoa(shard))
		}
	}}
}

// gaugePerShard is perShard for a figure that falls, too.
func gaugePerShard(name, help string, counter board.Counter) metric {
	return metric{describe(name, help, "shard"), func(b *board.Board, e emitter) {
		for shard := range b.Shards() {
			e.gauge(float64(b.Counters(shard).Get(counter)), strconv.Itoa(shard))
		}
	}}
}

// part is a counter under a label value.
type part struct {
	label   string
	counter board.Counter
}

// perPart is a family with counters by shard and a second label.
func perPart(name, help, label string, parts ...part) metric {
	return metric{describe(name, help, "shard", label), func(b *board.Board, e emitter) {
		for shard := range b.Shards() {
			for _, p := range parts {
				e.counter(float64(b.Counters(shard).Get(p.counter)), strconv.Itoa(shard), p.label)
			}
		}
	}}
}

// perMember is a family of the named members of groups.
func perMember(name, help string, groups ...board.Group) metric {
	labels := []string{"shard", "reason"}
	if len(groups) > 1 {
		labels = []string{"shard", "stage", "reason"}
	}
	return metric{describe(name, help, labels...), func(b *board.Board, e emitter) {
		for _, g := range groups {
			for member, reason := range b.Reasons().Get(g) {
				emitMember(b, e, g, member, reason, len(groups) > 1)
			}
		}
	}}
}

func emitMember(b *board.Board, e emitter, g board.Group, member int, reason string, staged bool) {
	if reason == "" || reason == "none" {
		return
	}
	for shard := range b.Shards() {
		labels := []string{strconv.Itoa(shard), reason}
		if staged {
			labels = []string{strconv.Itoa(shard), g.String(), reason}
		}
		e.counter(float64(b.Counters(shard).GetIn(g, member)), labels...)
	}
}

func cacheMetrics() []metric {
	return []metric{
		perShard("hits_total", "GETs answered with a value, stale ones included.", board.CountHits),
		perShard("stale_hits_total", "GETs answered with a value past its soft TTL.", board.CountStaleHits),
		perShard("misses_total", "GETs of keys that were not there.", board.CountMisses),
		perPart("operations_total", "Operations executed, by operation.", "operation",
			part{"get", board.CountGets}, part{"put", board.CountPuts}, part{"delete", board.CountDeletes},
			part{"touch", board.CountTouches}, part{"add", board.CountAdds}, part{"replace", board.CountReplaces},
			part{"cas", board.CountCAS}, part{"incr", board.CountIncrs}, part{"ping", board.CountPings},
			part{"stats", board.CountStats}, part{"hello", board.CountHellos}),
		perPart("evictions_total", "Live items pushed out, by cause.", "cause",
			part{"memory", board.CountEvictionsMemory}, part{"capacity", board.CountEvictionsCapacity},
			part{"slab_move", board.CountEvictionsSlabMove}, part{"spare", board.CountEvictionsSpare}),
		perPart("expiries_total", "Items past their TTL that were removed, by where they were found.", "cause",
			part{"access", board.CountExpiriesAccess}, part{"wheel", board.CountExpiriesWheel}),
		perShard("corrupt_items_total", "Items that failed their check after an unclean end and were dropped.", board.CountCorruptDropped),
		perPart("leases_total", "Lease tokens, by what became of them.", "outcome",
			part{"granted", board.CountLeasesGranted}, part{"refused", board.CountLeasesRefused}),
		gaugePerShard("items", "Items stored.", board.CountItems),
		perMember("replies_total", "Operations answered, by status.", board.GroupStatus),
	}
}

func loopMetrics() []metric {
	return []metric{
		perPart("datagrams_total", "Datagrams, by direction.", "direction",
			part{"in", board.CountDatagramsIn}, part{"out", board.CountDatagramsOut}),
		perPart("network_bytes_total", "Payload bytes, by direction.", "direction",
			part{"in", board.CountBytesIn}, part{"out", board.CountBytesOut}),
		perMember("drops_total", "Datagrams refused or dropped above the XDP program, by stage and reason.",
			board.GroupWire, board.GroupGuard, board.GroupPort),
		perMember("steer_packets_total", "Packets by verdict of the XDP program.", board.GroupSteer),
		perPart("handed_over_total", "Datagrams that arrived at another shard's queue.", "direction",
			part{"out", board.CountHandedOver}, part{"in", board.CountHandedIn}),
		perShard("continuations_total", "Long replies sent over several turns.", board.CountContinuations),
		perShard("paced_replies_total", "Replies held back to a pacing grant.", board.CountPaced),
		perShard("tails_sent_total", "Replies whose value left straight out of its slab.", board.CountTailsSent),
		perShard("mutations_applied_total", "Replicated mutations applied.", board.CountApplied),
		perShard("scanned_items_total", "Items visited by scans of key ranges.", board.CountScanned),
		perShard("uploads_total", "Segmented uploads begun.", board.CountUploads),
		perShard("log_records_total", "Records written to the mutation log.", board.CountLogRecords),
		perShard("log_lost_total", "Records that the mutation log had no room for.", board.CountLogLost),
		perShard("tombstones_lost_total", "Deletes that were forgotten before their time, because the table of them was full.", board.CountTombstonesLost),
		perShard("in_place_sent_total", "Replies that left out of a slot in one descriptor.", board.CountInPlaceSent),
		perShard("header_room_busy_total", "Replies that met their slot in flight.", board.CountRoomBusy),
		perShard("value_bytes_copied_total", "Value bytes copied into frames.", board.CountValueBytesCopied),
		perShard("large_value_bytes_copied_total", "Of these, of values with header room.", board.CountLargeBytesCopied),
		perShard("value_bytes_tail_total", "Value bytes sent by a descriptor of their own.", board.CountValueBytesTail),
		perShard("value_bytes_in_place_total", "Value bytes sent with their headers in one descriptor.", board.CountValueBytesInPlace),
		gaugePerShard("slots_in_flight", "Slots whose bytes the driver may still read.", board.CountSlotsInFlight),
		perShard("port_changes_total", "Times the shard got another port.", board.CountPortChanges),
		perShard("kernel_hits_total", "GETs that the XDP program answered; not among gets.", board.CountKernelHits),
		perPart("kernel_items_total", "Items published to the XDP program and taken back.", "event",
			part{"published", board.CountKernelPublished}, part{"withdrawn", board.CountKernelWithdrawn}),
		perShard("loop_turns_total", "Turns of the shard loop.", board.CountTurns),
		perShard("loop_late_turns_total", "Turns that began over 100 µs after the one before, sleeps aside.", board.CountLateTurns),
		perShard("wakeups_total", "Times the shard slept and was woken.", board.CountWakeups),
		perShard("frame_census_errors_total", "Times frames were missing from the census; must stay 0.", board.CountFrameCensusBad),
		{describe("busy_seconds_total", "Time the shard worked.", "shard"), func(b *board.Board, e emitter) {
			for shard := range b.Shards() {
				e.counter(float64(b.Counters(shard).Get(board.CountBusyNanos))/1e9, strconv.Itoa(shard))
			}
		}},
	}
}

func memoryMetrics() []metric {
	return []metric{
		{describe("memory_limit_bytes", "Memory the shard may use.", "shard"), func(b *board.Board, e emitter) {
			for shard := range b.Shards() {
				limit, _ := b.ShardMemory(shard).Totals()
				e.gauge(float64(limit), strconv.Itoa(shard))
			}
		}},
		{describe("memory_used_bytes", "Memory the shard uses.", "shard"), func(b *board.Board, e emitter) {
			for shard := range b.Shards() {
				_, used := b.ShardMemory(shard).Totals()
				e.gauge(float64(used), strconv.Itoa(shard))
			}
		}},
		{describe("memory_bytes", "Off-heap memory by purpose; shard \"process\" is what all shards share.", "shard", "purpose"), collectPurposes},
		{describe("memory_class_bytes", "Slab memory by size class.", "shard", "slot_bytes"), func(b *board.Board, e emitter) {
			eachClass(b, func(shard, slot string, c board.Class) { e.gauge(float64(c.SlabKiB)*1024, shard, slot) })
		}},
		{describe("memory_class_items", "Items by size class.", "shard", "slot_bytes"), func(b *board.Board, e emitter) {
			eachClass(b, func(shard, slot string, c board.Class) { e.gauge(float64(c.Items), shard, slot) })
		}},
	}
}

func collectPurposes(b *board.Board, e emitter) {
	for _, p := range b.ProcessMemory().Purposes() {
		e.gauge(float64(p.Bytes), "process", p.Name)
	}
	for shard := range b.Shards() {
		for _, p := range b.ShardMemory(shard).Purposes() {
			e.gauge(float64(p.Bytes), strconv.Itoa(shard), p.Name)
		}
	}
}

func eachClass(b *board.Board, do func(shard, slot string, c board.Class)) {
	for shard := range b.Shards() {
		for _, c := range b.ShardMemory(shard).Classes() {
			do(strconv.Itoa(shard), strconv.FormatUint(uint64(c.SlotBytes), 10), c)
		}
	}
}

// The board's histograms have eight buckets a power of two; scraped are the powers
// of two from 1 µs to about 1 s, which is what a dashboard can use.
const (
	latencyFirstPower = 10
	latencyLastPower  = 30
)

func latencyMetric() metric {
	desc := describe("request_duration_seconds", "Time from a request's arrival to its reply, by operation.", "shard", "operation")
	return metric{desc, func(b *board.Board, e emitter) {
		var counts [board.LatencyBuckets]uint64
		for shard := range b.Shards() {
			for code := wire.Get; code < wire.OpcodeCount; code++ {
				sumNanos := b.Latency(shard, int(code)).Read(&counts)
				total, buckets := cumulate(&counts)
				if total == 0 {
					continue
				}
				e.ch <- prometheus.MustNewConstHistogram(e.desc, total, float64(sumNanos)/1e9, buckets,
					strconv.Itoa(shard), strings.ToLower(code.String()))
			}
		}
	}}
}

// cumulate folds the board's buckets into cumulative ones at powers of two.
func cumulate(counts *[board.LatencyBuckets]uint64) (total uint64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, latencyLastPower-latencyFirstPower+1)
	at := 0
	for power := latencyFirstPower; power <= latencyLastPower; power++ {
		for ; at < len(counts) && board.LatencyUpperNanos(at) <= 1<<power; at++ {
			total += counts[at]
		}
		buckets[float64(int64(1)<<power)/1e9] = total
	}
	for ; at < len(counts); at++ {
		total += counts[at]
	}
	return total, buckets
}

func nodeMetrics(nanos func() int64) []metric {
	return []metric{
		{
			describe("datapath_info", "Rung of the datapath ladder a shard stands on; always 1.", "shard", "rung", "interface", "cpu"),
			func(b *board.Board, e emitter) {
				info, _ := b.Node().Info()
				for i, s := range info.Shards {
					e.gauge(1, strconv.Itoa(i), s.Rung, s.Interface, strconv.Itoa(s.CPU))
				}
			},
		},
		{describe("node_info", "Facts about the node; always 1.", "policy", "dataplane_version"), func(b *board.Board, e emitter) {
			if info, ok := b.Node().Info(); ok {
				e.gauge(1, info.Policy, info.Version)
			}
		}},
		{describe("heartbeat_age_seconds", "Time since the shard's loop turned last.", "shard"), func(b *board.Board, e emitter) {
			for shard := range b.Shards() {
				if beat := b.Heartbeat(shard).Nanos(); beat != 0 {
					e.gauge(float64(max(nanos()-beat, 0))/1e9, strconv.Itoa(shard))
				}
			}
		}},
		{describe("fence_remaining_seconds", "Time for which writes may still be acknowledged; negative: lapsed."), func(b *board.Board, e emitter) {
			if fence := b.Fence().Nanos(); fence != 0 {
				e.gauge(float64(fence-nanos()) / 1e9)
			}
		}},
		{describe("ring_epoch", "Epoch of the ring the data plane serves by."), func(b *board.Board, e emitter) {
			e.gauge(float64(b.Node().Epoch()))
		}},
		{describe("dataplane_starts_total", "Data planes started on this board."), func(b *board.Board, e emitter) {
			e.counter(float64(b.Node().Starts()))
		}},
		{describe("watchdog_kills_total", "Frozen data planes killed by the watchdog."), func(b *board.Board, e emitter) {
			e.counter(float64(b.Control().Kills()))
		}},
		{describe("serving", "1 while the data plane says that it serves."), func(b *board.Board, e emitter) {
			serving := 0.0
			if b.Node().Phase() == board.PhaseServing {
				serving = 1
			}
			e.gauge(serving)
		}},
	}
}

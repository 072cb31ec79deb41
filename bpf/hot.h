// Stage 3, hot: is it a GET of a key that is published here? Then it is
// answered in its own frame, as its shard would answer it. docs/hotkeys.md says
// what a client does for that, and why no answer is torn or stale.
#pragma once

#include "counters.h"
#include "packet.h"
#include "siphash.h"
#include "wireget.h"

// Set by the loader. Where it is 0 the verifier removes the stage.
volatile const __u8 hot_loaded;
// Set by the loader where the CPU may reorder loads with loads.
volatile const __u8 hot_weak_order;

#define REPLY_HOPS 64

#define HOT_SETS 32 // of a shard
#define HOT_WAYS 8
#define HOT_SLOTS (HOT_SETS * HOT_WAYS)
#define HOT_KEY_BYTES 256
#define HOT_VALUE_BYTES 1024
#define HOT_NEVER 0xFFFFFFFF
#define HOT_TICK_NANOS 125000000 // of expiry times
#define HOT_TICKS_PER_SECOND 8

// Whether the stage answers at all, and what it takes to know a cookie. Written
// whole before the program is attached, but for trusted.
struct hot_settings {
	__u64 trusted; // 1: the listeners are in trusted mode
	__u64 cookie_key[2];
	__u64 cookie_period_nanos;
	__u64 unused[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hot_settings);
} hot_settings SEC(".maps");

// What holds for all slots of a shard. Writer: the shard.
struct hot_shard {
	__u64 reply;       // epoch:32 | load:16, as they stand in replies
	__u64 published;   // how many slots
	__u64 stamp_nanos; // CLOCK_BOOTTIME: the shard turned then
	__u64 unused[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // the loader sets the number of shards
	__type(key, __u32);
	__type(value, struct hot_shard);
} hot_shards SEC(".maps");

// The key hashes of a set, 0 where a slot is free: one cache line tells that a
// key is not published. Writer: the shard.
struct hot_set {
	__u64 hash[HOT_WAYS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // the loader sets HOT_SETS for each shard
	__type(key, __u32);
	__type(value, struct hot_set);
} hot_sets SEC(".maps");

// One published item. Writer: the shard; the content changes only while
// sequence is odd.
struct hot_slot {
	__u64 sequence; // even: published
	__u64 version;
	__u64 origin_nanos; // CLOCK_BOOTTIME of tick 0
	__u32 expires_tick; // HOT_NEVER: none
	__u32 soft_tick;
	__u32 stored_second;
	__u32 crc;
	__u16 value_bytes;
	__u16 key_bytes;
	__u16 sum; // of the value, as on the wire
	__u16 unused;
	__u64 unused_words[2];
	__u64 key[HOT_KEY_BYTES / 8]; // zeros behind the key
	__u8 value[HOT_VALUE_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // the loader sets HOT_SLOTS for each shard
	__type(key, __u32);
	__type(value, struct hot_slot);
} hot_slots SEC(".maps");

// What a CPU keeps for a shard: its answers by slot, and the key of the GET at
// hand. Writer: the CPU.
struct hot_row {
	__u64 answers; // of all slots: 0 spares user space the look at the others
	__u64 unused[7];
	__u64 hits[HOT_SLOTS];
	__u64 key[HOT_KEY_BYTES / 8];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // the loader sets CPUs × shards
	__type(key, __u32);
	__type(value, struct hot_row);
} hot_rows SEC(".maps");

// What is asked for, when its key hash is published.
struct hot_ask {
	__u64 now_nanos;
	__u32 family; // 4 or 6
	__u32 queue;
	__u32 l3_offset;
	__u32 l4_offset;
	__u32 whole_bytes;
	__u32 shard;
	__u32 slot; // of all shards'
};

// The GET at hand and the item it may get: all that is read of a slot stands
// here before the sequence is looked at again.
struct hot_get {
	struct ethernet *eth;
	void *ip;
	struct udp *udp;
	struct wire_get *request;
	struct hot_shard *shard;
	struct hot_slot *slot;
	struct hot_row *row;
	__u32 payload_at;
	__u32 key_bytes; // padding included
	__u64 sequence;
	__u64 version;
	__u32 ttl_seconds;
	__u32 age_seconds;
	__u32 crc;
	__u16 value_bytes;
	__u16 sum;
	__u64 reply; // struct hot_shard's
};

#define ONCE(lvalue) (*(volatile typeof(lvalue) *)&(lvalue))

// Keeps the loads before it before those after it.
static __always_inline void load_barrier(void)
{
	__u64 word = 0;

	if (hot_weak_order)
		__sync_fetch_and_add(&word, 1);
	else
		asm volatile("" ::: "memory");
}

// Only the plainest GETs are worth a look.
static __always_inline int is_plain_get(const struct packet *p, const struct wire_get *r)
{
	return READABLE(p, r, sizeof(*r)) && r->opcode == WIRE_GET && r->start.operations == 1 &&
	       r->start.header_words * 8 == WIRE_REQUEST_HEADER_BYTES && !r->start.flags;
}

// The slot of a key hash; 0 when it is not published. This is all that a GET of
// any other key has to go through.
static __always_inline int find_slot(const struct wire_get *r, struct hot_ask *ask)
{
	__u32 number = r->start.shard, set = number * HOT_SETS + (r->key_hash >> 32) % HOT_SETS;
	struct hot_shard *shard = bpf_map_lookup_elem(&hot_shards, &number);
	struct hot_set *hashes;

	if (!shard || !ONCE(shard->published) || !r->key_hash)
		return 0;
	hashes = bpf_map_lookup_elem(&hot_sets, &set);
	if (!hashes)
		return 0;
	ask->shard = number;
#pragma unroll
	for (int way = 0; way < HOT_WAYS; way++) {
		if (ONCE(hashes->hash[way]) == r->key_hash) {
			ask->slot = set * HOT_WAYS + way;
			return 1;
		}
	}
	return 0;
}

// Finds everything again, in a function of its own: headers in the packet, and
// what the shard has published.
static __always_inline int find_all(struct xdp_md *ctx, const struct hot_ask *ask, struct hot_get *g)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 row = bpf_get_smp_processor_id() * port_count + ask->shard, slot = ask->slot, shard = ask->shard;

	g->eth = data;
	g->ip = data + (ask->l3_offset & 63);
	g->udp = data + (ask->l4_offset & 63);
	g->request = (void *)(g->udp + 1);
	g->payload_at = (ask->l4_offset & 63) + sizeof(struct udp);
	if ((void *)(g->eth + 1) > end || (void *)(g->request + 1) > end || ask->whole_bytes != (__u64)(end - data) ||
	    g->ip + sizeof(struct ipv6) > end) // IPv4 with a request behind it is longer, too
		return 0;
	g->shard = bpf_map_lookup_elem(&hot_shards, &shard);
	g->slot = bpf_map_lookup_elem(&hot_slots, &slot);
	g->row = bpf_map_lookup_elem(&hot_rows, &row);
	return g->shard && g->slot && g->row && !(g->eth->source[0] & 1);
}

// Whether the slot is published and the key is the request's, byte for byte.
static __always_inline int is_key(struct xdp_md *ctx, struct hot_get *g)
{
	__u32 key_bytes = g->request->key_bytes;
	__u64 difference = 0;

	g->sequence = ONCE(g->slot->sequence);
	load_barrier();
	if (g->sequence & 1 || !key_bytes || key_bytes != ONCE(g->slot->key_bytes))
		return 0;
	key_bytes = (key_bytes + 7) & ~7;
	asm volatile("" : "+r"(key_bytes));
	if (key_bytes < 8 || key_bytes > HOT_KEY_BYTES) // for the verifier
		return 0;
	g->key_bytes = key_bytes;
	if (bpf_xdp_load_bytes(ctx, g->payload_at + sizeof(*g->request), g->row->key, g->key_bytes))
		return 0;
	for (__u32 i = 0; i < HOT_KEY_BYTES / 8; i++) {
		if (8 * i >= g->key_bytes)
			break;
		difference |= g->row->key[i] ^ ONCE(g->slot->key[i]);
	}
	return !difference;
}

// The rest of what package wire checks, and what only the shard can do. The
// datagram ends with the padding, whose length is a multiple of 8.
static __always_inline int is_simple(const struct hot_get *g)
{
	const struct wire_get *r = g->request;
	__u32 udp_bytes = sizeof(*g->udp) + sizeof(*r) + g->key_bytes + r->value_bytes;

	return r->value_bytes <= 65535 && !(r->value_bytes & 7) && ntoh16(g->udp->length_bytes) == udp_bytes &&
	       !(r->op_flags & ~(WIRE_OP_LEASE | WIRE_OP_STALE_OK)) && !r->reserved && !(r->ttl_seconds | r->soft_seconds) &&
	       !(r->packet_number | r->tag[0] | r->tag[1]) && !r->grant_rate &&
	       (!r->reply_room || r->reply_room >= WIRE_MIN_REPLY_ROOM_BYTES);
}

static __always_inline int is_recent(__u64 then, __u64 now_nanos)
{
	return now_nanos - then < stale_nanos || then - now_nanos < stale_nanos;
}

// The sender's address as package security hashes it: IPv4 as IPv6.
static __always_inline void put_address(struct cookie *c, const struct hot_ask *ask, const struct hot_get *g)
{
	if (ask->family == 4) {
		const struct ipv4 *ip = g->ip;

		c->address[0] = 0;
		c->address[1] = 0xFFFF0000 | (__u64)ip->source << 32;
	} else {
		const struct ipv6 *ip = g->ip;

		c->address[0] = ip->source[0] | (__u64)ip->source[1] << 32;
		c->address[1] = ip->source[2] | (__u64)ip->source[3] << 32;
	}
}

// Whether the sender has proven itself in this period or the one before.
static __always_inline int is_proven(const struct hot_ask *ask, const struct hot_get *g, const struct hot_settings *set)
{
	struct cookie c = {
		.key = {set->cookie_key[0], set->cookie_key[1]},
		.port = ntoh16(g->udp->source),
		.period = ask->now_nanos / set->cookie_period_nanos,
	};
	__u64 cookie = g->request->cookie;

	if (!cookie)
		return 0;
	put_address(&c, ask, g);
	if (cookie_hash(&c) == cookie)
		return 1;
	c.period--;
	return cookie_hash(&c) == cookie;
}

// Reads the item's times; 0 when it has expired or is past its soft TTL.
static __always_inline int read_times(const struct hot_ask *ask, struct hot_get *g)
{
	__u64 since = ask->now_nanos - ONCE(g->slot->origin_nanos);
	__u32 expires = ONCE(g->slot->expires_tick);
	__u32 soft = ONCE(g->slot->soft_tick);
	__u32 stored = ONCE(g->slot->stored_second);
	__u32 tick = since / HOT_TICK_NANOS, second = tick / HOT_TICKS_PER_SECOND;

	if ((expires != HOT_NEVER && tick >= expires) || (soft != HOT_NEVER && tick >= soft))
		return 0;
	g->ttl_seconds = HOT_NEVER;
	if (expires != HOT_NEVER) {
		g->ttl_seconds = (expires - tick) / HOT_TICKS_PER_SECOND;
		if (!g->ttl_seconds)
			g->ttl_seconds = 1;
	}
	g->age_seconds = stored < second ? second - stored : 0;
	return 1;
}

// Whether this GET may have the item; if not, why.
static __always_inline enum reason may_answer(const struct hot_ask *ask, struct hot_get *g)
{
	const struct wire_get *r = g->request;
	__u32 only = 0;
	struct hot_settings *set = bpf_map_lookup_elem(&hot_settings, &only);

	if (!set || !ONCE(set->trusted) || !is_recent(ONCE(g->shard->stamp_nanos), ask->now_nanos) || !is_simple(g))
		return REASON_HOT_OTHER;
	g->value_bytes = ONCE(g->slot->value_bytes);
	if (g->value_bytes > HOT_VALUE_BYTES ||
	    sizeof(*r) + g->key_bytes + r->value_bytes < sizeof(struct wire_answer) + g->value_bytes)
		return REASON_HOT_UNPADDED;
	g->reply = ONCE(g->shard->reply);
	if (r->epoch && r->epoch != (__u32)g->reply)
		return REASON_HOT_EPOCH;
	g->version = ONCE(g->slot->version);
	if (g->version < r->min_version)
		return REASON_HOT_BEHIND;
	if (!read_times(ask, g))
		return REASON_HOT_EXPIRED;
	if (!is_proven(ask, g, set))
		return REASON_HOT_UNPROVEN;
	g->crc = ONCE(g->slot->crc);
	g->sum = ONCE(g->slot->sum);
	return REASON_NONE;
}

// Copies the value to its place in the reply; 0 when the item was withdrawn
// meanwhile. Then what the value has overwritten, and matters to the shard, is
// put back: it began in the argument and went over the key.
static __always_inline int take_value(struct xdp_md *ctx, struct hot_get *g)
{
	__u32 at = g->payload_at;
	__u64 argument = g->request->argument;

	if (g->value_bytes && bpf_xdp_store_bytes(ctx, at + sizeof(struct wire_answer), g->slot->value, g->value_bytes))
		return 0;
	load_barrier();
	if (ONCE(g->slot->sequence) == g->sequence)
		return 1;
	g->request->argument = argument;
	bpf_xdp_store_bytes(ctx, at + sizeof(*g->request), g->row->key, g->key_bytes);
	return 0;
}

static __always_inline void put_answer(const struct hot_ask *ask, struct hot_get *g)
{
	struct wire_answer *a = (void *)g->request;

	a->start.flags = WIRE_FLAG_REPLY;
	a->start.header_words = WIRE_REPLY_HEADER_BYTES / 8;
	a->epoch = g->reply;
	a->load = g->reply >> 32;
	a->rx_queue = ask->queue;
	a->opcode = WIRE_GET;
	a->status = 0;
	a->op_flags = 0;
	a->value_bytes = g->value_bytes;
	a->version = g->version;
	a->ttl_seconds = g->ttl_seconds;
	a->age_seconds = g->age_seconds;
	a->crc = g->crc;
	a->grant_and_index = 0;
	a->token = 0;
	a->total_bytes = g->value_bytes;
	a->offset_bytes = 0;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum >> 32) + (__u32)sum;
	sum = (sum >> 32) + (__u32)sum;
	sum = (sum >> 16) + (sum & 0xFFFF);
	sum = (sum >> 16) + (sum & 0xFFFF);
	return (sum >> 16) + sum;
}

// Turns Ethernet round. The frame was parsed, and is as long as the request.
static __always_inline void turn_ethernet(struct ethernet *eth)
{
	__u8 mine[6];

	__builtin_memcpy(mine, eth->destination, 6);
	__builtin_memcpy(eth->destination, eth->source, 6);
	__builtin_memcpy(eth->source, mine, 6);
}

// Turns the IP header round and returns the sum of its addresses. What it keeps
// and sets is the same as in replies of shards.
static __always_inline __u64 turn_ipv4(struct ipv4 *ip, __u32 udp_bytes)
{
	__be32 mine = ip->destination;

	ip->destination = ip->source;
	ip->source = mine;
	ip->service &= ~3;
	ip->total_bytes = hton16(sizeof(*ip) + udp_bytes);
	ip->id = 0;
	ip->fragment = hton16(0x4000);
	ip->ttl = REPLY_HOPS;
	ip->checksum = 0;
	ip->checksum = ~fold((__u32)bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0));
	return (__u64)ip->source + ip->destination;
}

static __always_inline __u64 turn_ipv6(struct ipv6 *ip, __u32 udp_bytes)
{
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < 4; i++) {
		__be32 mine = ip->destination[i];

		ip->destination[i] = ip->source[i];
		ip->source[i] = mine;
		sum += (__u64)ip->source[i] + ip->destination[i];
	}
	ip->version_class_flow &= hton32(0xFFC00000);
	ip->payload_bytes = hton16(udp_bytes);
	ip->hop_limit = REPLY_HOPS;
	return sum;
}

// Turns addresses and ports round and writes the checksums.
static __always_inline void turn_round(const struct hot_ask *ask, struct hot_get *g)
{
	struct udp *udp = g->udp;
	__u32 udp_bytes = sizeof(*udp) + sizeof(struct wire_answer) + g->value_bytes;
	__be16 mine = udp->destination;
	__u64 sum;

	turn_ethernet(g->eth);
	sum = ask->family == 4 ? turn_ipv4(g->ip, udp_bytes) : turn_ipv6(g->ip, udp_bytes);
	udp->destination = udp->source;
	udp->source = mine;
	udp->length_bytes = hton16(udp_bytes);
	sum += (__u64)udp->source + udp->destination + 2 * hton16(udp_bytes) + hton16(PROTOCOL_UDP) + g->sum;
	sum += (__u32)bpf_csum_diff(0, 0, (__be32 *)(udp + 1), sizeof(struct wire_answer), 0);
	udp->checksum = ~fold(sum);
	if (!udp->checksum)
		udp->checksum = 0xFFFF;
}

// Answers in place. A function of its own, which the verifier looks at once
// instead of on every way that leads here; hence everything is found again.
__noinline int hot_answer(struct xdp_md *ctx, const struct hot_ask *ask)
{
	struct hot_get g;
	enum reason why;
	__u32 want_bytes;

	if (!ask || !find_all(ctx, ask, &g) || !is_key(ctx, &g)) // the first for the verifier
		return REASON_NONE;
	why = may_answer(ask, &g);
	if (!why && !take_value(ctx, &g))
		why = REASON_HOT_BUSY;
	if (why) {
		count(why);
		return REASON_NONE;
	}
	put_answer(ask, &g);
	turn_round(ask, &g);
	g.row->answers++;
	g.row->hits[ask->slot % HOT_SLOTS]++;
	want_bytes = g.payload_at + sizeof(struct wire_answer) + g.value_bytes;
	// A frame that stays longer than its datagram is padded: that is legal.
	if (ask->whole_bytes > want_bytes)
		bpf_xdp_adjust_tail(ctx, (int)want_bytes - (int)ask->whole_bytes);
	return REASON_ANSWERED;
}

static __always_inline enum reason hot(struct xdp_md *ctx, struct packet *p)
{
	const struct wire_get *r = header_at(p, p->l4_offset) + sizeof(struct udp);
	struct hot_ask ask;

	if (!hot_loaded || !is_plain_get(p, r) || !find_slot(r, &ask))
		return REASON_NONE;
	ask.now_nanos = exact_nanos(p);
	ask.family = p->source.family;
	ask.queue = p->queue;
	ask.l3_offset = p->l3_offset;
	ask.l4_offset = p->l4_offset;
	ask.whole_bytes = p->whole_bytes;
	return hot_answer(ctx, &ask);
}

// Stage 2, guard: it is ours; is it a request, from somebody who may ask, and
// not too often? Whatever is not is dropped.
#pragma once

#include "packet.h"
#include "wire.h"

struct allow_key {
	__u32 prefix_bits; // of all of source: 32 for the family, then the address
	struct source source;
};

// One of the two tries of the loader. The one in force is never written: the
// loader fills the other and puts it here, which takes effect between two
// packets.
struct allow_trie {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096); // the loader sets it
	__type(key, struct allow_key);
	__type(value, __u8);
} allow_a SEC(".maps"), allow_b SEC(".maps");

// Slot 0: the trie in force. Empty: everybody may ask.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct allow_trie);
} allow SEC(".maps");

// What user space changes while packets come: one word each, stored whole.
struct settings {
	__u64 rate; // interval between packets, ns:32 | burst, packets:32; 0 = no limit
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

// A token bucket in one word (GCRA): when it will be full again. The bucket
// holds (burst - (full - now) / interval) packets.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384); // the loader sets it
	__type(key, struct source);
	__type(value, __u64);
} buckets SEC(".maps");

#define RATE_ATTEMPTS 4

static __always_inline enum reason check_request(struct packet *p)
{
	struct udp *udp = p->data + p->l4_offset;
	struct wire_start *start = (void *)(udp + 1);
	__u32 length_bytes, header_bytes;

	if (!READABLE(p, udp, sizeof(*udp)))
		return REASON_PASS_SPLIT;
	length_bytes = ntoh16(udp->length_bytes);
	if (length_bytes < sizeof(*udp) || length_bytes > p->l4_bytes)
		return REASON_DROP_UDP_LENGTH;
	length_bytes -= sizeof(*udp);
	if (length_bytes < WIRE_SMALLEST_REQUEST_BYTES)
		return REASON_DROP_SHORT;
	if (!READABLE(p, start, sizeof(*start)))
		return REASON_PASS_SPLIT;
	if (start->magic != WIRE_MAGIC)
		return REASON_DROP_MAGIC;
	if (start->version != WIRE_VERSION)
		return REASON_DROP_VERSION;
	if (start->flags & WIRE_FLAG_REPLY)
		return REASON_DROP_REPLY;
	if (start->flags & ~WIRE_FLAGS_KNOWN)
		return REASON_DROP_FLAGS;
	header_bytes = start->header_words * 8;
	if (header_bytes < WIRE_REQUEST_HEADER_BYTES || header_bytes + WIRE_OPERATION_BYTES > length_bytes)
		return REASON_DROP_HEADER_LENGTH;
	if (!start->operations)
		return REASON_DROP_NO_OPERATION;
	return REASON_NONE;
}

static __always_inline enum reason check_source(struct packet *p)
{
	struct allow_key key = {
		.prefix_bits = 8 * sizeof(struct source),
		.source = p->source,
	};
	__u32 in_force = 0;
	void *trie = bpf_map_lookup_elem(&allow, &in_force);

	if (!trie)
		return REASON_NONE;
	return bpf_map_lookup_elem(trie, &key) ? REASON_NONE : REASON_DROP_SOURCE;
}

// Takes one packet out of a bucket. Cores may compete for a source; who loses
// every attempt is let through and charged, so that nothing goes for free.
static __always_inline enum reason charge(__u64 *bucket, __u64 now, __u64 interval, __u64 depth)
{
	for (int i = 0; i < RATE_ATTEMPTS; i++) {
		__u64 seen = *(volatile __u64 *)bucket;
		__u64 full = seen < now ? now : seen;

		if (full + interval > now + depth) {
			// Debt from before a change of the rate is forgiven, down to
			// an empty bucket.
			if (full > now + depth)
				__sync_val_compare_and_swap(bucket, seen, now + depth);
			return REASON_DROP_RATE;
		}
		if (__sync_val_compare_and_swap(bucket, seen, full + interval) == seen)
			return REASON_NONE;
	}
	__sync_fetch_and_add(bucket, interval);
	return REASON_NONE;
}

static __always_inline enum reason check_rate(struct packet *p)
{
	__u32 only = 0;
	struct settings *set = bpf_map_lookup_elem(&settings, &only);
	__u64 rate, interval, first, now, *bucket;

	if (!set)
		return REASON_NONE;
	rate = *(volatile __u64 *)&set->rate;
	if (!rate)
		return REASON_NONE;
	interval = rate >> 32;
	now = exact_nanos(p);
	bucket = bpf_map_lookup_elem(&buckets, &p->source);
	if (bucket)
		return charge(bucket, now, interval, interval * (__u32)rate);
	first = now + interval;
	bpf_map_update_elem(&buckets, &p->source, &first, BPF_NOEXIST);
	return REASON_NONE;
}

static __always_inline enum reason guard(struct packet *p)
{
	enum reason reason;

	reason = check_request(p);
	if (reason)
		return reason;
	reason = check_source(p);
	if (reason)
		return reason;
	return check_rate(p);
}

// Stage 4, steer: to the socket of its rx queue, if somebody lives there.
#pragma once

#include "counters.h"
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1); // the loader sets the number of rx queues
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

// A queue's stamp has a cache line of its own; its only writer is the shard
// that owns the queue.
struct stamp {
	__u64 nanos; // CLOCK_BOOTTIME
	__u64 unused[7];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); // the loader sets the number of rx queues
	__type(key, __u32);
	__type(value, struct stamp);
} stamps SEC(".maps");

// From this age on a stamp is stale.
volatile const __u64 stale_nanos = 100000000;

#define META_MAGIC 0x4D744E47

struct meta {
	__u64 arrival_nanos; // CLOCK_BOOTTIME
	__u32 queue;
	__u32 magic;
};

// The dead man's switch: a process that lives but does not refill its fill
// queue would black-hole the port, even for the kernel's sockets. A stamp from
// the future is as bad as an old one.
static __always_inline enum reason check_alive(struct packet *p)
{
	struct stamp *stamp = bpf_map_lookup_elem(&stamps, &p->queue);
	__u64 then;

	if (!stamp)
		return REASON_PASS_NO_SOCKET;
	then = *(volatile __u64 *)&stamp->nanos;
	if (p->now_nanos - then >= stale_nanos && then - p->now_nanos >= stale_nanos)
		return REASON_PASS_STALE;
	return REASON_NONE;
}

// Writes metadata in front of the packet; 0 when there is no room for it.
static __always_inline int put_meta(struct xdp_md *ctx, const struct packet *p)
{
	struct meta *meta;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return 0;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return 0;
	meta->arrival_nanos = p->now_nanos;
	meta->queue = p->queue;
	meta->magic = META_MAGIC;
	return 1;
}

static __always_inline enum reason steer(struct xdp_md *ctx, struct packet *p)
{
	enum reason reason;

	if (!bpf_map_lookup_elem(&sockets, &p->queue))
		return REASON_PASS_NO_SOCKET;
	reason = check_alive(p);
	if (reason)
		return reason;
	// Metadata is a convenience: a packet goes on without it.
	if (!put_meta(ctx, p))
		count(REASON_META_FAILED);
	// The socket may have gone since the look-up: then it passes.
	if (bpf_redirect_map(&sockets, p->queue, XDP_PASS) != XDP_REDIRECT)
		return REASON_PASS_NO_SOCKET;
	return REASON_REDIRECTED;
}

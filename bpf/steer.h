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
// that owns the queue. It changes in every turn of the shard that had work.
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

// A reading of the clock, shared by packets that come while the shard is busy with
// those before them. It ends when the shard's stamp changes, with the kernel's tick,
// and after SHARED_BY packets. So it is late by the time of a few packets under load,
// by nothing where the shard waits for each packet, and by a tick at most where the
// shard stands still; it is never ahead. Writer: the CPU.
struct reading {
	__u64 nanos; // CLOCK_BOOTTIME
	__u64 stamp_nanos;
	__u64 tick;
	__u64 packets;
	__u64 unused[4];
};

#define SHARED_BY 8

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); // the loader sets the number of CPUs
	__type(key, __u32);
	__type(value, struct reading);
} readings SEC(".maps");

#define META_MAGIC 0x4D744E47

struct meta {
	__u64 arrival_nanos; // CLOCK_BOOTTIME, of a reading
	__u32 queue;
	__u32 magic;
};

static __always_inline __u64 shared_nanos(__u64 stamp_nanos)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct reading *r = bpf_map_lookup_elem(&readings, &cpu);
	__u64 tick = bpf_jiffies64();

	if (!r)
		return bpf_ktime_get_boot_ns();
	if (r->stamp_nanos != stamp_nanos || r->tick != tick || r->packets >= SHARED_BY) {
		r->nanos = bpf_ktime_get_boot_ns();
		r->stamp_nanos = stamp_nanos;
		r->tick = tick;
		r->packets = 0;
	}
	r->packets++;
	return r->nanos;
}

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
	if (!p->now_nanos)
		p->now_nanos = shared_nanos(then);
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

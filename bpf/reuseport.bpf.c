//go:build ignore

// Picks, among the kernel sockets of one SO_REUSEPORT group, the one of the
// shard that the header names.
//
// It never drops. What it cannot place, the kernel's own hash places: the
// socket that gets it counts it, and answers or hands it over. A drop here
// would make the kernel send an ICMP unreachable, which peers take for
// evidence that this node is dead.

#include "kernel.h"
#include "counters.h"
#include "wire.h"

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 1); // the loader sets the number of shards
	__type(key, __u32);
	__type(value, __u64);
} shards SEC(".maps");

static __always_inline enum reason choose(struct sk_reuseport_md *ctx)
{
	struct wire_start start;
	__u32 shard;

	// ctx->data is the UDP header. The helper reads what lies outside of
	// the linear part, too.
	if (bpf_skb_load_bytes(ctx, sizeof(struct udp), &start, sizeof(start)))
		return REASON_REUSEPORT_SHORT;
	if (start.magic != WIRE_MAGIC)
		return REASON_REUSEPORT_MAGIC;
	shard = start.shard;
	if (bpf_sk_select_reuseport(ctx, &shards, &shard, 0))
		return REASON_REUSEPORT_NO_SOCKET;
	return REASON_REUSEPORT_SELECTED;
}

SEC("sk_reuseport")
int select_shard(struct sk_reuseport_md *ctx)
{
	count(choose(ctx));
	return SK_PASS;
}

char object_license[] SEC("license") = "Dual BSD/GPL";

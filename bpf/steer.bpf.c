//go:build ignore

// The life of a packet in the XDP program:
//
//	rx queue ─> parse ─────────> guard ───────────────> hot ────────────> steer ─────────> AF_XDP socket
//	            Ethernet, VLAN,  lengths, magic,        a GET of a key    socket of the    of the rx queue,
//	            IP, UDP, port    version, allow-list,   published here?   queue, alive?    with metadata
//	              │              rate                     │                 │
//	              v not ours       v ours, and bad        v answered        v nobody lives there
//	            XDP_PASS         XDP_DROP               XDP_TX            XDP_PASS
//
// Each stage is a header of its own. A stage returns REASON_NONE to go on, or
// the reason it ends with; each reason is counted and belongs to one verdict.
// User space answers for all that is redirected: what is checked here is what
// makes that safe and cheap, no more. It needs Linux 5.18.

#include "kernel.h"
#include "counters.h"
#include "parse.h"
#include "guard.h"
#include "steer.h"
#include "hot.h"

static __always_inline int verdict(enum reason reason)
{
	if (reason == REASON_REDIRECTED)
		return XDP_REDIRECT;
	if (reason == REASON_ANSWERED)
		return XDP_TX;
	return reason < REASON_DROP_UDP_LENGTH ? XDP_PASS : XDP_DROP;
}

static __always_inline int run(struct xdp_md *ctx, int frags)
{
	struct packet p = {
		.data = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.queue = ctx->rx_queue_index,
	};
	enum reason reason;

	p.whole_bytes = frags ? bpf_xdp_get_buff_len(ctx) : (__u64)(p.end - p.data);
	reason = parse(&p);
	if (!reason)
		reason = guard(&p);
	if (!reason)
		reason = hot(ctx, &p);
	if (!reason)
		reason = steer(ctx, &p);
	count(reason);
	return verdict(reason);
}

SEC("xdp")
int steer_single(struct xdp_md *ctx)
{
	return run(ctx, 0);
}

// The same for packets of several buffers, which a driver hands only to
// programs that say they can take them.
SEC("xdp.frags")
int steer_frags(struct xdp_md *ctx)
{
	return run(ctx, 1);
}

char object_license[] SEC("license") = "Dual BSD/GPL";

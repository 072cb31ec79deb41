// The physical limit: each IPv4 UDP frame goes back where it came from, before the
// kernel has made a packet of it. It neither reads nor changes the payload.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "udp.h"

SEC("xdp")
int reflect(struct xdp_md *ctx)
{
	struct frame *f = udp_frame((void *)(long)ctx->data, (void *)(long)ctx->data_end);

	if (!f)
		return XDP_PASS;
	turn(f);
	return XDP_TX;
}

char object_license[] SEC("license") = "Dual BSD/GPL";

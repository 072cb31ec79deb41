// Sends IPv4 UDP to the socket of its queue, and lets all else pass: the filter of
// the l2fwd echo (echo.c).
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "udp.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 16);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} sockets SEC(".maps");

SEC("xdp")
int to_socket(struct xdp_md *ctx)
{
	if (!udp_frame((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return XDP_PASS;
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

char object_license[] SEC("license") = "Dual BSD/GPL";

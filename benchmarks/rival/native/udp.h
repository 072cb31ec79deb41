/* The head of an IPv4 UDP frame, for the eBPF programs and the echo server alike. */
#ifndef UDP_H
#define UDP_H

#include <linux/types.h>

struct frame {
	__u8 destination[6], source[6];
	__u16 ethertype;
	__u8 version_length, service;
	__u16 length, id, fragment;
	__u8 ttl, protocol;
	__u16 header_sum;
	__u32 from, to;
	__u16 from_port, to_port;
	__u16 udp_length, udp_sum;
} __attribute__((packed, aligned(2)));

/* udp_frame returns the head if this is IPv4 UDP without options, else NULL. */
static inline struct frame *udp_frame(void *data, void *end)
{
	struct frame *f = data;

	if ((void *)(f + 1) > end)
		return 0;
	if (f->ethertype != __builtin_bswap16(0x0800) || f->version_length != 0x45 || f->protocol != 17)
		return 0;
	return f;
}

/* turn swaps both ends' addresses. Sums of swapped words stay as they are. */
static inline void turn(struct frame *f)
{
	__u8 mac[6];
	__u32 ip = f->from;
	__u16 port = f->from_port;

	__builtin_memcpy(mac, f->destination, 6);
	__builtin_memcpy(f->destination, f->source, 6);
	__builtin_memcpy(f->source, mac, 6);
	f->from = f->to;
	f->to = ip;
	f->from_port = f->to_port;
	f->to_port = port;
}

#endif

// What the stages tell one another about the packet at hand.
#pragma once

#include "kernel.h"
#include "reason.h"

// Who sent it. The family comes first, so that no IPv6 prefix covers IPv4.
struct source {
	__u32 family;     // 4 or 6
	__u32 address[4]; // as on the wire; IPv4: the first word, the rest 0
};

struct packet {
	void *data;
	void *end;         // end of the first buffer, which is all we can read
	__u64 whole_bytes; // all buffers together

	__u64 now_nanos;   // CLOCK_BOOTTIME; 0 = nobody has asked yet
	__u32 queue;       // rx queue

	__u32 l3_offset;
	__u32 l4_offset;
	__u32 l4_bytes;    // what IP says lies behind its header
	struct source source;
};

// The time, exactly. The clock costs as much as all the rest of a packet: most go
// without (steer.h).
static __always_inline __u64 exact_nanos(struct packet *p)
{
	if (!p->now_nanos)
		p->now_nanos = bpf_ktime_get_boot_ns();
	return p->now_nanos;
}

// Whether bytes from offset on can be read. The verifier learns it, too.
#define READABLE(p, pointer, size) ((void *)(pointer) + (size) <= (p)->end)

// A pointer into the packet at an offset that parse found. No header begins
// later than that; the verifier forgets it, and must not be argued with.
static __always_inline void *header_at(const struct packet *p, __u32 offset)
{
	asm volatile("" : "+r"(offset));
	return p->data + (offset & 63);
}

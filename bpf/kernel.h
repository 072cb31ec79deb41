// The few kernel types the programs use. They are fixed ABI, and declared here
// so that the objects do not depend on the headers of the machine that
// compiles them. libbpf's bpf_helpers.h builds on these names.
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef signed short __s16;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;

#include <bpf/bpf_helpers.h>

// include/uapi/linux/bpf.h
enum {
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_XSKMAP = 17,
	BPF_MAP_TYPE_REUSEPORT_SOCKARRAY = 20,
};

enum {
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1 << 10,
};

enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };

enum { SK_DROP, SK_PASS };

struct xdp_md {
	__u32 data;
	__u32 data_end;
	__u32 data_meta;
	__u32 ingress_ifindex;
	__u32 rx_queue_index;
	__u32 egress_ifindex;
};

struct sk_reuseport_md {
	union {
		void *data;
		__u64 : 64;
	} __attribute__((aligned(8)));
	union {
		void *data_end;
		__u64 : 64;
	} __attribute__((aligned(8)));
	__u32 len;
	__u32 eth_protocol;
	__u32 ip_protocol;
	__u32 bind_inany;
	__u32 hash;
};

// Network headers, as they lie on the wire. They have no holes, so they need no
// packing, which would make the compiler read byte by byte; both targets read
// words anywhere.
struct ethernet {
	__u8 destination[6];
	__u8 source[6];
	__be16 type;
};

struct vlan_tag {
	__be16 control;
	__be16 type;
};

struct ipv4 {
	__u8 version_words; // version:4 | header length in words:4
	__u8 service;
	__be16 total_bytes;
	__be16 id;
	__be16 fragment; // reserved:1 | don't fragment:1 | more fragments:1 | offset:13
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6 {
	__be32 version_class_flow;
	__be16 payload_bytes;
	__u8 next_header;
	__u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
};

struct udp {
	__be16 source;
	__be16 destination;
	__be16 length_bytes;
	__u16 checksum;
};

_Static_assert(sizeof(struct ethernet) == 14 && sizeof(struct vlan_tag) == 4 && sizeof(struct ipv4) == 20 &&
		       sizeof(struct ipv6) == 40 && sizeof(struct udp) == 8,
	       "headers without holes");

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_IPV6 0x86DD
#define PROTOCOL_UDP 17
#define IPV4_VERSION_WORDS 0x45     // version 4, five words: no options
#define IPV4_FRAGMENT_BITS 0x3FFF   // more fragments, or an offset

// Both targets are little-endian.
#define ntoh16(x) __builtin_bswap16(x)
#define hton16(x) __builtin_bswap16(x)
#define hton32(x) __builtin_bswap32(x)

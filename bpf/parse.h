// Stage 1, parse: is it ours? Whatever is not, or is not clear, passes.
#pragma once

#include "packet.h"

// The first port and how many there are, one for each shard.
volatile const __u16 port_base;
volatile const __u16 port_count;

// The interface's Ethernet address, as the upper six bytes of a word in network
// order; 0: whatever comes is ours. A switch floods what it has no port for, such as
// frames to a machine that has just died: who answered them would stand in for it.
volatile const __u64 own_address;

// Too short to read: the whole packet, or only its first buffer?
static __always_inline enum reason unreadable(const struct packet *p, __u32 need_bytes)
{
	return p->whole_bytes < need_bytes ? REASON_PASS_TRUNCATED : REASON_PASS_SPLIT;
}

static __always_inline __u64 destination_of(const struct ethernet *eth)
{
	const __be16 *words = (const __be16 *)eth->destination;

	return (__u64)ntoh16(words[0]) << 48 | (__u64)ntoh16(words[1]) << 32 | (__u64)ntoh16(words[2]) << 16;
}

static __always_inline enum reason parse_ethernet(struct packet *p, __be16 *type)
{
	struct ethernet *eth = p->data;
	struct vlan_tag *tag = (void *)(eth + 1);

	if (!READABLE(p, eth, sizeof(*eth)))
		return unreadable(p, sizeof(*eth));
	if (eth->destination[0] & 1)
		return REASON_PASS_MULTICAST;
	if (own_address && destination_of(eth) != own_address)
		return REASON_PASS_OTHER_HOST;
	p->l3_offset = sizeof(*eth);
	*type = eth->type;
	if (*type != hton16(ETHERTYPE_VLAN))
		return REASON_NONE;
	if (!READABLE(p, tag, sizeof(*tag)))
		return unreadable(p, sizeof(*eth) + sizeof(*tag));
	p->l3_offset += sizeof(*tag);
	*type = tag->type;
	return REASON_NONE;
}

static __always_inline enum reason parse_ipv4(struct packet *p)
{
	struct ipv4 *ip = p->data + p->l3_offset;
	__u32 total_bytes;

	if (!READABLE(p, ip, sizeof(*ip)))
		return unreadable(p, p->l3_offset + sizeof(*ip));
	if (ip->version_words >> 4 != 4)
		return REASON_PASS_IP_MALFORMED;
	if (ip->version_words != IPV4_VERSION_WORDS)
		return REASON_PASS_IP_OPTIONS;
	total_bytes = ntoh16(ip->total_bytes);
	if (total_bytes < sizeof(*ip) || p->l3_offset + total_bytes > p->whole_bytes)
		return REASON_PASS_IP_MALFORMED;
	if (ip->fragment & hton16(IPV4_FRAGMENT_BITS))
		return REASON_PASS_FRAGMENT;
	if (ip->protocol != PROTOCOL_UDP)
		return REASON_PASS_NOT_UDP;
	p->l4_offset = p->l3_offset + sizeof(*ip);
	p->l4_bytes = total_bytes - sizeof(*ip);
	p->source.family = 4;
	p->source.address[0] = ip->source;
	return REASON_NONE;
}

static __always_inline int is_ipv6_extension(__u8 next_header)
{
	switch (next_header) {
	case 0:   // hop-by-hop options
	case 43:  // routing
	case 44:  // fragment
	case 50:  // encapsulating security payload
	case 51:  // authentication
	case 60:  // destination options
	case 135: // mobility
		return 1;
	}
	return 0;
}

static __always_inline enum reason parse_ipv6(struct packet *p)
{
	struct ipv6 *ip = p->data + p->l3_offset;

	if (!READABLE(p, ip, sizeof(*ip)))
		return unreadable(p, p->l3_offset + sizeof(*ip));
	if ((ip->version_class_flow & hton32(0xF0000000)) != hton32(0x60000000))
		return REASON_PASS_IP_MALFORMED;
	p->l4_bytes = ntoh16(ip->payload_bytes);
	p->l4_offset = p->l3_offset + sizeof(*ip);
	if (p->l4_offset + p->l4_bytes > p->whole_bytes)
		return REASON_PASS_IP_MALFORMED;
	if (is_ipv6_extension(ip->next_header))
		return REASON_PASS_IPV6_EXTENSION;
	if (ip->next_header != PROTOCOL_UDP)
		return REASON_PASS_NOT_UDP;
	p->source.family = 6;
	p->source.address[0] = ip->source[0];
	p->source.address[1] = ip->source[1];
	p->source.address[2] = ip->source[2];
	p->source.address[3] = ip->source[3];
	return REASON_NONE;
}

static __always_inline enum reason parse_port(struct packet *p)
{
	struct udp *udp = p->data + p->l4_offset;
	__u16 shard;

	if (p->l4_bytes < sizeof(*udp))
		return REASON_PASS_TRUNCATED;
	if (!READABLE(p, udp, sizeof(*udp)))
		return REASON_PASS_SPLIT;
	shard = ntoh16(udp->destination) - port_base;
	return shard < port_count ? REASON_NONE : REASON_PASS_OTHER_PORT;
}

static __always_inline enum reason parse(struct packet *p)
{
	enum reason reason;
	__be16 type = 0;

	reason = parse_ethernet(p, &type);
	if (reason)
		return reason;
	if (type == hton16(ETHERTYPE_IPV4))
		reason = parse_ipv4(p);
	else if (type == hton16(ETHERTYPE_IPV6))
		reason = parse_ipv6(p);
	else
		return REASON_PASS_NOT_IP;
	return reason ? reason : parse_port(p);
}

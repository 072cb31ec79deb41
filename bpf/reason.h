// What can become of a packet. Every one ends under exactly one of these, but
// for those that say so, which are counted besides. reason.go lists the same
// names in the same order; a test compares the two.
#pragma once

enum reason {
	REASON_NONE, // undecided: the next stage goes on

	// The kernel's stack gets it, untouched.
	REASON_PASS_TRUNCATED,      // too short for the headers it announces
	REASON_PASS_MULTICAST,      // Ethernet group address
	REASON_PASS_OTHER_HOST,     // another machine's Ethernet address: flooded by a switch
	REASON_PASS_NOT_IP,         // neither IPv4 nor IPv6, or more than one VLAN tag
	REASON_PASS_IP_OPTIONS,     // IPv4 header of other than five words
	REASON_PASS_IP_MALFORMED,   // version or length contradict the frame
	REASON_PASS_FRAGMENT,       // IPv4 fragment
	REASON_PASS_IPV6_EXTENSION, // IPv6 extension header, fragments included
	REASON_PASS_NOT_UDP,
	REASON_PASS_OTHER_PORT,
	REASON_PASS_SPLIT,     // the headers are not all in the first buffer
	REASON_PASS_NO_SOCKET, // no AF_XDP socket on this rx queue
	REASON_PASS_STALE,     // the queue's owner has not stamped for too long

	// Ours, and bad.
	REASON_DROP_UDP_LENGTH,    // UDP length contradicts the IP length
	REASON_DROP_SHORT,         // shorter than the shortest request
	REASON_DROP_MAGIC,
	REASON_DROP_VERSION,
	REASON_DROP_REPLY,         // a reply at a server's port
	REASON_DROP_FLAGS,         // unknown flags
	REASON_DROP_HEADER_LENGTH, // header shorter than fixed, or longer than the datagram allows
	REASON_DROP_NO_OPERATION,
	REASON_DROP_SOURCE,        // not on the allow-list
	REASON_DROP_RATE,          // over the source's rate

	// Ours, and good.
	REASON_ANSWERED, // by the hot stage: goes back
	REASON_REDIRECTED,

	// Counted besides: redirected without metadata.
	REASON_META_FAILED,

	// Counted besides: the key is published, but the hot stage did not answer.
	REASON_HOT_OTHER,    // only the shard can do what is asked for, or nothing may be answered now
	REASON_HOT_UNPADDED, // the request is shorter than the reply
	REASON_HOT_EPOCH,    // of another ring
	REASON_HOT_BEHIND,   // a newer version is wanted
	REASON_HOT_EXPIRED,  // past a TTL
	REASON_HOT_UNPROVEN, // no good cookie
	REASON_HOT_BUSY,     // withdrawn while it was copied

	// The choice among kernel sockets (reuseport.bpf.c).
	REASON_REUSEPORT_SELECTED,
	REASON_REUSEPORT_SHORT,     // the kernel chose: no header
	REASON_REUSEPORT_MAGIC,     // the kernel chose: not our datagram
	REASON_REUSEPORT_NO_SOCKET, // the kernel chose: no socket for the shard

	REASONS,
};

#define REASON_SLOTS 64 // counters in a CPU's row; a row is whole cache lines
_Static_assert(REASONS <= REASON_SLOTS, "more reasons than counters");

// A GET alone in its datagram, and its answer, as docs/protocol.md draws them.
// A test compares every field with package wire.
#pragma once

#include "wire.h"

#define WIRE_GET 1
#define WIRE_OP_LEASE 2
#define WIRE_OP_STALE_OK 16
#define WIRE_REPLY_HEADER_BYTES 64
#define WIRE_MIN_REPLY_ROOM_BYTES 1168

// The key follows, padded with zeros, then the padding.
struct wire_get {
	struct wire_start start;
	__u64 key_hash;
	__u64 request_id;
	__u64 session_id;
	__u64 packet_number;
	__u64 tag[2];
	__u32 epoch;
	__u32 budget;
	__u64 cookie;
	__u64 min_version;
	__u32 grant_offset;
	__u32 grant_rate;
	__u32 expected_bytes;
	__u16 fan_out;
	__u16 reply_room;
	__u8 opcode; // the operation
	__u8 op_flags;
	__u8 key_bytes;
	__u8 reserved;
	__u32 value_bytes;
	__u32 ttl_seconds;
	__u32 soft_seconds;
	__u64 argument;
};

// The value follows. Up to the epoch it is the request's own bytes.
struct wire_answer {
	struct wire_start start;
	__u64 key_hash;
	__u64 request_id;
	__u64 session_id;
	__u64 packet_number;
	__u64 tag[2];
	__u32 epoch;
	__u16 load;
	__u16 rx_queue;
	__u8 opcode; // the operation
	__u8 status;
	__u16 op_flags;
	__u32 value_bytes;
	__u64 version;
	__u32 ttl_seconds;
	__u32 age_seconds;
	__u32 crc;
	__u32 grant_and_index;
	__u64 token;
	__u32 total_bytes;
	__u32 offset_bytes;
};

_Static_assert(sizeof(struct wire_get) == WIRE_SMALLEST_REQUEST_BYTES, "a request without its key");
_Static_assert(sizeof(struct wire_answer) == 112, "a reply without its value");

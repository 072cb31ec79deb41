// What the programs know of the datagram format; docs/protocol.md is
// normative. A test compares these numbers with package wire.
#pragma once

#define WIRE_MAGIC 0x6E47
#define WIRE_VERSION 1

#define WIRE_FLAG_REPLY 1
#define WIRE_FLAGS_KNOWN 15 // REPLY, SEALED, AUTH, STAGES

#define WIRE_REQUEST_HEADER_BYTES 96
#define WIRE_OPERATION_BYTES 24
#define WIRE_SMALLEST_REQUEST_BYTES 120 // header and one operation

// The first eight bytes of the prefix; the rest is user space's business.
//
//	 0      2      3      4      6     7       8
//	 +------+------+------+------+-----+-------+
//	 | magic|vers. | flags| shard| ops | words |
//	 +------+------+------+------+-----+-------+
struct wire_start {
	__u16 magic;
	__u8 version;
	__u8 flags;
	__u16 shard;
	__u8 operations;   // 1..255
	__u8 header_words; // header length in 8-byte words, extensions included
};

// SipHash-2-4 over the 26 bytes that a cookie is made of.
#pragma once

#include "kernel.h"

#define ROTATE(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = ROTATE(s->v1, 13) ^ s->v0;
	s->v0 = ROTATE(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = ROTATE(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = ROTATE(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = ROTATE(s->v1, 17) ^ s->v2;
	s->v2 = ROTATE(s->v2, 32);
}

static __always_inline void sip_word(struct sip *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

// A cookie's message, address:16 | port:2 | period:8, under its key.
struct cookie {
	__u64 key[2];
	__u64 address[2];
	__u64 port;
	__u64 period;
};

// The last word of the message ends with its length. A function of its own,
// which the verifier looks at once instead of on every way that leads here.
__noinline __u64 cookie_hash(const struct cookie *c)
{
	struct sip s;
	__u64 hash;

	if (!c) // for the verifier
		return 0;
	s.v0 = c->key[0] ^ 0x736f6d6570736575;
	s.v1 = c->key[1] ^ 0x646f72616e646f6d;
	s.v2 = c->key[0] ^ 0x6c7967656e657261;
	s.v3 = c->key[1] ^ 0x7465646279746573;
	sip_word(&s, c->address[0]);
	sip_word(&s, c->address[1]);
	sip_word(&s, c->port | c->period << 16);
	sip_word(&s, c->period >> 48 | 26ull << 56);
	s.v2 ^= 0xFF;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	hash = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
	return hash ? hash : 1;
}

"""The two checksums of the protocol: CRC32C of values, MurmurHash3 of keys."""

from __future__ import annotations

import functools
import struct

_MASK64 = 0xFFFFFFFFFFFFFFFF
_CASTAGNOLI = 0x82F63B78  # the polynomial, bits reversed


@functools.lru_cache(maxsize=None)
def _crc_table() -> list[int]:
    """The CRC of each 16-bit word: two bytes a step, in a loop that is slow enough."""
    bytewise = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (_CASTAGNOLI if n & 1 else 0)
        bytewise.append(n)
    table = []
    for word in range(65536):
        low = bytewise[word & 0xFF]
        table.append(low >> 8 ^ bytewise[(low ^ word >> 8) & 0xFF])
    return table


def crc32c(data: bytes) -> int:
    """CRC-32 with Castagnoli's polynomial; 0 of no bytes."""
    if not data:
        return 0
    table = _crc_table()
    crc = 0xFFFFFFFF
    even = len(data) & ~1
    for (word,) in struct.iter_unpack("<H", memoryview(data)[:even]):
        crc = crc >> 16 ^ table[(crc ^ word) & 0xFFFF]
    if even != len(data):
        # One byte is the word of it and zero, whose step has shifted by 8 bits
        # too many: table[b << 8] is the step of a single byte b.
        crc = crc >> 8 ^ table[(crc ^ data[-1]) << 8 & 0xFF00]
    return crc ^ 0xFFFFFFFF


_C1 = 0x87C37B91114253D5
_C2 = 0x4CF5AD432745937F


def _rotate(x: int, bits: int) -> int:
    return (x << bits | x >> 64 - bits) & _MASK64


def _mix_k1(k1: int) -> int:
    return _rotate(k1 * _C1 & _MASK64, 31) * _C2 & _MASK64


def _mix_k2(k2: int) -> int:
    return _rotate(k2 * _C2 & _MASK64, 33) * _C1 & _MASK64


def _finish(h: int) -> int:
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & _MASK64
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & _MASK64
    return h ^ h >> 33


def key_hash(key: bytes) -> int:
    """The first 64 bits of MurmurHash3 x64 128 of the key, seed 0."""
    h1 = h2 = 0
    whole = len(key) & ~15
    for k1, k2 in struct.iter_unpack("<QQ", memoryview(key)[:whole]):
        h1 = _rotate(h1 ^ _mix_k1(k1), 27) + h2
        h1 = h1 * 5 + 0x52DCE729 & _MASK64
        h2 = _rotate(h2 ^ _mix_k2(k2), 31) + h1
        h2 = h2 * 5 + 0x38495AB5 & _MASK64
    k1, k2 = struct.unpack("<QQ", key[whole:].ljust(16, b"\0"))
    h1 ^= _mix_k1(k1) ^ len(key)  # of zero, the mixed word is zero
    h2 ^= _mix_k2(k2) ^ len(key)
    h1 = h1 + h2 & _MASK64
    h2 = h1 + h2 & _MASK64
    h1, h2 = _finish(h1), _finish(h2)
    return h1 + h2 & _MASK64


def shard_of(hash64: int, shards: int) -> int:
    """The shard, of a node with so many, which holds the keys of a hash."""
    return (hash64 & 0xFFFFFFFF) * shards >> 32

"""The datagrams of docs/protocol.md, version 1: what they hold and their bytes.

A datagram's life: Request.encode on one side, Request.decode on the other, which
checks every rule of section 17 and raises Malformed with the rule's name; then
Reply.encode and Reply.decode in the same way. Nothing here knows time or sockets.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field
from typing import Optional

MAGIC = 0x6E47
VERSION = 1
BASE_PORT = 9800

MAX_DATAGRAM_BYTES = 65507
MAX_KEY_BYTES = 250
MAX_TTL_SECONDS = 31_104_000
MAX_OPS = 255
UNIT_BYTES = 1024  # values are cut at multiples of it
MIN_REPLY_ROOM_BYTES = 1168
HELLO_PADDING_BYTES = 40
NO_TTL = 0xFFFFFFFF

REQUEST_HEADER_BYTES = 96
REPLY_HEADER_BYTES = 64
OP_BYTES = 24
SEGMENT_BYTES = 16
REPLY_OP_BYTES = 48

# Flags of a datagram.
REPLY, SEALED, AUTH, STAGES = 1, 2, 4, 8
_KNOWN_FLAGS = REPLY | SEALED | AUTH | STAGES

# Flags of an operation in a request.
SEGMENT, LEASE, ACK_REPLICA, NO_VALUE, STALE_OK = 1, 2, 4, 8, 16

# Flags of an operation in a reply, beside SEGMENT.
STALE, DEGRADED, HAS_LEASE, L1_GRANT, MORE = 2, 4, 8, 16, 32
_KNOWN_REPLY_OP_FLAGS = SEGMENT | STALE | DEGRADED | HAS_LEASE | L1_GRANT | MORE

EXTENSION_STAGES = 0x0001
_MUST_UNDERSTAND = 0x8000


class Opcode(enum.IntEnum):
    GET = 1
    PUT = 2
    DELETE = 3
    TOUCH = 4
    ADD = 5
    REPLACE = 6
    CAS = 7
    INCR = 8
    PING = 9
    STATS = 10
    HELLO = 11
    RING = 12


class Status(enum.IntEnum):
    OK = 0
    MISS = 1
    EXISTS = 2
    NOT_FOUND = 3
    VERSION_MISMATCH = 4
    LEASE_GRANTED = 5
    LEASE_WAIT = 6
    LEASE_REFUSED = 7
    MOVED = 8
    TOO_LARGE = 9
    NO_MEMORY = 10
    OVERLOADED = 11
    TOO_LATE = 12
    BAD_REQUEST = 13
    NOT_A_NUMBER = 14
    COOKIE_REQUIRED = 15
    UNSUPPORTED = 16
    FENCED = 17
    OUTCOME_UNKNOWN = 18
    FORBIDDEN = 19
    BEHIND = 20
    CHANGED = 21
    PARTIAL = 22
    UNAVAILABLE = 23
    BUSY_UPLOADS = 24


@dataclass(frozen=True)
class _Rules:
    """What an opcode of a request may carry: one row of section 7's table."""

    key: bool = False
    value: bool = False
    ttl: bool = False
    arg: bool = False
    flags: int = 0


_STORE = _Rules(key=True, value=True, ttl=True, arg=True, flags=SEGMENT | ACK_REPLICA)
_RULES = {
    Opcode.GET: _Rules(key=True, value=True, arg=True, flags=SEGMENT | LEASE | NO_VALUE | STALE_OK),
    Opcode.PUT: _STORE,
    Opcode.DELETE: _Rules(key=True, flags=ACK_REPLICA),
    Opcode.TOUCH: _Rules(key=True, ttl=True, flags=ACK_REPLICA),
    Opcode.ADD: _STORE,
    Opcode.REPLACE: _STORE,
    Opcode.CAS: _STORE,
    Opcode.INCR: _Rules(key=True, arg=True, flags=ACK_REPLICA),
    Opcode.PING: _Rules(value=True),
    Opcode.STATS: _Rules(),
    Opcode.HELLO: _Rules(value=True),
    Opcode.RING: _Rules(arg=True),
}
_ALONE = (Opcode.PING, Opcode.HELLO)


class Malformed(ValueError):
    """A datagram that breaks a rule; reason is the rule's name in section 17."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"malformed datagram: {reason}")
        self.reason = reason


def _check(ok: bool, reason: str) -> None:
    if not ok:
        raise Malformed(reason)


def pad8(length_bytes: int) -> int:
    """The length with its padding."""
    return length_bytes + 7 & ~7


def _padded(data: bytes) -> bytes:
    return data.ljust(pad8(len(data)), b"\0")


@dataclass
class Extension:
    type: int
    inline: int = 0
    data: bytes = b""

    def encode(self) -> bytes:
        return struct.pack("<HHI", self.type, 8 + len(self.data), self.inline) + self.data


@dataclass
class Stages:
    """When a node received a request, served it and sent the reply, by its own clock."""

    received_nanos: int
    served_nanos: int
    sent_nanos: int


@dataclass
class Operation:
    """One operation of a request."""

    opcode: int
    key: bytes = b""
    value: bytes = b""
    flags: int = 0
    ttl_seconds: int = 0
    soft_ttl_seconds: int = 0
    arg: int = 0
    # With flag SEGMENT:
    total_bytes: int = 0
    offset_bytes: int = 0
    transfer: int = 0

    def size_bytes(self) -> int:
        """The bytes of it in a datagram, the value's padding included."""
        header_bytes = OP_BYTES + (SEGMENT_BYTES if self.flags & SEGMENT else 0)
        return header_bytes + pad8(len(self.key)) + pad8(len(self.value))

    def encode(self) -> bytes:
        fixed = _OP.pack(
            self.opcode, self.flags, len(self.key), 0, len(self.value),
            self.ttl_seconds, self.soft_ttl_seconds, self.arg & 0xFFFFFFFFFFFFFFFF,
        )  # fmt: skip
        if self.flags & SEGMENT:
            fixed += _SEGMENT.pack(self.total_bytes, self.offset_bytes, self.transfer)
        return fixed + _padded(self.key) + _padded(self.value)

    def check(self) -> None:
        """Holds the operation against its opcode's rules."""
        rules = _RULES[Opcode(self.opcode)]
        _check(rules.arg or not self.arg, "arg")
        _check(self.ttl_seconds <= (MAX_TTL_SECONDS if rules.ttl else 0), "ttl")
        _check(self.soft_ttl_seconds <= (MAX_TTL_SECONDS if rules.ttl else 0), "soft_ttl")
        if self.ttl_seconds and self.soft_ttl_seconds:
            _check(self.soft_ttl_seconds < self.ttl_seconds, "soft_ttl")
        if self.flags & SEGMENT:
            if self.opcode == Opcode.GET:
                _check(self.offset_bytes % UNIT_BYTES == 0, "segment")
            else:
                _check(bool(self.value), "segment")
                _check_part(self.offset_bytes, len(self.value), self.total_bytes)
        if self.opcode == Opcode.HELLO:
            _check(len(self.value) >= HELLO_PADDING_BYTES, "hello_short")


@dataclass
class Answer:
    """One operation of a reply."""

    opcode: int  # 0: the request as a whole is answered
    status: int
    flags: int = 0
    value: bytes = b""
    version: int = 0
    ttl_seconds: int = NO_TTL
    age_seconds: int = 0
    crc32c: int = 0
    l1_grant_millis: int = 0
    index: int = 0
    token: int = 0
    total_bytes: int = 0
    offset_bytes: int = 0

    def encode(self) -> bytes:
        """The bytes of it, without the value's padding."""
        return _REPLY_OP.pack(
            self.opcode, self.status, self.flags, len(self.value), self.version, self.ttl_seconds, self.age_seconds,
            self.crc32c, self.l1_grant_millis, self.index, self.token, self.total_bytes, self.offset_bytes,
        ) + self.value  # fmt: skip

    def check(self) -> None:
        _check(self.opcode <= max(Opcode) and (self.opcode != 0 or self.status != Status.OK), "opcode")
        _check(self.status <= max(Status), "status")
        _check(not self.flags & ~_KNOWN_REPLY_OP_FLAGS, "op_flags")
        if self.flags & SEGMENT:
            # An empty part is what a range has that begins at the value's end.
            _check_part(self.offset_bytes, len(self.value), self.total_bytes)
            return
        _check(not self.flags & MORE, "op_flags")
        _check(self.offset_bytes == 0, "segment")
        _check(not self.value or len(self.value) == self.total_bytes, "segment")


_PREFIX = struct.Struct("<HBBHBBQQQQ16sI")  # up to the epoch
_REQUEST = struct.Struct("<IQQIIIHH")  # from the budget on
_REPLY = struct.Struct("<HH")  # from the load on
_OP = struct.Struct("<BBBBIIIQ")
_SEGMENT = struct.Struct("<IIQ")
_REPLY_OP = struct.Struct("<BBHIQIIIHHQII")
_HELLO = struct.Struct("<HHIIIQQQQ")


def _check_part(offset_bytes: int, length_bytes: int, total_bytes: int) -> None:
    end_bytes = offset_bytes + length_bytes
    _check(offset_bytes % UNIT_BYTES == 0 and end_bytes <= total_bytes, "segment")
    _check(end_bytes == total_bytes or end_bytes % UNIT_BYTES == 0, "segment")


@dataclass
class _Datagram:
    """What requests and replies have in common: the prefix and the extensions."""

    request_id: int = 0
    session_id: int = 0
    shard: int = 0
    key_hash: int = 0
    epoch: int = 0
    flags: int = 0
    extensions: list[Extension] = field(default_factory=list)

    def _encode(self, fixed: bytes, ops: list[bytes]) -> bytes:
        extensions = b"".join(extension.encode() for extension in self.extensions)
        header_bytes = _PREFIX.size + len(fixed) + len(extensions)
        prefix = _PREFIX.pack(
            MAGIC, VERSION, self.flags, self.shard, len(ops), header_bytes // 8, self.key_hash,
            self.request_id, self.session_id, 0, b"", self.epoch,
        )  # fmt: skip
        return b"".join([prefix, fixed, extensions, *ops])

    def _decode_prefix(self, data: bytes, direction: int, fixed_bytes: int) -> tuple[int, int]:
        """Takes the prefix; returns the number of operations and where they begin."""
        _check(len(data) >= fixed_bytes, "short")
        _check(len(data) <= MAX_DATAGRAM_BYTES, "long")
        (magic, version, self.flags, self.shard, count, words, self.key_hash, self.request_id, self.session_id,
         packet_number, tag, self.epoch) = _PREFIX.unpack_from(data)  # fmt: skip
        _check(magic == MAGIC, "magic")
        _check(version == VERSION, "version")
        _check(self.flags & REPLY == direction, "direction")
        _check(not self.flags & ~_KNOWN_FLAGS and self.flags & (SEALED | AUTH) != SEALED | AUTH, "flags")
        _check(not self.flags & (SEALED | AUTH), "sealed")  # sessions are not specified yet
        _check(packet_number == 0 and tag == bytes(16), "packet_number")
        header_bytes = words * 8
        _check(fixed_bytes <= header_bytes <= len(data), "header_length")
        _check(count > 0, "op_count")
        _check(self.epoch < 1 << 24, "epoch")
        return count, header_bytes

    def _decode_extensions(self, data: bytes, at: int, end: int) -> None:
        while at < end:
            kind, length_bytes, inline = struct.unpack_from("<HHI", data, at)
            _check(length_bytes >= 8 and length_bytes % 8 == 0 and at + length_bytes <= end, "extension")
            _check(not kind & _MUST_UNDERSTAND, "must_understand")  # version 1 defines none of them
            self.extensions.append(Extension(kind, inline, data[at + 8 : at + length_bytes]))
            at += length_bytes


@dataclass
class Request(_Datagram):
    ops: list[Operation] = field(default_factory=list)
    budget_micros: int = 0
    cookie: int = 0
    min_version: int = 0
    grant_offset_micros: int = 0
    grant_rate_kbits: int = 0
    expected_bytes: int = 0
    fan_out: int = 0
    reply_room_bytes: int = 0

    def encode(self) -> bytes:
        fixed = _REQUEST.pack(
            self.budget_micros, self.cookie, self.min_version, self.grant_offset_micros,
            self.grant_rate_kbits, self.expected_bytes, self.fan_out, self.reply_room_bytes,
        )  # fmt: skip
        return self._encode(fixed, [op.encode() for op in self.ops])

    @classmethod
    def decode(cls, data: bytes) -> Request:
        r = cls()
        count, at = r._decode_prefix(data, 0, REQUEST_HEADER_BYTES)
        (r.budget_micros, r.cookie, r.min_version, r.grant_offset_micros, r.grant_rate_kbits, r.expected_bytes,
         r.fan_out, r.reply_room_bytes) = _REQUEST.unpack_from(data, _PREFIX.size)  # fmt: skip
        _check(r.reply_room_bytes == 0 or r.reply_room_bytes >= MIN_REPLY_ROOM_BYTES, "reply_room")
        r._decode_extensions(data, REQUEST_HEADER_BYTES, at)
        for _ in range(count):
            op, at = _decode_op(data, at)
            r.ops.append(op)
        _check(at == len(data), "trailing")
        _check(count == 1 or not any(op.opcode in _ALONE for op in r.ops), "not_alone")
        return r


def _decode_op(data: bytes, at: int) -> tuple[Operation, int]:
    """Takes the operation at a place; returns it and the place behind it."""
    _check(at + OP_BYTES <= len(data), "op_bounds")
    opcode, flags, key_bytes, reserved, value_bytes, ttl, soft_ttl, arg = _OP.unpack_from(data, at)
    at += OP_BYTES
    _check(1 <= opcode <= max(Opcode), "opcode")
    _check(not flags & ~_RULES[Opcode(opcode)].flags, "op_flags")
    _check(reserved == 0, "reserved")
    op = Operation(opcode, flags=flags, ttl_seconds=ttl, soft_ttl_seconds=soft_ttl, arg=arg)
    if flags & SEGMENT:
        _check(at + SEGMENT_BYTES <= len(data), "op_bounds")
        op.total_bytes, op.offset_bytes, op.transfer = _SEGMENT.unpack_from(data, at)
        at += SEGMENT_BYTES
    _check(bool(key_bytes) == _RULES[Opcode(opcode)].key and key_bytes <= MAX_KEY_BYTES, "key_length")
    _check(_RULES[Opcode(opcode)].value or value_bytes == 0, "value_unexpected")
    _check(at + pad8(key_bytes) <= len(data), "key_bounds")
    op.key = data[at : at + key_bytes]
    _check(not any(data[at + key_bytes : at + pad8(key_bytes)]), "padding")
    at += pad8(key_bytes)
    op.value, at = _take_value(data, at, value_bytes)
    op.check()
    return op, at


def _take_value(data: bytes, at: int, value_bytes: int) -> tuple[bytes, int]:
    """Takes a value, whose padding may be missing at the datagram's end, but wholly."""
    end = at + value_bytes
    _check(end <= len(data), "value_bounds")
    padding = data[end : at + pad8(value_bytes)]
    _check(not any(padding), "padding")
    _check(len(padding) in (0, pad8(value_bytes) - value_bytes), "padding")
    return data[at:end], end + len(padding)


@dataclass
class Reply(_Datagram):
    flags: int = REPLY
    answers: list[Answer] = field(default_factory=list)
    load: int = 0
    rx_queue: int = 0

    def encode(self) -> bytes:
        answers = [answer.encode() for answer in self.answers]
        # Every answer is padded but the last one.
        return self._encode(_REPLY.pack(self.load, self.rx_queue), [*map(_padded, answers[:-1]), *answers[-1:]])

    @classmethod
    def decode(cls, data: bytes) -> Reply:
        r = cls()
        count, at = r._decode_prefix(data, REPLY, REPLY_HEADER_BYTES)
        r.load, r.rx_queue = _REPLY.unpack_from(data, _PREFIX.size)
        r._decode_extensions(data, REPLY_HEADER_BYTES, at)
        stages = [extension for extension in r.extensions if extension.type == EXTENSION_STAGES]
        _check(len(stages) <= 1 and all(len(extension.data) == 24 for extension in stages), "extension")
        _check(len(stages) == bool(r.flags & STAGES), "stages")
        for left in reversed(range(count)):
            answer, at = _decode_answer(data, at, last=left == 0)
            r.answers.append(answer)
        _check(at == len(data), "trailing")
        return r

    @property
    def stages(self) -> Optional[Stages]:
        for extension in self.extensions:
            if extension.type == EXTENSION_STAGES:
                return Stages(*struct.unpack("<QQQ", extension.data))
        return None

    @stages.setter
    def stages(self, stages: Stages) -> None:
        data = struct.pack("<QQQ", stages.received_nanos, stages.served_nanos, stages.sent_nanos)
        self.extensions.append(Extension(EXTENSION_STAGES, 0, data))
        self.flags |= STAGES


def _decode_answer(data: bytes, at: int, last: bool) -> tuple[Answer, int]:
    """Takes the answer at a place; returns it and the place behind it."""
    _check(at + REPLY_OP_BYTES <= len(data), "op_bounds")
    (opcode, status, flags, value_bytes, version, ttl, age, crc, l1_grant, index, token, total,
     offset) = _REPLY_OP.unpack_from(data, at)  # fmt: skip
    at += REPLY_OP_BYTES
    _check(at + value_bytes <= len(data), "value_bounds")
    value = data[at : at + value_bytes]
    at += value_bytes
    answer = Answer(opcode, status, flags, value, version, ttl, age, crc, l1_grant, index, token, total, offset)
    answer.check()
    if not last:
        padding_bytes = pad8(value_bytes) - value_bytes
        _check(at + padding_bytes <= len(data) and not any(data[at : at + padding_bytes]), "padding")
        at += padding_bytes
    return answer, at


@dataclass
class Hello:
    """The value of HELLO's answer."""

    shards: int
    base_port: int
    max_value_bytes: int
    max_payload_bytes: int
    node_id: int
    boot_id: int

    @classmethod
    def decode(cls, value: bytes) -> Hello:
        """Later versions may append to the value: more is ignored."""
        _check(len(value) >= _HELLO.size, "value_bounds")
        shards, base_port, max_value, max_payload, _, node_id, boot_id, _, _ = _HELLO.unpack_from(value)
        return cls(shards, base_port, max_value, max_payload, node_id, boot_id)

    def encode(self) -> bytes:
        return _HELLO.pack(
            self.shards, self.base_port, self.max_value_bytes, self.max_payload_bytes, 0, self.node_id, self.boot_id, 0, 0
        )

"""The hash ring: which nodes hold a key. Section 21 of the protocol's text.

A ring is made from the bytes that RING answers with. It derives the points of its
members, and answers for a key hash with the members that hold it, the leader first.
It does not change; a newer epoch has another ring.
"""

from __future__ import annotations

import bisect
import enum
import ipaddress
import struct
from dataclasses import dataclass

from . import checksum

_MAGIC = b"GNRG"
_LAYOUT = 2
_HEAD = struct.Struct("<4sHHIB3s")
_MEMBER = struct.Struct("<Q16s16s16sHHHHHBBBB")
_SUM = struct.Struct("<I")
_POINT = struct.Struct("<QI")
_POINTS_PER_WEIGHT = 256
MOST_BYTES = 1 << 20


class RingError(ValueError):
    """Bytes that are no ring, or one of another layout."""


class State(enum.IntEnum):
    ACTIVE = 0
    JOINING = 1
    LEAVING = 2
    DOWN = 3
    RETURNING = 4

    def placed(self) -> bool:
        """Its points are on the circle."""
        return self is not State.JOINING

    def serves(self) -> bool:
        """It leads and follows."""
        return self in (State.ACTIVE, State.LEAVING)


@dataclass(frozen=True)
class Member:
    id: int
    name: str
    zone: str
    state: State
    host: str
    port: int  # of shard 0
    shards: int
    points: int


class Ring:
    """One epoch's assignment of key hashes to members."""

    def __init__(self, epoch: int, replicas: int, members: list[Member]) -> None:
        self.epoch, self.replicas, self.members = epoch, replicas, members
        points = sorted(
            (_place(member.id, n), index)
            for index, member in enumerate(members)
            if member.state.placed()
            for n in range(member.points)
        )
        self._places = [place for place, _ in points]
        self._owners = [index for _, index in points]
        self._placed = len(set(self._owners))
        self._sets: dict[int, list[Member]] = {}  # by point, as far as they were asked for

    @classmethod
    def decode(cls, data: bytes) -> Ring:
        if len(data) < _HEAD.size + _SUM.size or data[:4] != _MAGIC:
            raise RingError("these bytes are no ring")
        _, layout, count, epoch, replicas, reserved = _HEAD.unpack_from(data)
        if layout != _LAYOUT:
            raise RingError(f"the ring has layout {layout}; this client knows {_LAYOUT}")
        body = data[: -_SUM.size]
        if _SUM.unpack(data[-_SUM.size :])[0] != checksum.crc32c(body) or any(reserved) or replicas == 0:
            raise RingError("the ring is damaged")
        members, at = [], _HEAD.size
        for _ in range(count):
            member, at = _decode_member(body, at)
            members.append(member)
        if at != len(body):
            raise RingError("the ring is damaged")
        return cls(epoch, replicas, members)

    def holders(self, key_hash: int) -> list[Member]:
        """The members that hold a key, its leader first; none if nobody serves."""
        if not self._places:
            return []
        point = bisect.bisect_left(self._places, key_hash) % len(self._places)
        if point not in self._sets:
            self._sets[point] = self._choose(point)
        return self._sets[point]

    def _choose(self, point: int) -> list[Member]:
        """The first serving members of the point's order of preference."""
        zones: dict[str, list[Member]] = {}  # in the order in which they are met
        met: set[int] = set()
        for step in range(len(self._owners)):
            index = self._owners[(point + step) % len(self._owners)]
            if index not in met:
                met.add(index)
                zones.setdefault(self.members[index].zone, []).append(self.members[index])
            if len(met) == self._placed:
                break
        turns = range(max(map(len, zones.values())))
        order = [members[turn] for turn in turns for members in zones.values() if turn < len(members)]
        return [member for member in order if member.state.serves()][: self.replicas]


def _place(member_id: int, n: int) -> int:
    return checksum.key_hash(_POINT.pack(member_id, n))


def _decode_member(body: bytes, at: int) -> tuple[Member, int]:
    """Takes the member at a place; returns it and the place behind it."""
    if at + _MEMBER.size > len(body):
        raise RingError("the ring is damaged")
    (member_id, address, _, _, port, _, _, shards, points, weight, state, name_bytes,
     zone_bytes) = _MEMBER.unpack_from(body, at)  # fmt: skip
    name_at = at + _MEMBER.size
    zone_at = name_at + name_bytes
    end = zone_at + zone_bytes
    if end > len(body) or state > max(State):
        raise RingError("the ring is damaged")
    parsed = ipaddress.IPv6Address(address)
    member = Member(
        member_id, body[name_at:zone_at].decode(), body[zone_at:end].decode(), State(state),
        str(parsed.ipv4_mapped or parsed), port, shards, points or weight * _POINTS_PER_WEIGHT,
    )  # fmt: skip
    return member, end

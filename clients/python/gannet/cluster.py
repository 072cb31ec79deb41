"""The way to the nodes of a cluster: which one a key belongs to, by the newest ring.

A cluster's life: the first operation asks the nodes that the caller named, one after
the other, for HELLO and for the ring. Each member of the ring gets a link when it is
first needed. A reply with a greater epoch, or MOVED, makes the node that sent it be
asked for its ring. A node without a ring is asked for every key.
"""

from __future__ import annotations

import collections
import time
from typing import Optional

from . import errors, jobs, wire
from .link import Link, Moved
from .ring import MOST_BYTES, Ring, RingError

_RING_TRIES = 4  # rings that change while they are read


class Cluster:
    """Links to all nodes. Not for two threads at once."""

    def __init__(self, servers: list[tuple[str, int]]) -> None:
        self.ring: Optional[Ring] = None
        self.moved = 0  # answers that named another owner
        self._seeds = [Link(host, port) for host, port in servers]
        self._members: dict[int, Link] = {}  # by id
        self._first: Optional[Link] = None  # the node that answered
        self._silent: Optional[Link] = None  # did not answer in time: the ring may be an old one

    def close(self) -> None:
        for link in self.links():
            link.close()
        self.ring, self._first, self._silent, self._members = None, None, None, {}

    def links(self) -> list[Link]:
        return list(dict.fromkeys([*self._seeds, *self._members.values()]))

    @property
    def dropped(self) -> dict[str, int]:
        return dict(sum((link.dropped for link in self.links()), collections.Counter()))

    def first(self, deadline: float) -> Link:
        """The node that answers for the whole cluster."""
        if self._first is None:
            self._search(deadline)
        return _greeted(self._first, deadline)

    def _search(self, deadline: float) -> None:
        """Finds a node that answers; the last one gets all the time there is."""
        links = sorted(self.links(), key=lambda link: link is self._silent)
        for left, link in zip(reversed(range(len(links))), links):
            now = time.monotonic()
            until = now + max(0.0, deadline - now) / (left + 1)
            try:
                link.say_hello(until)
                self.learn(link, until)
            except errors.GannetError:
                if left == 0:
                    raise
                continue
            self._first = link
            return

    def link_of(self, key_hash: int, deadline: float) -> Link:
        """The node that leads a key, ready for requests."""
        if self.ring is None:
            first = self.first(deadline)
            if self.ring is None:
                return first
        self._catch_up(deadline)
        holders = self.ring.holders(key_hash)
        if not holders:
            raise errors.StatusError(wire.Status.UNAVAILABLE)
        return _greeted(self._members[holders[0].id], deadline)

    def _catch_up(self, deadline: float) -> None:
        """Asks for newer rings where there may be some. A failure is no reason not to go on."""
        silent, self._silent = self._silent, None
        for link in self.links():
            newer = self.ring is not None and link.heard_epoch > self.ring.epoch
            if newer or silent not in (None, link):
                link.heard_epoch = 0
                now = time.monotonic()
                try:
                    self.learn(_greeted(link, now + (deadline - now) / 4), now + (deadline - now) / 4)
                    silent = None
                except errors.GannetError:
                    pass

    def unanswered(self, link: Link) -> None:
        """A node did not answer in time: the next operation asks another one for the ring."""
        self._silent = link
        if self._first is link:
            self._first = None

    def redirected(self, link: Link, deadline: float) -> None:
        """After MOVED: learns the node's ring, and its shards."""
        self.moved += 1
        link.say_hello(deadline)
        self.learn(link, deadline)

    def learn(self, link: Link, deadline: float) -> None:
        """Takes over a node's ring, if it has one that is newer."""
        for _ in range(_RING_TRIES):
            encoded = _read_ring(link, deadline)
            if encoded is None:
                continue
            if encoded:
                self._install(_decode(link, encoded))
            return
        raise errors.GannetError(f"the ring of {link.name} changed each time while it was read")

    def _install(self, ring: Ring) -> None:
        if self.ring is not None and self.ring.epoch >= ring.epoch:
            return
        before, self._members = self._members, {}
        for member in ring.members:
            link = before.get(member.id) or self._seed_of(member.id)
            self._members[member.id] = link or Link(member.host, member.port)
        self.ring = ring
        for link in self.links():
            link.epoch = ring.epoch
        for member_id, link in before.items():
            if member_id not in self._members and link not in self._seeds:
                link.close()

    def _seed_of(self, member_id: int) -> Optional[Link]:
        """A node that the caller named is asked by the address that the caller gave."""
        for link in self._seeds:
            if link.hello is not None and link.hello.node_id == member_id:
                return link
        return None


def _greeted(link: Link, deadline: float) -> Link:
    if link.hello is None:
        link.say_hello(deadline)
    return link


def _decode(link: Link, encoded: bytes) -> Ring:
    try:
        return Ring.decode(encoded)
    except RingError as e:
        raise errors.GannetError(f"{link.name}: {e}") from e


def _read_ring(link: Link, deadline: float) -> Optional[bytes]:
    """The encoded ring of a node; empty: it has none; None: it changed meanwhile."""
    encoded, total_bytes, epoch = b"", 1, 0
    while len(encoded) < total_bytes:
        part = jobs.Single(wire.Operation(wire.Opcode.RING, arg=len(encoded)))
        try:
            link.run([part], deadline)
        except Moved:
            raise errors.StatusError(wire.Status.MOVED) from None
        if part.status in (wire.Status.MISS, wire.Status.UNSUPPORTED):
            return b""
        if part.status != wire.Status.OK or part.answer is None:
            raise errors.of_status(part.status)
        answer = part.answer
        if epoch not in (0, answer.version):
            return None
        if not answer.value or answer.offset_bytes != len(encoded) or answer.total_bytes > MOST_BYTES:
            raise errors.GannetError(f"{link.name} answers RING with what is none")
        epoch, total_bytes = answer.version, answer.total_bytes
        encoded += answer.value
    return encoded

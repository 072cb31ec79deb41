"""What a caller wants done, as operations to send and answers to take.

A job's life: prepare() is given the way to the node that it is for, anew when that is
another one; operations() says what is to be sent; take() is given each answer and
says whether that operation needs no more of them; done ends it. A job knows nothing
of datagrams, time and retries: the link sends, and asks it again for what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Optional

from . import checksum, wire

if TYPE_CHECKING:
    from .link import Link

# Ranges asked for in one go: as many operations with a longest key fit a datagram.
_MOST_RANGES = 4


class Item(NamedTuple):
    """A value with what the node knows of it."""

    value: bytes
    version: int
    ttl_seconds: Optional[int]  # left; None: it does not expire
    age_seconds: int
    stale: bool  # past its soft TTL: still right, and due for a new value


class Job:
    """The parts that all jobs share."""

    batched = False  # operations of several such jobs share datagrams; each attempt is a new request

    def __init__(self, key: bytes = b"") -> None:
        self.key = key
        self.hash = checksum.key_hash(key) if key else 0
        self.done = False
        self.status: int = wire.Status.OK  # when done
        self.repeated = False  # an operation was sent again, without an answer to the first time

    def prepare(self, link: Link) -> None:
        """What the job has to know of the node."""

    def operations(self) -> list[wire.Operation]:
        raise NotImplementedError

    def take(self, op: wire.Operation, answer: wire.Answer) -> bool:
        raise NotImplementedError

    def finish(self, status: int) -> bool:
        self.done, self.status = True, status
        return True


class Single(Job):
    """One operation, one answer."""

    def __init__(self, op: wire.Operation) -> None:
        super().__init__(op.key)
        self._op = op
        self.answer: Optional[wire.Answer] = None

    def operations(self) -> list[wire.Operation]:
        return [self._op]

    def take(self, op: wire.Operation, answer: wire.Answer) -> bool:
        self.answer = answer
        return self.finish(answer.status)


class Store(Single):
    """A write of a value. One too long for one request is uploaded: in parts, of which the one that
    makes it whole has the outcome."""

    def __init__(self, op: wire.Operation) -> None:
        super().__init__(op)
        self._parts: list[wire.Operation] = []

    def prepare(self, link: Link) -> None:
        op = self._op
        if len(op.value) > link.limits().max_value_bytes:
            self.finish(wire.Status.TOO_LARGE)
        if len(op.value) <= link.value_room_bytes(op.key, segment=False):
            self._parts = [op]
            return
        transfer = link.next_transfer()
        part_bytes = link.value_room_bytes(op.key, segment=True) // wire.UNIT_BYTES * wire.UNIT_BYTES
        self._parts = [
            wire.Operation(
                op.opcode, op.key, op.value[offset : offset + part_bytes], op.flags | wire.SEGMENT,
                op.ttl_seconds, op.soft_ttl_seconds, op.arg, len(op.value), offset, transfer,
            )
            for offset in range(0, len(op.value), part_bytes)
        ]  # fmt: skip

    def operations(self) -> list[wire.Operation]:
        return self._parts

    def take(self, op: wire.Operation, answer: wire.Answer) -> bool:
        if answer.status == wire.Status.PARTIAL:
            return True
        return super().take(op, answer)


class Read(Job):
    """A GET: a value in one piece, or the parts of one version until each unit is there."""

    batched = True

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.item: Optional[Item] = None
        self._max_value_bytes = 0
        self._start(0, 0)

    def prepare(self, link: Link) -> None:
        self._max_value_bytes = link.limits().max_value_bytes
        self._start(0, 0)

    def operations(self) -> list[wire.Operation]:
        if not self._missing:
            return [wire.Operation(wire.Opcode.GET, self.key)]
        return [
            wire.Operation(
                wire.Opcode.GET, self.key, flags=wire.SEGMENT, offset_bytes=first * wire.UNIT_BYTES,
                total_bytes=(end - first) * wire.UNIT_BYTES, transfer=self._version,
            )
            for first, end in self._gaps()[:_MOST_RANGES]
        ]  # fmt: skip

    def _gaps(self) -> list[tuple[int, int]]:
        """Missing units as ranges, the ends not included."""
        gaps: list[tuple[int, int]] = []
        for unit in sorted(self._missing):
            if gaps and gaps[-1][1] == unit:
                gaps[-1] = (gaps[-1][0], unit + 1)
            else:
                gaps.append((unit, unit + 1))
        return gaps

    def take(self, op: wire.Operation, answer: wire.Answer) -> bool:
        if answer.status == wire.Status.CHANGED:
            if op.transfer == self._version:
                self._start(0, 0)
            return True
        if answer.status != wire.Status.OK:
            return self.finish(answer.status)
        if answer.version < self._version or answer.total_bytes > self._max_value_bytes:
            return False
        if not answer.flags & wire.SEGMENT:
            if len(answer.value) != answer.total_bytes:
                return False
            self._complete(answer, answer.value)
        else:
            self._take_part(answer)
        return not answer.flags & wire.MORE

    def _take_part(self, answer: wire.Answer) -> None:
        if answer.version > self._version or len(self._buffer) != answer.total_bytes:
            self._start(answer.version, answer.total_bytes)
        end_bytes = answer.offset_bytes + len(answer.value)
        self._buffer[answer.offset_bytes : end_bytes] = answer.value
        self._missing.difference_update(range(answer.offset_bytes // wire.UNIT_BYTES, _units(end_bytes)))
        if not self._missing:
            self._complete(answer, bytes(self._buffer))

    def _start(self, version: int, total_bytes: int) -> None:
        self._version = version
        self._buffer = bytearray(total_bytes)
        self._missing = set(range(_units(total_bytes)))

    def _complete(self, answer: wire.Answer, value: bytes) -> None:
        ttl_seconds = None if answer.ttl_seconds == wire.NO_TTL else answer.ttl_seconds
        stale = bool(answer.flags & wire.STALE)
        self.item = Item(value, answer.version, ttl_seconds, answer.age_seconds, stale)
        self.finish(wire.Status.OK)


def _units(length_bytes: int) -> int:
    return -(-length_bytes // wire.UNIT_BYTES)

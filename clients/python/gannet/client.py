"""The client: what a program calls."""

from __future__ import annotations

import json
import threading
import time
from typing import Iterable, Optional, Union

from . import checksum, errors, jobs, wire
from .cluster import Cluster
from .link import Link, Moved
from .wire import Opcode, Status

Key = Union[str, bytes]
Bytes = Union[bytes, bytearray, memoryview]

_MOVED_PAUSE_SECONDS = 0.005
# A try that ends without an answer may have been done, where a refused one was not: the last needs time for its answer.
_ANSWER_SECONDS = 0.03


class Client:
    """A client of a Gannet cluster.

    host and port are those of any of its nodes, others of more of them, should that one
    be silent; the rest are learned from the ring. Nothing is sent before the first
    operation. Threads may share a client; one operation runs at a time. Every operation may raise a GannetError: Timeout after
    timeout_seconds, StatusError when the node refuses, OutcomeUnknown when a repeated
    write may or may not have been done.

    TTLs are whole seconds; 0 is none. Past its soft TTL an item is still served, as stale.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = wire.BASE_PORT,
        timeout_seconds: float = 1.0,
        others: Iterable[tuple[str, int]] = (),
    ) -> None:
        if timeout_seconds <= 0:
            raise ValueError(f"timeout_seconds is {timeout_seconds}; it must be above 0")
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._cluster = Cluster([(host, port), *others])
        self._transfers = 0  # uploads begun

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes all sockets; an operation after it opens others."""
        with self._lock:
            self._cluster.close()

    @property
    def dropped(self) -> dict[str, int]:
        """Datagrams and values that were not taken, by reason: section 17's, unasked, crc."""
        with self._lock:
            return self._cluster.dropped

    @property
    def epoch(self) -> int:
        """That of the ring that keys are routed by; 0: none yet, or a single node without one."""
        with self._lock:
            return self._cluster.ring.epoch if self._cluster.ring else 0

    @property
    def moved(self) -> int:
        """How often a node named another as a key's owner: with the right ring, never."""
        with self._lock:
            return self._cluster.moved

    # Reading.

    def get(self, key: Key) -> Optional[jobs.Item]:
        """The item, or None when it is not there."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Iterable[Key]) -> dict[Key, jobs.Item]:
        """The items that are there, by key, asked for in as few datagrams as hold the keys.

        An error has the items that came nevertheless in its attribute partial.
        """
        names = {key: _key(key) for key in keys}
        reads = {name: jobs.Read(name) for name in names.values()}

        def found() -> dict[Key, jobs.Item]:
            items = {key: reads[name].item for key, name in names.items()}
            return {key: item for key, item in items.items() if item is not None}

        try:
            self._run(list(reads.values()))
            for read in reads.values():
                if read.status not in (Status.OK, Status.MISS):
                    raise errors.of_status(read.status)
        except errors.GannetError as e:
            e.partial = found()
            raise
        return found()

    # Writing.

    def put(self, key: Key, value: Bytes, ttl_seconds: int = 0, soft_ttl_seconds: int = 0) -> int:
        """Stores the value; returns the item's new version."""
        job = self._store(Opcode.PUT, key, value, ttl_seconds, soft_ttl_seconds)
        return _version(job)

    def add(self, key: Key, value: Bytes, ttl_seconds: int = 0, soft_ttl_seconds: int = 0) -> Optional[int]:
        """Stores the value if the key has none; returns the new version, or None if there was one."""
        job = self._store(Opcode.ADD, key, value, ttl_seconds, soft_ttl_seconds)
        return _version_unless(job, Status.EXISTS)

    def replace(self, key: Key, value: Bytes, ttl_seconds: int = 0, soft_ttl_seconds: int = 0) -> Optional[int]:
        """Stores the value if the key has one; returns the new version, or None if there was none."""
        job = self._store(Opcode.REPLACE, key, value, ttl_seconds, soft_ttl_seconds)
        return None if job.status == Status.NOT_FOUND else _version(job)

    def cas(
        self, key: Key, value: Bytes, version: int, ttl_seconds: int = 0, soft_ttl_seconds: int = 0
    ) -> Optional[int]:
        """Stores the value if the item still has the version; returns the new one.

        None: the item has another version, or is gone. Get it and try again.
        """
        if not 0 <= version < 1 << 64:
            raise ValueError(f"version is {version}; give the version of an item")
        job = self._store(Opcode.CAS, key, value, ttl_seconds, soft_ttl_seconds, version)
        return _version_unless(job, Status.VERSION_MISMATCH, Status.NOT_FOUND)

    def incr(self, key: Key, delta: int = 1) -> Optional[int]:
        """Adds to a value of decimal digits; returns the sum, or None if there is no item."""
        if not -(1 << 63) <= delta < 1 << 63:
            raise ValueError(f"delta is {delta}; it must fit 64 bits with a sign")
        job = self._single(wire.Operation(Opcode.INCR, _key(key), arg=delta))
        if job.status == Status.NOT_FOUND:
            return None
        token = _answer(job).token
        return token - (1 << 64) if token >> 63 else token

    def touch(self, key: Key, ttl_seconds: int = 0, soft_ttl_seconds: int = 0) -> bool:
        """Gives the item these TTLs; False: it is not there."""
        _check_ttls(ttl_seconds, soft_ttl_seconds)
        op = wire.Operation(Opcode.TOUCH, _key(key), ttl_seconds=ttl_seconds, soft_ttl_seconds=soft_ttl_seconds)
        return self._done(op)

    def delete(self, key: Key) -> bool:
        """Deletes the item; False: it was not there (or an earlier try of this call has deleted it)."""
        return self._done(wire.Operation(Opcode.DELETE, _key(key)))

    # The node: the first that answered.

    def ping(self) -> float:
        """Asks for an answer; returns the seconds it took, repeats included."""
        with self._lock:
            self._cluster.first(time.monotonic() + self._timeout_seconds)
        started = time.monotonic()
        _answer(self._single(wire.Operation(Opcode.PING)))
        return time.monotonic() - started

    def stats(self) -> dict[str, object]:
        """The node's figures."""
        return json.loads(_answer(self._single(wire.Operation(Opcode.STATS))).value)

    # How.

    def _run(self, work: list[jobs.Job]) -> None:
        """Gets jobs done, by the nodes that their keys belong to."""
        with self._lock:
            deadline = time.monotonic() + self._timeout_seconds
            while work:
                link, now = self._for_one_node(work, deadline)
                try:
                    for job in now:
                        job.prepare(link)
                    link.run(now, deadline)
                except Moved:
                    self._follow(link, deadline)
                except errors.Timeout:
                    self._cluster.unanswered(link)
                    raise
                work = [job for job in work if not job.done]

    def _for_one_node(self, work: list[jobs.Job], deadline: float) -> tuple[Link, list[jobs.Job]]:
        """The node of the first job, and all jobs that are for it."""
        links = [self._link_of(job, deadline) for job in work]
        return links[0], [job for job, link in zip(work, links) if link is links[0]]

    def _link_of(self, job: jobs.Job, deadline: float) -> Link:
        if not job.key:
            return self._cluster.first(deadline)
        return self._cluster.link_of(job.hash, deadline)

    def _follow(self, link: Link, deadline: float) -> None:
        """After MOVED: the next try goes by a newer ring, which may take a moment to come."""
        self._cluster.redirected(link, deadline)
        if time.monotonic() + _MOVED_PAUSE_SECONDS + _ANSWER_SECONDS >= deadline:
            raise errors.StatusError(Status.MOVED)
        time.sleep(_MOVED_PAUSE_SECONDS)

    def _single(self, op: wire.Operation) -> jobs.Single:
        job = jobs.Single(op)
        self._run([job])
        return job

    def _done(self, op: wire.Operation) -> bool:
        job = self._single(op)
        if job.status == Status.NOT_FOUND:
            return False
        _answer(job)
        return True

    def _store(
        self, opcode: Opcode, key: Key, value: Bytes, ttl_seconds: int, soft_ttl_seconds: int, arg: int = 0
    ) -> jobs.Store:
        _check_ttls(ttl_seconds, soft_ttl_seconds)
        job = jobs.Store(wire.Operation(opcode, _key(key), _value(value), 0, ttl_seconds, soft_ttl_seconds, arg))
        self._run([job])
        return job


def _key(key: Key) -> bytes:
    if isinstance(key, str):
        key = key.encode()
    if not isinstance(key, bytes):
        raise TypeError(f"a key is str or bytes, not {type(key).__name__}")
    if not 1 <= len(key) <= wire.MAX_KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes; it must have 1 to {wire.MAX_KEY_BYTES}")
    return key


def _value(value: Bytes) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"a value is bytes, not {type(value).__name__}; encode it")


def _check_ttls(ttl_seconds: int, soft_ttl_seconds: int) -> None:
    for name, seconds in (("ttl_seconds", ttl_seconds), ("soft_ttl_seconds", soft_ttl_seconds)):
        if not isinstance(seconds, int):
            raise TypeError(f"{name} is whole seconds, not {type(seconds).__name__}")
        if not 0 <= seconds <= wire.MAX_TTL_SECONDS:
            raise ValueError(f"{name} is {seconds}; it must be 0 (none) to {wire.MAX_TTL_SECONDS}")
    if ttl_seconds and soft_ttl_seconds >= ttl_seconds:
        raise ValueError(f"soft_ttl_seconds is {soft_ttl_seconds}; it must be below ttl_seconds, {ttl_seconds}")


def _answer(job: jobs.Single) -> wire.Answer:
    if job.status != Status.OK or job.answer is None:
        raise errors.of_status(job.status)
    return job.answer


def _version(job: jobs.Single) -> int:
    return _answer(job).version


def _version_unless(job: jobs.Single, *conditions: Status) -> Optional[int]:
    """The new version, or None if the condition was not met, which a repeated write cannot tell from itself."""
    if job.status not in conditions:
        return _version(job)
    if job.repeated:
        raise errors.OutcomeUnknown(f"{Status(job.status).name} after a repeat: the first try may be the reason")
    return None

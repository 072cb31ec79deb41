"""One node over one UDP socket: cookies, retransmission, window.

A request's life: _plan packs operations of jobs into a Pending; _send gives it the
cookie and the time left, and a timer; _receive hands its answers to the jobs; a timer
that runs out sends it again, by the same request id if it is a write, and asks for what
is still missing under a new id if it is a read. It ends when its operations are
answered. Requests are counted by a window that grows with answers and halves with
timers that run out.
"""

from __future__ import annotations

import collections
import ipaddress
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import Optional

from . import checksum, errors, jobs, wire

_FIRST_RTO_SECONDS = 0.1
_LEAST_RTO_SECONDS = 0.02
_MOST_RTO_SECONDS = 1.0
_FIRST_WINDOW = 8
_MOST_WINDOW = 64
_MOST_COOKIES = 3  # fresh cookies in a row before a request waits for its timer
_RECEIVE_BUFFER_BYTES = 4 << 20
_PAYLOAD_BYTES = {socket.AF_INET: 1472, socket.AF_INET6: 1452}


class Moved(Exception):
    """The node has other shards than HELLO said, or another node owns the key."""


@dataclass
class Pending:
    """A request on its way, or waiting for it."""

    request_id: int
    shard: int
    ops: list[tuple[jobs.Job, wire.Operation]]
    tries: int = 0  # timers that ran out
    sends: int = 0
    cookies: int = 0  # COOKIE_REQUIRED answers
    sent_cookie: int = 0
    sent_at: float = 0.0
    due_at: float = 0.0  # the timer
    answered: set[int] = field(default_factory=set)  # indexes

    def for_node(self) -> bool:
        """It asks for what the node is, and for no key: whatever the node's ring, the answer counts."""
        return all(not job.key for job, _ in self.ops)

    def over(self) -> bool:
        """Nothing more is to be expected."""
        return all(job.done or index in self.answered for index, (job, _) in enumerate(self.ops))


class RoundTrips:
    """RFC 6298 with limits that fit a cache."""

    def __init__(self) -> None:
        self._smoothed: Optional[float] = None
        self._variation = 0.0
        self._rto = _FIRST_RTO_SECONDS

    def measured(self, seconds: float) -> None:
        if self._smoothed is None:
            self._smoothed, self._variation = seconds, seconds / 2
        else:
            self._variation += (abs(self._smoothed - seconds) - self._variation) / 4
            self._smoothed += (seconds - self._smoothed) / 8
        self._rto = max(_LEAST_RTO_SECONDS, self._smoothed + 4 * self._variation)

    def timeout(self, tries: int) -> float:
        return min(_MOST_RTO_SECONDS, self._rto * 2 ** min(tries, 16))


class Link:
    """The way to one node. Not for two threads at once."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        self.hello: Optional[wire.Hello] = None
        self.epoch = 0  # of the ring that requests are routed by; 0: there is none
        self.heard_epoch = 0  # the greatest that the node has named
        self.dropped: collections.Counter[str] = collections.Counter()  # datagrams and values, by reason
        self._places = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        for place in self._places:
            if ipaddress.ip_address(place[4][0].partition("%")[0]).is_unspecified:
                raise ValueError(f"{host} is an address to listen on; give one that the node can be reached by")
        self._socket: Optional[socket.socket] = None
        self._session_id = secrets.randbits(64)
        self._last_request_id = secrets.randbits(64)
        self._transfers = 0  # uploads begun

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.hello = None

    def say_hello(self, deadline: float) -> None:
        """Learns the node's shards and limits and a cookie, at the first address that answers."""
        for left in reversed(range(len(self._places))):
            self._open(self._places[-1 - left])
            now = time.monotonic()
            try:
                self._ask_hello(now + max(0.0, deadline - now) / (left + 1))
                return
            except errors.Timeout:
                if left == 0:
                    self.close()
                    raise

    def _open(self, place: tuple) -> None:
        self.close()
        family, _, _, _, self._address = place
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._payload_bytes = _PAYLOAD_BYTES[family]
        self._reply_room_bytes = self._payload_bytes
        self._cookie = 0
        self._round_trips = RoundTrips()
        self._window = float(_FIRST_WINDOW)

    def _ask_hello(self, deadline: float) -> None:
        job = jobs.Single(wire.Operation(wire.Opcode.HELLO, value=bytes(wire.HELLO_PADDING_BYTES)))
        self.run([job], deadline)
        if job.answer is None or job.status != wire.Status.OK:
            raise errors.of_status(job.status)
        try:
            hello = wire.Hello.decode(job.answer.value)
        except wire.Malformed as e:
            raise errors.GannetError(f"{self.name} answers HELLO with what is none: {e}") from e
        self._cookie = job.answer.token
        self._payload_bytes = min(self._payload_bytes, hello.max_payload_bytes)
        self.hello = hello

    def limits(self) -> wire.Hello:
        """What the node said about itself."""
        assert self.hello is not None, "only after say_hello"
        return self.hello

    def next_transfer(self) -> int:
        """An id for an upload, not used before in this session."""
        self._transfers += 1
        return self._transfers

    def value_room_bytes(self, key: bytes, segment: bool) -> int:
        """The longest value that fits a request beside its key."""
        op = wire.Operation(wire.Opcode.PUT, key, flags=wire.SEGMENT if segment else 0)
        return self._payload_bytes - wire.REQUEST_HEADER_BYTES - op.size_bytes() & ~7

    def run(self, work: list[jobs.Job], deadline: float) -> None:
        """Gets jobs done, or raises Timeout at the deadline."""
        self._deadline = deadline
        self._known: dict[int, Pending] = {}  # all requests of this run: an answer may be late
        self._flying: dict[int, Pending] = {}
        self._waiting = collections.deque(self._plan(work, tries=0))
        while not all(job.done for job in work):
            while self._waiting and len(self._flying) < int(self._window):
                self._send(self._waiting.popleft())
            pending = self._receive()
            if pending is not None and pending.over():
                self._retire(pending)
                if all(job.done for job in work):
                    return
            if time.monotonic() >= deadline:
                raise errors.Timeout(f"no answer from {self.name} in time")
            self._ring_timers()

    def _plan(self, work: list[jobs.Job], tries: int) -> list[Pending]:
        """Packs what jobs want sent into requests."""
        planned: list[Pending] = []
        open_by_shard: dict[int, tuple[Pending, int]] = {}
        for job in work:
            shard = checksum.shard_of(job.hash, self.hello.shards) if self.hello and job.key else 0
            ops = job.operations()
            if not job.batched:
                planned += [self._new_pending(shard, [(job, op)], tries) for op in ops]
                continue
            # A job's operations stay together, so that it is in one request at a time.
            needed_bytes = sum(op.size_bytes() for op in ops)
            pending, room_bytes = open_by_shard.get(shard, (None, 0))
            if pending is None or needed_bytes > room_bytes or len(pending.ops) + len(ops) > wire.MAX_OPS:
                pending = self._new_pending(shard, [], tries)
                room_bytes = self._payload_bytes - wire.REQUEST_HEADER_BYTES
                planned.append(pending)
            pending.ops += [(job, op) for op in ops]
            open_by_shard[shard] = pending, room_bytes - needed_bytes
        return planned

    def _new_pending(self, shard: int, ops: list[tuple[jobs.Job, wire.Operation]], tries: int) -> Pending:
        pending = Pending(self._next_request_id(), shard, ops, tries)
        self._known[pending.request_id] = pending
        return pending

    def _next_request_id(self) -> int:
        self._last_request_id = self._last_request_id + 1 & 0xFFFFFFFFFFFFFFFF
        return self._last_request_id

    def _send(self, pending: Pending) -> None:
        if pending.over():  # a late answer to an earlier try
            self._flying[pending.request_id] = pending
            self._retire(pending)
            return
        now = time.monotonic()
        budget_micros = int((self._deadline - now) * 1e6)
        request = wire.Request(
            request_id=pending.request_id,
            session_id=self._session_id,
            shard=pending.shard,
            key_hash=pending.ops[0][0].hash,
            ops=[op for _, op in pending.ops],
            epoch=self.epoch,
            budget_micros=max(1, min(budget_micros, 0xFFFFFFFF)),
            cookie=self._cookie,
            reply_room_bytes=self._reply_room_bytes,
        )
        pending.sent_cookie, pending.sent_at = self._cookie, now
        pending.sends += 1
        pending.due_at = now + self._round_trips.timeout(pending.tries)
        self._flying[pending.request_id] = pending
        try:
            self._socket.sendto(request.encode(), self._address_of(pending.shard))
        except OSError as e:
            raise errors.GannetError(f"send to {self.name}: {e}") from e

    def _address_of(self, shard: int) -> tuple:
        """HELLO goes where the caller said; what comes after it, where its answer says."""
        port = self.hello.base_port + shard if self.hello else self._address[1]
        return (self._address[0], port, *self._address[2:])

    def _receive(self) -> Optional[Pending]:
        """Waits for a datagram or a timer; returns the request that was answered, if one was."""
        wake_at = min([self._deadline, *(pending.due_at for pending in self._flying.values())])
        self._socket.settimeout(max(0.0, wake_at - time.monotonic()))
        try:
            data, sender = self._socket.recvfrom(wire.MAX_DATAGRAM_BYTES)
        except (socket.timeout, BlockingIOError):
            return None
        try:
            reply = wire.Reply.decode(data)
        except wire.Malformed as e:
            self.dropped[e.reason] += 1
            return None
        pending = self._known.get(reply.request_id)
        if pending is None or reply.session_id != self._session_id or not self._is_from(sender, pending.shard):
            self.dropped["unasked"] += 1
            return None
        if reply.epoch < self.epoch and not pending.for_node():
            self.dropped["outdated"] += 1
            return None
        self.heard_epoch = max(self.heard_epoch, reply.epoch)
        self._take(pending, reply)
        return pending

    def _is_from(self, sender: tuple, shard: int) -> bool:
        host, port = self._address_of(shard)[:2]
        return sender[1] == port and sender[0].partition("%")[0] == host.partition("%")[0]

    def _take(self, pending: Pending, reply: wire.Reply) -> None:
        now = time.monotonic()
        if pending.sends == 1 and not pending.answered:
            self._round_trips.measured(now - pending.sent_at)
        pending.due_at = now + self._round_trips.timeout(0)
        self._window = min(_MOST_WINDOW, self._window + 1 / self._window)
        for answer in reply.answers:
            if answer.status == wire.Status.COOKIE_REQUIRED:
                self._take_cookie(pending, answer.token)
            elif answer.status in (wire.Status.MOVED, wire.Status.BEHIND):
                # Nothing asks for a version: who is behind follows by now, and has yet to be given the key's range.
                raise Moved
            elif answer.opcode == 0:
                for job in _unfinished(pending):
                    job.finish(answer.status)
            else:
                self._take_answer(pending, answer)

    def _take_cookie(self, pending: Pending, cookie: int) -> None:
        """The same request goes out again at once, with the fresh cookie."""
        if self._cookie == pending.sent_cookie:
            self._cookie = cookie
        pending.cookies += 1
        if pending.request_id in self._flying and pending.cookies <= _MOST_COOKIES:
            del self._flying[pending.request_id]
            self._waiting.appendleft(pending)

    def _take_answer(self, pending: Pending, answer: wire.Answer) -> None:
        if answer.index >= len(pending.ops) or answer.opcode != pending.ops[answer.index][1].opcode:
            self.dropped["unasked"] += 1
            return
        if checksum.crc32c(answer.value) != answer.crc32c:
            self.dropped["crc"] += 1
            return
        job, op = pending.ops[answer.index]
        if not job.done and job.take(op, answer):
            pending.answered.add(answer.index)

    def _retire(self, pending: Pending) -> None:
        """Ends a request; what its jobs still lack is asked for again."""
        if self._flying.pop(pending.request_id, None) is None:
            return
        unfinished = _unfinished(pending)
        if not unfinished:
            return
        if unfinished[0].batched:
            self._waiting.extend(self._plan(unfinished, tries=0))
        else:
            self._repeat_upload(unfinished[0], pending.tries + 1)

    def _repeat_upload(self, job: jobs.Job, tries: int) -> None:
        """When all parts are taken and none has the outcome, all go out again, after a while."""
        parts = [pending for pending in self._known.values() if pending.ops[0][0] is job]
        if not all(pending.answered for pending in parts):
            return
        job.repeated = True
        due_at = time.monotonic() + self._round_trips.timeout(tries)
        for pending in parts:
            pending.answered.clear()
            pending.tries, pending.due_at = tries, due_at
            self._flying[pending.request_id] = pending

    def _ring_timers(self) -> None:
        now = time.monotonic()
        due = [pending for pending in self._flying.values() if pending.due_at <= now]
        if due:
            self._window = max(1.0, self._window / 2)
        for pending in due:
            del self._flying[pending.request_id]
            unfinished = _unfinished(pending)
            for job in unfinished:
                job.repeated = True
            if unfinished and unfinished[0].batched:
                self._waiting.extend(self._plan(unfinished, pending.tries + 1))
            elif unfinished:
                pending.tries += 1
                self._waiting.append(pending)


def _unfinished(pending: Pending) -> list[jobs.Job]:
    """The jobs of a request that are not done, each once."""
    return [job for job in dict.fromkeys(job for job, _ in pending.ops) if not job.done]

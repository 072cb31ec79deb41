"""A node that a test can make misbehave: items in a dictionary, answers through a hook."""

import json
import socket
import threading

from gannet import checksum, wire
from gannet.wire import Answer, Opcode, Status

REPLY_ROOM = 1472 - wire.REPLY_HEADER_BYTES


class FakeNode:
    """Serves shards on consecutive loopback ports, until the with statement ends.

    requests has all datagrams in their order. intercept, if set, is given a request and
    the datagrams that would answer it, and returns those that are sent.
    """

    def __init__(self, shards=1, max_value_bytes=1 << 20):
        self.shards, self.max_value_bytes = shards, max_value_bytes
        self.items, self.uploads, self.remembered = {}, {}, {}
        self.cookie = 1000
        self.node_id, self.epoch = 1, 0
        self.ring = b""  # encoded; empty: it has none
        self.version = 0
        self.requests = []
        self.intercept = None
        self._sockets = _consecutive_sockets(2)
        self.port = self._sockets[0].getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, args=(n, s)) for n, s in enumerate(self._sockets)]
        self._lock = threading.Lock()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for s in self._sockets:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", s.getsockname())
        for thread, s in zip(self._threads, self._sockets):
            thread.join()
            s.close()

    def sent(self, opcode):
        """The requests whose first operation is of a kind."""
        with self._lock:
            return [request for request in self.requests if request.ops[0].opcode == opcode]

    def _serve(self, shard, sock):
        while True:
            data, sender = sock.recvfrom(65507)
            if not data:
                return
            with self._lock:
                request = wire.Request.decode(data)
                self.requests.append(request)
                datagrams = self._answer(shard, request)
                if self.epoch:
                    datagrams = [_stamped(datagram, self.epoch) for datagram in datagrams]
                if self.intercept:
                    datagrams = self.intercept(request, datagrams)
            for datagram in datagrams:
                sock.sendto(datagram, sender)

    def _answer(self, shard, request):
        opcode = request.ops[0].opcode
        if opcode not in (Opcode.HELLO, Opcode.PING) and request.cookie != self.cookie:
            return [reply(request, Answer(0, Status.COOKIE_REQUIRED, token=self.cookie))]
        answers = [a for index, op in enumerate(request.ops) for a in self._operate(shard, request, index, op)]
        return [reply(request, answer) for answer in answers]

    def _operate(self, shard, request, index, op):
        if op.key and checksum.shard_of(checksum.key_hash(op.key), self.shards) != shard:
            return [Answer(op.opcode, Status.MOVED, index=index, token=1)]
        if op.opcode == Opcode.GET:
            return self._get(index, op)
        name = (request.session_id, request.request_id, index)
        if op.opcode == Opcode.INCR and name in self.remembered:
            return [self.remembered[name]]
        self.remembered[name] = self._write(index, op, op.value)
        return [self.remembered[name]]

    def _get(self, index, op):
        if op.key not in self.items:
            return [Answer(op.opcode, Status.MISS, index=index)]
        version, value = self.items[op.key]
        if op.transfer not in (0, version):
            return [Answer(op.opcode, Status.CHANGED, index=index, version=version)]
        upto = min(len(value), op.offset_bytes + (op.total_bytes or len(value)))
        return list(parts(index, version, value, op.offset_bytes, upto))

    def _write(self, index, op, value):
        answer = Answer(op.opcode, Status.OK, index=index)
        if op.opcode == Opcode.HELLO:
            hello = wire.Hello(self.shards, self.port, self.max_value_bytes, 1472, self.node_id, 1)
            answer.value, answer.token = hello.encode(), self.cookie
        elif op.opcode == Opcode.RING and not self.ring:
            answer.status = Status.MISS
        elif op.opcode == Opcode.RING:
            answer.version, answer.flags, answer.offset_bytes = self.epoch, wire.SEGMENT, op.arg
            answer.value, answer.total_bytes = self.ring[op.arg : op.arg + 1024], len(self.ring)
        elif op.opcode == Opcode.STATS:
            answer.value = json.dumps({"items": len(self.items)}).encode()
        elif op.opcode == Opcode.INCR:
            answer.token = int(self.items[op.key][1]) + op.arg
            self._store(answer, op.key, b"%d" % answer.token)
        elif op.flags & wire.SEGMENT:
            self._upload(answer, op)
        elif op.opcode == Opcode.DELETE:
            answer.status = Status.OK if self.items.pop(op.key, None) else Status.NOT_FOUND
        elif op.opcode == Opcode.ADD and op.key in self.items:
            answer.status = Status.EXISTS
        elif op.opcode != Opcode.PING:
            self._store(answer, op.key, value)
        return seal(answer)

    def _upload(self, answer, op):
        got = self.uploads.setdefault(op.transfer, {})
        got[op.offset_bytes] = op.value
        if sum(map(len, got.values())) < op.total_bytes:
            answer.status = Status.PARTIAL
            return
        self._store(answer, op.key, b"".join(got[at] for at in sorted(got)))

    def _store(self, answer, key, value):
        self.version += 1
        self.items[key] = self.version, value
        answer.version = self.version


def seal(answer):
    """Fills in what follows from a value that is whole."""
    answer.crc32c = checksum.crc32c(answer.value)
    if not answer.flags & wire.SEGMENT:
        answer.total_bytes = len(answer.value)
    return answer


def parts(index, version, value, offset, upto):
    """The answers to a GET of a range."""
    room = REPLY_ROOM - wire.REPLY_OP_BYTES
    if offset == 0 and upto == len(value) <= room:
        yield seal(Answer(Opcode.GET, Status.OK, value=value, version=version, index=index))
        return
    for at in range(offset, upto, 1024):
        flags = wire.SEGMENT | (wire.MORE if at + 1024 < upto else 0)
        yield part(index, version, value, at, flags)


def part(index, version, value, offset, flags):
    return seal(
        Answer(
            Opcode.GET, Status.OK, flags, value[offset : offset + 1024], version, index=index,
            total_bytes=len(value), offset_bytes=offset,
        )  # fmt: skip
    )


def reply(request, *answers):
    return wire.Reply(
        request_id=request.request_id,
        session_id=request.session_id,
        shard=request.shard,
        key_hash=request.key_hash,
        answers=list(answers),
    ).encode()


def _stamped(datagram, epoch):
    """The datagram as a node with a ring of this epoch sends it."""
    stamped = wire.Reply.decode(datagram)
    stamped.epoch = epoch
    return stamped.encode()


def _consecutive_sockets(count):
    for _ in range(100):
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        try:
            sockets[0].bind(("127.0.0.1", 0))
            first = sockets[0].getsockname()[1]
            for n, s in enumerate(sockets[1:], 1):
                s.bind(("127.0.0.1", first + n))
            return sockets
        except (OSError, OverflowError):
            for s in sockets:
                s.close()
    raise RuntimeError(f"found no {count} free ports in a row")

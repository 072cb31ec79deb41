"""The client against a node that loses, repeats, mangles, forgets."""

import random
import unittest
from unittest import mock

import gannet
from gannet import checksum, jobs, wire
from gannet.link import RoundTrips
from gannet.wire import Answer, Opcode, Status

from . import fakenode

PATIENCE = 30  # seconds; no test waits for it to pass


def first_only(opcode, change):
    """An intercept that changes the answers to the first request of a kind."""
    seen = []

    def intercept(request, datagrams):
        if request.ops[0].opcode != opcode or seen:
            return datagrams
        seen.append(request)
        return change(request, datagrams)

    return intercept


def lose(_request, _datagrams):
    return []


class AgainstFake(unittest.TestCase):
    def setUp(self):
        self.node = self.enter(fakenode.FakeNode())
        self.client = self.connect(self.node)

    def enter(self, context):
        self.addCleanup(context.__exit__, None, None, None)
        return context.__enter__()

    def connect(self, node, timeout_seconds=PATIENCE):
        return self.enter(gannet.Client("127.0.0.1", node.port, timeout_seconds))

    def assert_repeated(self, requests):
        """The same request came twice at least."""
        self.assertGreaterEqual(len(requests), 2)
        for request in requests[1:]:
            first = requests[0]
            self.assertEqual((request.session_id, request.request_id), (first.session_id, first.request_id))
            self.assertEqual(request.ops, first.ops)
            self.assertLessEqual(request.budget_micros, first.budget_micros)


class Faults(AgainstFake):
    def test_lost_hello(self):
        self.node.intercept = first_only(Opcode.HELLO, lose)
        self.client.put("k", b"v")
        self.assert_repeated(self.node.sent(Opcode.HELLO))

    def test_lost_answer_to_incr(self):
        self.client.put("n", b"5")
        self.node.intercept = first_only(Opcode.INCR, lose)
        self.assertEqual(self.client.incr("n", 2), 7)
        self.assert_repeated(self.node.sent(Opcode.INCR))

    def test_lost_answer_to_add(self):
        """The fake does not remember ADDs: what it then answers says nothing."""
        self.node.intercept = first_only(Opcode.ADD, lose)
        with self.assertRaises(gannet.OutcomeUnknown):
            self.client.add("k", b"v")
        self.assertIsNone(self.client.add("k", b"v"))

    def test_lost_answer_to_get(self):
        self.client.put("k", b"v")
        self.node.intercept = first_only(Opcode.GET, lose)
        self.assertEqual(self.client.get("k").value, b"v")

    def test_lost_answer_within_get_many(self):
        want = {f"{n}": b"%d" % n for n in range(20)}
        for key, value in want.items():
            self.client.put(key, value)
        self.node.intercept = first_only(Opcode.GET, lambda _, datagrams: datagrams[:7] + datagrams[8:])
        got = self.client.get_many(want)
        self.assertEqual({key: item.value for key, item in got.items()}, want)
        first, *later = self.node.sent(Opcode.GET)
        self.assertEqual(len(first.ops), 20)
        for request in later:
            self.assertEqual([op.key for op in request.ops], [b"7"])
            self.assertNotEqual(request.request_id, first.request_id)

    def test_answers_twice(self):
        self.node.intercept = lambda _, datagrams: datagrams * 2
        self.client.put("n", b"1")
        self.assertEqual([self.client.incr("n") for _ in range(5)], [2, 3, 4, 5, 6])

    def test_new_cookie_at_any_moment(self):
        for n in range(5):
            self.node.cookie += 1
            self.client.put("k", b"%d" % n)
        first, second = self.node.sent(Opcode.PUT)[-2:]
        self.assert_repeated([first, second])
        self.assertEqual((first.cookie, second.cookie), (self.node.cookie - 1, self.node.cookie))

    def test_wrong_crc(self):
        self.client.put("k", b"value")

        def flip(_, datagrams):
            return [datagrams[0][:-1] + bytes([datagrams[0][-1] ^ 1])]

        self.node.intercept = first_only(Opcode.GET, flip)
        self.assertEqual(self.client.get("k").value, b"value")
        self.assertEqual(self.client.dropped["crc"], 1)

    def test_malformed_and_unasked(self):
        def add(request, datagrams):
            stranger = wire.Reply.decode(datagrams[0])
            stranger.session_id ^= 1
            other = wire.Reply.decode(datagrams[0])
            other.answers[0].index = 1
            return [datagrams[0][:40], datagrams[0] + bytes(8), stranger.encode(), other.encode(), *datagrams]

        self.client.ping()
        self.node.intercept = add
        self.assertIsNone(self.client.get("k"))
        self.assertEqual(self.client.dropped, {"short": 1, "trailing": 1, "unasked": 2})

    def test_shards_change(self):
        keys = [f"{n}" for n in range(10)]
        for key in keys:
            self.client.put(key, b"v")
        self.node.shards = 2
        self.assertEqual(set(self.client.get_many(keys)), set(keys))
        for key in keys:
            self.assertTrue(self.client.delete(key))
        for request in self.node.sent(Opcode.DELETE):
            self.assertEqual(request.shard, checksum.shard_of(request.key_hash, 2))

    def test_moved_for_good(self):
        def moved(request, datagrams):
            if request.ops[0].opcode == Opcode.HELLO:
                return datagrams
            return [fakenode.reply(request, Answer(0, Status.MOVED, token=1))]

        self.node.intercept = moved
        with self.assertRaises(gannet.StatusError) as caught:
            self.client.put("k", b"v")
        self.assertEqual(caught.exception.status, Status.MOVED)

    def test_refused(self):
        self.node.intercept = first_only(
            Opcode.GET, lambda request, _: [fakenode.reply(request, Answer(0, Status.OVERLOADED))]
        )
        with self.assertRaises(gannet.StatusError) as caught:
            self.client.get("k")
        self.assertEqual((caught.exception.status, caught.exception.partial), (Status.OVERLOADED, {}))

    def test_partial_of_get_many(self):
        self.client.put("a", b"1")
        self.client.put("b", b"2")

        def refuse_second(request, datagrams):
            return [datagrams[0], fakenode.reply(request, Answer(Opcode.GET, Status.UNAVAILABLE, index=1))]

        self.node.intercept = first_only(Opcode.GET, refuse_second)
        with self.assertRaises(gannet.StatusError) as caught:
            self.client.get_many(["a", "b"])
        self.assertEqual({key: item.value for key, item in caught.exception.partial.items()}, {"a": b"1"})

    def test_silence(self):
        self.node.intercept = lose
        with self.assertRaises(gannet.Timeout):
            self.connect(self.node, timeout_seconds=0.05).get("k")

    def test_budget(self):
        self.client.put("k", b"v")
        (put,) = self.node.sent(Opcode.PUT)
        self.assertTrue(0 < put.budget_micros <= PATIENCE * 1_000_000)

    def test_after_close(self):
        self.client.put("k", b"v")
        self.client.close()
        self.assertEqual(self.client.get("k").value, b"v")


class Parts(AgainstFake):
    """Values longer than a datagram."""

    def setUp(self):
        super().setUp()
        self.value = random.Random(3).randbytes(10_000)
        self.client.put("k", self.value)

    def get_through(self, change):
        self.node.intercept = first_only(Opcode.GET, change)
        self.assertTrue(self.client.get("k").value == self.value)

    def test_lost_parts_are_asked_for(self):
        self.get_through(lambda _, datagrams: [d for n, d in enumerate(datagrams) if n not in (2, 3, 7)])
        again = self.node.sent(Opcode.GET)[1]
        version, _ = self.node.items[b"k"]
        asked = [(op.flags, op.offset_bytes, op.total_bytes, op.transfer) for op in again.ops]
        self.assertEqual(asked, [(wire.SEGMENT, 2048, 2048, version), (wire.SEGMENT, 7168, 1024, version)])

    def test_more_gaps_than_fit_a_request(self):
        self.get_through(lambda _, datagrams: datagrams[::2])

    def test_first_part_alone(self):
        """What a node short of frames sends: the rest is asked for at once."""

        def alone(request, datagrams):
            answer = wire.Reply.decode(datagrams[0]).answers[0]
            answer.flags &= ~wire.MORE
            return [fakenode.reply(request, answer)]

        self.get_through(alone)

    def test_parts_in_any_order(self):
        self.get_through(lambda _, datagrams: random.Random(4).sample(datagrams, len(datagrams)))

    def test_part_with_wrong_crc(self):
        self.get_through(lambda _, datagrams: [*datagrams[:3], datagrams[3][:-1] + b"?", *datagrams[4:]])

    def test_changed_meanwhile(self):
        old = self.value
        self.value = random.Random(5).randbytes(9_000)

        def overwrite(_, datagrams):
            self.node.items[b"k"] = self.node.version + 1, self.value
            return datagrams[:4]

        self.get_through(overwrite)
        self.assertNotEqual(self.node.items[b"k"][1], old)

    def test_newer_parts_win(self):
        newer, version = self.value[::-1], self.node.version
        self.value = newer

        def both(request, datagrams):
            fresh = [fakenode.part(0, version + 1, newer, at, wire.SEGMENT | wire.MORE) for at in range(0, 10_000, 1024)]
            fresh = [fakenode.reply(request, answer) for answer in fresh]
            return datagrams[:5] + fresh[:8] + datagrams[5:] + fresh[8:]

        self.get_through(both)

    def test_lost_parts_of_an_upload(self):
        value, lost = self.value[::-1], []

        def lose_some(request, datagrams):
            op = request.ops[0]
            if op.flags & wire.SEGMENT and op.offset_bytes in (1024, 9216) and op.offset_bytes not in lost:
                lost.append(op.offset_bytes)
                return []
            return datagrams

        self.node.intercept = lose_some
        self.client.put("k", value)
        self.assertTrue(self.node.items[b"k"][1] == value)
        self.assertEqual(sorted(lost), [1024, 9216])

    def test_upload_that_was_dropped(self):
        """Only PARTIAL for all parts: all of them are sent again, as the same requests."""
        value, forgotten = self.value[::-1], []

        def forget(request, datagrams):
            if request.ops[0].offset_bytes == 5120 and not forgotten:
                forgotten.append(request)
                self.node.uploads.clear()
            return datagrams

        self.node.intercept = forget
        self.client.put("k", value)
        self.assertTrue(self.node.items[b"k"][1] == value)
        puts = [request for request in self.node.sent(Opcode.PUT) if request.ops[0].transfer == forgotten[0].ops[0].transfer]
        self.assert_repeated([request for request in puts if request.ops[0].offset_bytes == 5120])
        self.assertEqual(len({request.request_id for request in puts}), 10)

    def test_longer_than_the_node_allows(self):
        with self.assertRaises(gannet.StatusError) as caught:
            self.client.put("k", bytes(self.node.max_value_bytes + 1))
        self.assertEqual(caught.exception.status, Status.TOO_LARGE)


def reading(max_value_bytes):
    """A read that was told what its node is like."""
    read = jobs.Read(b"k")
    read.prepare(mock.Mock(limits=lambda: wire.Hello(1, 9800, max_value_bytes, 1472, 1, 1)))
    return read


class Reading(unittest.TestCase):
    def test_more_says_whether_to_wait(self):
        value = bytes(3000)
        for flags, enough in ((wire.SEGMENT | wire.MORE, False), (wire.SEGMENT, True)):
            read = reading(max_value_bytes=1 << 20)
            (op,) = read.operations()
            self.assertEqual(read.take(op, fakenode.part(0, 1, value, 0, flags)), enough)
            self.assertFalse(read.done)

    def test_longer_than_the_node_allows(self):
        read = reading(max_value_bytes=2999)
        self.assertFalse(read.take(read.operations()[0], fakenode.part(0, 1, bytes(3000), 0, wire.SEGMENT)))
        self.assertEqual([op.flags for op in read.operations()], [0])


class Arguments(unittest.TestCase):
    def test_wrong(self):
        client = gannet.Client()
        self.addCleanup(client.close)
        for error, call in [
            (ValueError, lambda: client.get("")),
            (ValueError, lambda: client.get(b"k" * 251)),
            (TypeError, lambda: client.get(5)),
            (TypeError, lambda: client.put("k", "text")),
            (ValueError, lambda: client.put("k", b"", ttl_seconds=-1)),
            (ValueError, lambda: client.put("k", b"", ttl_seconds=wire.MAX_TTL_SECONDS + 1)),
            (TypeError, lambda: client.put("k", b"", ttl_seconds=1.5)),
            (ValueError, lambda: client.put("k", b"", ttl_seconds=5, soft_ttl_seconds=5)),
            (ValueError, lambda: client.incr("k", 1 << 63)),
            (ValueError, lambda: client.cas("k", b"", -1)),
            (ValueError, lambda: gannet.Client(timeout_seconds=0)),
            (ValueError, lambda: gannet.Client("0.0.0.0")),
        ]:
            with self.subTest(call), self.assertRaises(error):
                call()


class Timers(unittest.TestCase):
    def test_follows_round_trips(self):
        trips = RoundTrips()
        first = trips.timeout(0)
        for _ in range(100):
            trips.measured(0.03)
        self.assertTrue(0.03 <= trips.timeout(0) < 0.031 < first)
        self.assertAlmostEqual(trips.timeout(3), 8 * trips.timeout(0))
        trips.measured(0.4)
        self.assertGreater(trips.timeout(0), 0.4)
        self.assertEqual(trips.timeout(100), 1)


if __name__ == "__main__":
    unittest.main()

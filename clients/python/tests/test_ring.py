"""The ring against its vectors, and the client's way through a cluster of fakes."""

import ipaddress
import struct
import time
import unittest

import gannet
from gannet import checksum, wire
from gannet.ring import Ring, RingError, State
from gannet.wire import Opcode, Status

from . import fakenode
from .test_vectors import load, number

PATIENCE = 30  # seconds; no test waits for it to pass


class Vectors(unittest.TestCase):
    def test_rings(self):
        for entry in load("rings.json"):
            with self.subTest(entry["name"]):
                ring = Ring.decode(bytes.fromhex(entry["encoded"]))
                self.assertEqual(ring.epoch, entry["epoch"])
                self.assertEqual(
                    [(m.id, m.name, m.zone, m.state.name.lower(), m.host, m.port, m.shards, m.points) for m in ring.members],
                    [
                        (number(m["id"]), m["name"], m["zone"], m["state"], m["host"], m["port"], m["shards"], m["points"])
                        for m in entry["members"]
                    ],
                )
                for hashed in entry["holders"]:
                    names = [m.name for m in ring.holders(number(hashed["key_hash"]))]
                    self.assertEqual(names, hashed["members"], hashed["key_hash"])

    def test_damaged(self):
        encoded = bytes.fromhex(load("rings.json")[1]["encoded"])
        for at in range(len(encoded)):
            with self.assertRaises(RingError):
                Ring.decode(encoded[:at] + bytes([encoded[at] ^ 1]) + encoded[at + 1 :])
        for length in range(len(encoded)):
            with self.assertRaises(RingError):
                Ring.decode(encoded[:length])


def encode(epoch, ports, states=None):
    """A ring of one member a port on loopback, in the order of their ids, 1 and up."""
    body = struct.pack("<4sHHIB3x", b"GNRG", 2, len(ports), epoch, 1)
    for n, port in enumerate(ports, 1):
        state = states[n - 1] if states else State.ACTIVE
        address = ipaddress.IPv6Address("::ffff:127.0.0.1").packed
        body += struct.pack("<Q16s16s16sHHHHHBBBB", n, address, b"", b"", port, 0, 0, 1, 0, 1, state, len(b"%d" % n), 0)
        body += b"%d" % n
    return body + struct.pack("<I", checksum.crc32c(body))


class AgainstFakes(unittest.TestCase):
    """Two nodes, each of which answers MOVED for what the ring says is the other's."""

    def setUp(self):
        self.nodes = [self.enter(fakenode.FakeNode()) for _ in range(2)]
        for n, node in enumerate(self.nodes, 1):
            node.node_id = n
            node.intercept = lambda request, datagrams, node=node: self.misplace(node, request, datagrams)
        self.publish(5)
        self.client = self.connect(self.nodes[0])

    def enter(self, context):
        self.addCleanup(context.__exit__, None, None, None)
        return context.__enter__()

    def connect(self, node, timeout_seconds=PATIENCE, others=()):
        return self.enter(gannet.Client("127.0.0.1", node.port, timeout_seconds, others))

    def publish(self, epoch, states=None, to=None):
        """Gives nodes a ring."""
        encoded = encode(epoch, [node.port for node in self.nodes], states)
        self.ring = Ring.decode(encoded)
        for node in to or self.nodes:
            node.ring, node.epoch = encoded, epoch

    def leader(self, key):
        return self.nodes[self.ring.holders(checksum.key_hash(key))[0].id - 1]

    def misplace(self, node, request, datagrams):
        keys = [op.key for op in request.ops if op.key]
        if any(self.leader(key) is not node for key in keys) and request.cookie == node.cookie:
            moved = wire.Reply.decode(fakenode.reply(request, wire.Answer(0, Status.MOVED, token=node.epoch)))
            moved.epoch = node.epoch
            return [moved.encode()]
        return datagrams

    def fill(self, count=100):
        want = {f"{n}": b"%d" % n * (1 if n % 10 else 2000) for n in range(count)}
        for key, value in want.items():
            self.client.put(key, value)
        return want

    def test_keys_go_to_their_leaders(self):
        want = self.fill()
        got = self.client.get_many(want)
        self.assertEqual({key: item.value for key, item in got.items()}, want)
        self.assertEqual(self.client.moved, 0)
        for node in self.nodes:
            self.assertGreater(len(node.items), 20)
            for request in node.requests:
                self.assertIn(request.epoch, (0, 5))
        self.assertEqual(self.client.epoch, 5)

    def test_moved_brings_the_newer_ring(self):
        key = next(f"{n}" for n in range(100) if self.leader(b"%d" % n) is self.nodes[1])
        self.client.put(key, b"v")
        self.publish(6, [State.ACTIVE, State.DOWN])
        self.nodes[0].items.update(self.nodes[1].items)
        self.assertEqual(self.client.get(key).value, b"v")
        self.assertEqual((self.client.epoch, self.client.moved), (6, 1))

    def test_behind_brings_the_newer_ring(self):
        """Who led the key follows, and lacks what it has; the node that leads now has it."""
        key = next(f"{n}" for n in range(100) if self.leader(b"%d" % n) is self.nodes[1])
        before, leader = self.nodes[1], self.nodes[0]
        self.client.put(key, b"v")
        self.publish(6, [State.ACTIVE, State.DOWN])
        leader.items.update(before.items)
        before.intercept = lambda request, datagrams: self.lacks(request, datagrams)
        self.assertEqual(self.client.get(key).value, b"v")
        self.assertEqual(self.client.get_many([key])[key].value, b"v")
        self.assertEqual((self.client.epoch, self.client.moved), (6, 1))

    def lacks(self, request, datagrams):
        if request.ops[0].opcode in (Opcode.HELLO, Opcode.RING):
            return datagrams
        behind = wire.Reply.decode(fakenode.reply(request, wire.Answer(Opcode.GET, Status.BEHIND)))
        behind.epoch = 6
        return [behind.encode()]

    def test_newer_epoch_in_a_reply(self):
        self.client.put("k", b"v")
        self.publish(7)
        self.client.get("k")  # names the epoch
        self.client.get("k")
        self.assertEqual((self.client.epoch, self.client.moved), (7, 0))

    def test_older_epoch_is_not_believed(self):
        self.client.put("k", b"v")
        node = self.leader(b"k")
        node.epoch = 4
        client = self.client
        client._timeout_seconds = 0.5
        with self.assertRaises(gannet.Timeout):
            client.get("k")
        self.assertGreater(client.dropped["outdated"], 0)

    def test_first_server_is_silent(self):
        self.nodes[0].intercept = lambda request, datagrams: []
        silent, other = self.nodes
        client = self.connect(silent, timeout_seconds=3, others=[("127.0.0.1", other.port)])
        key = next(f"{n}" for n in range(100) if self.leader(b"%d" % n) is other)
        client.put(key, b"v")
        self.assertEqual(client.get(key).value, b"v")

    def test_leader_dies(self):
        self.fill()
        dead, other = self.nodes
        key = next(f"{n}" for n in range(100) if self.leader(b"%d" % n) is dead)
        dead.intercept = lambda request, datagrams: []
        self.publish(8, [State.DOWN, State.ACTIVE])
        self.client._timeout_seconds = 0.3
        with self.assertRaises(gannet.Timeout):
            self.client.get(key)
        self.client._timeout_seconds = PATIENCE
        self.assertIsNone(self.client.get(key))
        self.assertEqual(self.client.epoch, 8)

    def test_moved_for_ever(self):
        for node in self.nodes:
            node.intercept = lambda request, datagrams, node=node: self.refuse(request, datagrams)
        client = self.connect(self.nodes[0], timeout_seconds=0.25)
        for _ in range(20):
            with self.assertRaises((gannet.StatusError, gannet.Timeout)) as caught:
                client.put("k", b"v")
            if not isinstance(caught.exception, gannet.Timeout):  # the machine stood still as the time ran out
                break
        self.assertEqual(caught.exception.status, Status.MOVED)

    def refuse(self, request, datagrams):
        if request.ops[0].opcode in (Opcode.HELLO, Opcode.RING):
            return datagrams
        moved = wire.Reply.decode(fakenode.reply(request, wire.Answer(0, Status.MOVED, token=5)))
        moved.epoch = 5
        return [moved.encode()]

    def test_ring_in_several_parts(self):
        ports = [node.port for node in self.nodes] + [1] * 40
        states = [State.ACTIVE] * 2 + [State.JOINING] * 40
        for node in self.nodes:
            node.ring, node.epoch = encode(9, ports, states), 9
        self.assertGreater(len(self.nodes[0].ring), 2048)
        self.fill(20)
        self.assertEqual((self.client.epoch, self.client.moved), (9, 0))


if __name__ == "__main__":
    unittest.main()

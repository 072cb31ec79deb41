"""The client against a real cluster, whose nodes' addresses are in GANNET_CLUSTER (host:port,host:port,…)."""

import os
import random
import time
import unittest

import gannet
from gannet import checksum, jobs, wire
from gannet.link import Link, Moved
from gannet.ring import Ring
from gannet.wire import Opcode, Status

SERVERS = [
    (host.strip("[]"), int(port))
    for host, _, port in (server.rpartition(":") for server in os.environ.get("GANNET_CLUSTER", "").split(",") if server)
]
PATIENCE = 30  # seconds: a busy machine is slow, and that is not what is tested


@unittest.skipUnless(SERVERS, "no cluster: GANNET_CLUSTER is not set to its nodes' host:port,…")
class Cluster(unittest.TestCase):
    def setUp(self):
        self.client = self.connect(SERVERS[0])
        self.prefix = f"{self.id()}-{random.getrandbits(64):x}-"
        self.may_move = False

    def connect(self, server):
        client = gannet.Client(*server, timeout_seconds=PATIENCE)
        self.addCleanup(client.close)
        return client

    def keys(self, count):
        return [f"{self.prefix}{n}" for n in range(count)]

    def ring(self):
        self.client.ping()
        return self.client._cluster.ring

    def leaders(self, keys):
        ring = self.ring()
        return {key: ring.holders(checksum.key_hash(key.encode()))[0] for key in keys}

    def test_put_get_delete(self):
        keys = self.keys(200)
        self.assertEqual(len({member.id for member in self.leaders(keys).values()}), len(SERVERS))
        for key in keys:
            version = self.client.put(key, key.encode())
            self.assertEqual(self.client.get(key)[:2], (key.encode(), version))
        for key in keys:
            self.assertTrue(self.client.delete(key))
            self.assertIsNone(self.client.get(key))

    def test_get_many(self):
        random_bytes = random.Random(2).randbytes
        want = {key: random_bytes(n * 7 % 1500) for n, key in enumerate(self.keys(500))}
        for key, value in want.items():
            self.client.put(key, value)
        got = self.client.get_many([*want, *(self.prefix + f"not {n}" for n in range(50))])
        self.assertEqual({key: item.value for key, item in got.items()}, want)

    def test_long_values(self):
        for n, key in enumerate(self.keys(9)):
            value = random.Random(n).randbytes(10_000 * (n + 1))
            self.client.put(key, value)
            self.assertTrue(self.client.get(key).value == value)

    def test_any_server_will_do(self):
        (key,) = self.keys(1)
        self.client.put(key, b"v")
        for server in SERVERS:
            client = self.connect(server)
            self.assertEqual(client.get(key).value, b"v")
            self.assertEqual(client.moved, 0)
            self.assertEqual(client.epoch, self.client.epoch)

    def test_conditions_and_counters(self):
        for key in self.keys(20):
            self.client.put(key, b"10")
            self.assertEqual(self.client.incr(key, 5), 15)
            item = self.client.get(key)
            self.assertIsNotNone(self.client.cas(key, b"swapped", item.version))
            self.assertEqual(self.client.get(key).value, b"swapped")

    def test_only_the_leader_takes_a_write(self):
        """The nodes agree with our ring about each key."""
        keys = self.keys(30)
        links = {member.id: Link(member.host, member.port) for member in self.ring().members}
        deadline = time.monotonic() + PATIENCE
        for link in links.values():
            self.addCleanup(link.close)
            link.say_hello(deadline)
        for key, leader in self.leaders(keys).items():
            for member_id, link in links.items():
                put = jobs.Single(wire.Operation(Opcode.PUT, key.encode(), b"v"))
                try:
                    link.run([put], deadline)
                except Moved:
                    self.assertNotEqual(member_id, leader.id)
                else:
                    self.assertEqual((member_id, put.status), (leader.id, Status.OK))

    def test_outdated_ring(self):
        """Each key goes to a wrong node once; MOVED leads to the right one, and to the ring."""
        self.may_move = True
        keys = self.keys(30)
        for key in keys:
            self.client.put(key, b"v")
        right = self.ring()
        self.client.close()
        self.client.ping()
        wrong = Ring(right.epoch - 1, right.replicas, right.members)
        wrong._owners = [(owner + 1) % len(right.members) for owner in right._owners]
        self.client._cluster.ring = wrong
        for link in self.client._cluster.links():
            link.epoch, link.heard_epoch = wrong.epoch, 0
        self.assertTrue(self.client.delete(keys[0]))
        self.assertEqual((self.client.moved, self.client.epoch), (1, right.epoch))
        self.assertEqual(set(self.client.get_many(keys)), set(keys[1:]))
        self.assertEqual(self.client.moved, 1)

    def tearDown(self):
        if not self.may_move:
            self.assertEqual(self.client.moved, 0, "a node did not own what the ring says it does")
        wrong = {reason: n for reason, n in self.client.dropped.items() if reason not in ("unasked", "outdated")}
        self.assertEqual(wrong, {}, "a node sent what the document does not allow")


if __name__ == "__main__":
    unittest.main()

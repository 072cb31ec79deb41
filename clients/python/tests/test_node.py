"""The client against a real node, whose address is in GANNET_SERVER (host:port)."""

import os
import random
import unittest

import gannet

SERVER = os.environ.get("GANNET_SERVER", "")


@unittest.skipUnless(SERVER, "no node: GANNET_SERVER is not set to its host:port")
class Node(unittest.TestCase):
    def setUp(self):
        host, _, port = SERVER.rpartition(":")
        # A busy machine is slow, and that is not what is tested.
        self.client = gannet.Client(host.strip("[]"), int(port), timeout_seconds=30)
        self.addCleanup(self.client.close)
        self.prefix = f"{self.id()}-{random.getrandbits(64):x}-"

    def key(self, name):
        return self.prefix + name

    def max_value_bytes(self):
        """The longest that every node takes."""
        return min(link.limits().max_value_bytes for link in self.client._cluster.links() if link.hello)

    def assertRefused(self, call, *args):
        """The write's condition is not met. On a busy machine a repeat may hide that, once in a while."""
        while True:
            try:
                return self.assertIsNone(call(*args))
            except gannet.OutcomeUnknown:
                pass

    def test_put_get_delete(self):
        key = self.key("k")
        self.assertIsNone(self.client.get(key))
        version = self.client.put(key, b"hello")
        self.assertEqual(self.client.get(key)[:3], (b"hello", version, None))
        newer = self.client.put(key, b"")
        self.assertGreater(newer, version)
        self.assertEqual(self.client.get(key).value, b"")
        self.assertTrue(self.client.delete(key))
        self.assertFalse(self.client.delete(key))
        self.assertIsNone(self.client.get(key))

    def test_ttl_and_touch(self):
        key = self.key("k")
        self.assertFalse(self.client.touch(key, 60))
        self.client.put(key, b"v", ttl_seconds=1000, soft_ttl_seconds=500)
        item = self.client.get(key)
        self.assertTrue(900 <= item.ttl_seconds <= 1000, item)
        self.assertFalse(item.stale)
        self.assertTrue(self.client.touch(key, ttl_seconds=5000))
        touched = self.client.get(key)
        self.assertTrue(4900 <= touched.ttl_seconds <= 5000, touched)
        self.assertEqual(touched.version, item.version)
        self.assertTrue(self.client.touch(key))
        self.assertIsNone(self.client.get(key).ttl_seconds)

    def test_conditions(self):
        key = self.key("k")
        self.assertIsNone(self.client.replace(key, b"0"))
        self.assertRefused(self.client.cas, key, b"0", 1)
        added = self.client.add(key, b"1")
        self.assertRefused(self.client.add, key, b"2")
        self.assertEqual(self.client.get(key).value, b"1")
        replaced = self.client.replace(key, b"3")
        self.assertRefused(self.client.cas, key, b"4", added)
        swapped = self.client.cas(key, b"5", replaced)
        self.assertEqual(self.client.get(key)[:2], (b"5", swapped))

    def test_incr(self):
        key = self.key("k")
        self.assertIsNone(self.client.incr(key))
        self.client.put(key, b"10")
        self.assertEqual(self.client.incr(key), 11)
        self.assertEqual(self.client.incr(key, -15), -4)
        self.assertEqual(self.client.get(key).value, b"-4")
        self.client.put(key, b"no number")
        with self.assertRaises(gannet.StatusError) as caught:
            self.client.incr(key)
        self.assertEqual(caught.exception.status, gannet.Status.NOT_A_NUMBER)

    def test_large_values(self):
        key = self.key("k" * 150)
        random_bytes = random.Random(1).randbytes
        self.client.ping()
        for size in (1000, 1023, 1024, 1025, 1200, 1400, 1472, 2048, 50_001, self.max_value_bytes()):
            with self.subTest(size):
                value = random_bytes(size)
                version = self.client.put(key, value, ttl_seconds=1000)
                item = self.client.get(key)
                self.assertTrue(item.value == value and item.version == version)
                self.assertTrue(900 <= item.ttl_seconds <= 1000, item.ttl_seconds)

    def test_large_conditions(self):
        key, value = self.key("k"), bytes(5000)
        self.assertIsNone(self.client.replace(key, value))
        version = self.client.add(key, value)
        self.assertRefused(self.client.add, key, value)
        self.assertRefused(self.client.cas, key, b"x" * 5000, version + 1)
        self.assertGreater(self.client.cas(key, b"x" * 5000, version), version)
        self.assertEqual(self.client.get(key).value, b"x" * 5000)

    def test_too_large(self):
        self.client.ping()
        with self.assertRaises(gannet.StatusError) as caught:
            self.client.put(self.key("k"), bytes(self.max_value_bytes() + 1))
        self.assertEqual(caught.exception.status, gannet.Status.TOO_LARGE)

    def test_get_many(self):
        random_bytes = random.Random(2).randbytes
        want = {self.key(f"{n}"): random_bytes(n * 7 % 1500) for n in range(700)}
        want[self.key("large")] = random_bytes(50_000)
        for key, value in want.items():
            self.client.put(key, value)
        got = self.client.get_many([*want, *(self.key(f"not {n}") for n in range(50)), *want])
        self.assertEqual({key: item.value for key, item in got.items()}, want)
        self.assertEqual(self.client.get_many([]), {})

    def test_keys(self):
        for key in (b"\0", b"\xff" * 250, "schlüssel"):
            self.client.put(key, b"v")
            self.assertEqual(self.client.get(key).value, b"v")
            self.assertTrue(self.client.delete(key))

    def test_ping_and_stats(self):
        self.assertGreater(self.client.ping(), 0)
        self.assertIsInstance(self.client.stats(), dict)

    def tearDown(self):
        wrong = {reason: n for reason, n in self.client.dropped.items() if reason != "unasked"}
        self.assertEqual(wrong, {}, "the node sent what the document does not allow")


if __name__ == "__main__":
    unittest.main()

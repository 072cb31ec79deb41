"""The vectors of the protocol: both directions agree with them to the byte."""

import json
import pathlib
import unittest

from gannet import checksum, wire

VECTORS = pathlib.Path(__file__).resolve().parents[3] / "wire" / "testdata" / "vectors"


def load(name):
    with open(VECTORS / name, encoding="utf-8") as file:
        entries = json.load(file)
    assert entries, f"{name} is empty"
    return entries


def number(text):
    return int(text, 16)


def request_of(entry):
    return wire.Request(
        flags=entry["flags"],
        shard=entry["shard"],
        key_hash=number(entry["key_hash"]),
        request_id=number(entry["request_id"]),
        session_id=number(entry["session_id"]),
        epoch=entry["epoch"],
        budget_micros=entry["budget_us"],
        cookie=number(entry["cookie"]),
        min_version=number(entry["min_version"]),
        grant_offset_micros=entry["grant_offset_us"],
        grant_rate_kbits=entry["grant_rate_kbit"],
        expected_bytes=entry["expected_bytes"],
        fan_out=entry["fan_out"],
        reply_room_bytes=entry["max_reply_bytes"],
        extensions=[
            wire.Extension(e["type"], e["inline"], bytes.fromhex(e["data"])) for e in entry.get("extensions", [])
        ],
        ops=[
            wire.Operation(
                opcode=op["opcode"],
                flags=op["flags"],
                ttl_seconds=op["ttl_s"],
                soft_ttl_seconds=op["soft_ttl_s"],
                arg=number(op["arg"]),
                key=bytes.fromhex(op["key"]),
                value=bytes.fromhex(op["value"]),
                total_bytes=op.get("total_bytes", 0),
                offset_bytes=op.get("offset_bytes", 0),
                transfer=number(op.get("transfer", "0x0")),
            )
            for op in entry["ops"]
        ],
    )


def reply_of(entry):
    reply = wire.Reply(
        flags=entry["flags"],
        shard=entry["shard"],
        key_hash=number(entry["key_hash"]),
        request_id=number(entry["request_id"]),
        session_id=number(entry["session_id"]),
        epoch=entry["epoch"],
        load=entry["load"],
        rx_queue=entry["rx_queue"],
        answers=[
            wire.Answer(
                opcode=op["opcode"],
                status=op["status"],
                flags=op["flags"],
                version=number(op["version"]),
                ttl_seconds=op["ttl_s"],
                age_seconds=op["age_s"],
                crc32c=op["crc32c"],
                l1_grant_millis=op["l1_grant_ms"],
                index=op["index"],
                token=number(op["token"]),
                total_bytes=op["total_bytes"],
                offset_bytes=op["offset_bytes"],
                value=bytes.fromhex(op["value"]),
            )
            for op in entry["ops"]
        ],
    )
    if "stages" in entry:
        times = entry["stages"]
        reply.stages = wire.Stages(*(number(times[name]) for name in ("received_ns", "served_ns", "sent_ns")))
    return reply


class Vectors(unittest.TestCase):
    maxDiff = None

    def test_requests(self):
        for entry in load("requests.json"):
            with self.subTest(entry["name"]):
                datagram, request = bytes.fromhex(entry["datagram"]), request_of(entry)
                self.assertEqual(request.encode().hex(), datagram.hex())
                self.assertEqual(wire.Request.decode(datagram), request)

    def test_replies(self):
        for entry in load("replies.json"):
            with self.subTest(entry["name"]):
                datagram, reply = bytes.fromhex(entry["datagram"]), reply_of(entry)
                self.assertEqual(reply.encode().hex(), datagram.hex())
                decoded = wire.Reply.decode(datagram)
                self.assertEqual(decoded, reply)
                for answer in decoded.answers:
                    self.assertEqual(checksum.crc32c(answer.value), answer.crc32c)

    def test_malformed(self):
        decoders = {"request": wire.Request.decode, "reply": wire.Reply.decode}
        for entry in load("malformed.json"):
            with self.subTest(entry["name"], direction=entry["direction"]):
                with self.assertRaises(wire.Malformed) as caught:
                    decoders[entry["direction"]](bytes.fromhex(entry["datagram"]))
                self.assertEqual(caught.exception.reason, entry["reason"])

    def test_hashes(self):
        for entry in load("hashes.json"):
            with self.subTest(entry["key"]):
                key, hash64 = bytes.fromhex(entry["key"]), number(entry["key_hash"])
                self.assertEqual(checksum.key_hash(key), hash64)
                self.assertEqual(checksum.crc32c(key), entry["crc32c"])
                for shards, shard in entry["shard_of_shards"].items():
                    self.assertEqual(checksum.shard_of(hash64, int(shards)), shard)


if __name__ == "__main__":
    unittest.main()

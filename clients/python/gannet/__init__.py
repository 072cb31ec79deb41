"""A client of Gannet, a distributed in-memory cache. See README.md.

    with gannet.Client("127.0.0.1", 9800) as client:
        client.put("greeting", b"hello", ttl_seconds=60)
        item = client.get("greeting")

wire holds the datagrams, jobs what a caller wants done, link the way to the node,
client what a program calls.
"""

from .client import Client
from .errors import GannetError, OutcomeUnknown, StatusError, Timeout
from .jobs import Item
from .wire import Status

__all__ = ["Client", "GannetError", "Item", "OutcomeUnknown", "Status", "StatusError", "Timeout"]

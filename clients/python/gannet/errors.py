"""What can go wrong, beside arguments that are ValueError or TypeError."""

from __future__ import annotations

from . import wire

_ADVICE = {
    wire.Status.TOO_LARGE: "the value is longer than the node's longest",
    wire.Status.NO_MEMORY: "the node could make no room; try later",
    wire.Status.OVERLOADED: "the node is too busy; back off",
    wire.Status.BAD_REQUEST: "the node holds the request for malformed or impossible",
    wire.Status.NOT_A_NUMBER: "the value is no 64-bit number in decimal digits, or the sum is none",
    wire.Status.UNSUPPORTED: "the node does not know the operation",
    wire.Status.FENCED: "the node may not acknowledge writes at the moment; try later",
    wire.Status.FORBIDDEN: "not allowed to this client",
    wire.Status.MOVED: "another node owns the key, and this client knows only one",
    wire.Status.UNAVAILABLE: "the node's data plane is down; try later",
    wire.Status.BUSY_UPLOADS: "too many uploads at once; try later",
}


class GannetError(Exception):
    """Every error of this package."""


class Timeout(GannetError, TimeoutError):
    """No answer in time. A write may have been done nevertheless."""


class OutcomeUnknown(GannetError):
    """A repeated write may or may not have been done: read to find out."""


class StatusError(GannetError):
    """The node answered with a status other than those the operation has a result for."""

    def __init__(self, status: int) -> None:
        self.status = wire.Status(status)
        advice = _ADVICE.get(self.status, "not expected as an answer to this operation")
        super().__init__(f"{self.status.name}: {advice}")


def of_status(status: int) -> GannetError:
    """The error that a status is when it is not a result."""
    if status == wire.Status.TOO_LATE:
        return Timeout("TOO_LATE: the time was over before the node began")
    if status == wire.Status.OUTCOME_UNKNOWN:
        return OutcomeUnknown("OUTCOME_UNKNOWN: the node no longer remembers the first attempt")
    return StatusError(status)

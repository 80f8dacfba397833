"""The lane: a short way for calls and answers with plain values, from bytes to bytes.

Theory of operation. Most messages of ``msgpack/1`` are calls with plain values, and their answers.
A lane takes their frames from the received bytes, calls the methods, and encodes the answers,
without a record for each message. It refuses nothing. The first frame that it does not take, and
all frames behind it, go to the inbox, as if there were no lane. So each check has one place, and
each error one text.

A lane takes frames only while nothing waits in the inbox. Code that begins to wait for something
closes the lane, which then stops behind its current frame. A session has no lane while its
messages are traced, it drains, or a login is missing, and never in the dialects of PB.

`broker.connection.lane` has the lane in Python; ``broker._lane`` has the same in C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from broker.core.wire.msgpack.reader import FrameReader

__all__ = ["Lane"]


class Lane(Protocol):
    """The lane of one session, as the inbox uses it.

    Attributes:
        reader: has the received bytes.
        is_open: whether it may take a further frame. The inbox opens and closes it.
        position: where the first frame begins that it has not taken.
        handled: number of frames that the last :meth:`run` has taken.
        has_more: whether it has stopped in front of a complete frame because it had taken enough,
            or because too many bytes are unsent.
    """

    reader: FrameReader
    is_open: bool
    position: int
    handled: int
    has_more: bool

    def run(self, data: bytes, start: int, most: int, /) -> None:
        """Handle at most ``most`` frames of ``data`` from ``start``; all if it is negative.

        Raises:
            KeyboardInterrupt, SystemExit: a method or a task has raised it. `position` is behind
                its frame.
        """

    def count(self) -> None:
        """Add to the counters of the session what the lane has counted since the last time."""

    def retire(self) -> None:
        """Make no more calls: the session uses this lane no longer."""

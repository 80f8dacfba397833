"""The times at which received bytes arrived, from which the deadlines of calls count."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from broker.core.queued import Queued, is_call

__all__ = ["Arrivals", "note_due"]


class Arrivals:
    """The times of the bytes that are not decoded yet."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        # The end of each piece, as an offset in all bytes received, and its time.
        self._pieces: deque[tuple[int, float]] = deque()

    def add(self, end: int, time: float) -> None:
        """Add a piece: the number of all bytes received, and its time."""
        self._pieces.append((end, time))

    def are_all(self, time: float) -> bool:
        """Return whether all bytes came at this time, as usually."""
        return all(came == time for _, came in islice(self._pieces, 2))

    def note_due(self, messages: Iterable[Queued], ends: Sequence[int], end: int) -> None:
        """Set the deadlines of decoded calls, from the times of their last bytes.

        Args:
            messages: the calls, and other messages.
            ends: the end of each, from any start.
            end: the last of them, as an offset in all bytes received.
        """
        pieces, shift = self._pieces, end - ends[-1]
        for each, message in zip(ends, messages, strict=False):
            while len(pieces) > 1 and pieces[0][0] < each + shift:
                pieces.popleft()
            note_due(message, pieces[0][1])


def note_due(message: Queued, arrived: float) -> None:
    """Replace the milliseconds of a call's deadline by a time, counted from ``arrived``."""
    if is_call(message) and type(message.deadline) is int:
        # A record on the wire has milliseconds; here it gets seconds, a float.
        message.deadline = arrived + message.deadline / 1000  # type: ignore[assignment]

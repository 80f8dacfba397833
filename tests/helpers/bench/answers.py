"""The methods that every side's server has, and the events that it sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

__all__ = ["PIECE", "TEXT", "Answers", "Listener", "Pages", "PerspectiveBrokerAnswers"]

TEXT = "the price of hay has risen"
"""What each event says, after its number."""

PIECE = bytes(range(256)) * 256
"""A piece of the streams of bytes: 65,536 bytes."""


class Answers:
    """What a server answers; a library with names of its own gives these to them."""

    def echo(self, value: object) -> object:
        """Return what came."""
        return value

    def length(self, numbers: list[int] | bytes) -> int:
        """Return how many there are."""
        return len(numbers)

    async def integers(self, count: int) -> AsyncIterator[int]:
        """Return a stream of so many ints."""
        for number in range(count):
            yield number

    async def pieces(self, count: int) -> AsyncIterator[bytes]:
        """Return a stream of so many pieces of 65,536 bytes."""
        for _ in range(count):
            yield PIECE


class PerspectiveBrokerAnswers(Answers):
    """The same, as a Root has them."""

    remote_echo = Answers.echo
    remote_length = Answers.length


class Pages:
    """Takes the pages of a Pager, and counts their bytes."""

    def __init__(self) -> None:
        self._bytes = 0

    def remote_gotPage(self, page: bytes) -> None:
        """Count a page."""
        self._bytes += len(page)

    def remote_endedPaging(self) -> None:
        """Do nothing: who sends the pages asks for their bytes after the last."""

    def taken(self) -> int:
        """Return how many bytes there were since the last time."""
        taken, self._bytes = self._bytes, 0
        return taken


class Listener:
    """Hears events.

    Args:
        hear: called with each, its number and its text.
    """

    def __init__(self, hear: Callable[[int, str], object]):
        self._hear = hear

    def remote_event(self, number: int, text: str) -> None:
        """Hear one."""
        self._hear(number, text)

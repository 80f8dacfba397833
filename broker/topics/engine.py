"""The interface of an engine of topics, and the records that it takes and gives.

Theory of operation. An engine numbers the messages of all topics in one count, and delivers each
to each node once, in the order of the numbers. If it cannot, it calls ``gap``. A message has an id,
so that an engine recognises one that it is given again after a lost connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from broker.history import Position

__all__ = ["Engine", "Entry", "Lease", "Outgoing", "Page"]


class Outgoing(Struct, frozen=True):
    """A message to publish.

    Attributes:
        topic: its name.
        data: the encoded value.
        keep: whether it is the retained value of the topic from now on.
        is_removal: whether it removes the retained value; with ``keep`` only.
        by: the avatar id of the publisher, or None.
        id: a text that no other message has.
    """

    topic: str
    data: bytes
    keep: bool
    is_removal: bool
    by: str | None
    id: str


class Entry(Struct, frozen=True):
    """A message as an engine delivers and keeps it.

    Attributes:
        topic, data, by: as they were published.
        position: where it is in the count; None without positions.
    """

    topic: str
    data: bytes
    by: str | None
    position: Position | None


class Page(Struct):
    """Entries that an engine has kept.

    Attributes:
        entries: in the order of their positions.
        position: every message up to here was looked at; None without positions.
    """

    entries: list[Entry]
    position: Position | None


class Lease(Struct, frozen=True):
    """A member, or the guests of a node, who are present until some seconds have passed.

    Attributes:
        topic: the pattern that is subscribed to.
        member: an avatar id; or, for the guests of a node, a NUL and the name of the node.
        count: how many; 1 for a member.
    """

    topic: str
    member: str
    count: int = 1


class Engine(Protocol):
    """Carries messages between the nodes, keeps them, and knows who is present.

    Attributes:
        capabilities: some of ``"history"`` (so that there are positions), ``"retained"``,
            ``"presence"`` and ``"immediate"`` (``publish`` returns positions, not an awaitable).
        is_up: whether it can be reached now.
    """

    @property
    def capabilities(self) -> frozenset[str]: ...  # noqa: D102 - above

    @property
    def is_up(self) -> bool: ...  # noqa: D102 - above

    def start(self, deliver: Callable[[Entry], None], gap: Callable[[], None]) -> None:
        """Begin, in the running loop.

        Args:
            deliver: is called in the loop with each message of each node, also of this one.
            gap: is called in the loop when messages may have been lost, or the count began anew.
        """
        ...

    async def ready(self) -> None:
        """Wait until messages that are published from now on will be delivered."""
        ...

    def publish(
        self, messages: list[Outgoing]
    ) -> list[Position | None] | Awaitable[list[Position | None]]:
        """Publish messages in their order; return the position of each.

        An awaitable that fails has published some of them or none; it is called again with the
        same messages, and publishes none twice.
        """
        ...

    async def replay(self, pattern: str, since: Position | None) -> Page | None:
        """Return the messages after a position, or all; None if one of them is gone."""
        ...

    async def retained(self, pattern: str) -> Page:
        """Return the retained values of the topics that a pattern matches."""
        ...

    async def present(self, leases: list[Lease], seconds: float) -> None:
        """Note or renew leases, which end after some seconds."""
        ...

    async def members(self, pattern: str) -> list[Lease]:
        """Return the leases whose patterns overlap with a pattern."""
        ...

    async def close(self) -> None:
        """End all that was started, and wait for it."""
        ...

"""The contract of topics, between a client and the view that a server gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from broker.flavors.subscription import Slow
from broker.history import Position
from broker.topics.items import Joined, Left, Members, Message, Reset, Since

__all__ = ["Listener", "TopicsContract"]


class Listener(Protocol):
    """An object of the client that is told of messages, for programs with callbacks."""

    def message(self, topic: str, data: Any, position: Position | None, by: str | None) -> None:
        """Take a message; the arguments are those of a `Message`."""

    def missed(self, number: int) -> None:
        """Note how many messages were lost before the next one."""

    def reset(self) -> None:
        """Note that messages may have been lost."""


class TopicsContract(Protocol):
    """The topics of a server, as one user may use them."""

    def subscribe(
        self,
        pattern: str,
        *,
        since: Position | Since | None = None,
        slow: Slow = Slow.DISCONNECT,
        most: int = 1000,
    ) -> AsyncIterator[Message | Reset]:
        """Return the messages of the topics that a pattern matches, as a stream.

        Args:
            pattern: a topic, or a pattern with ``*`` and ``>``.
            since: a position, to get the messages after it first; ``Since.RETAINED`` or
                ``Since.ALL``; or None for the messages that come.
            slow: what happens to messages beyond ``most``. ``Slow.DISCONNECT`` ends the stream with
                TooSlow.
            most: how many messages may wait for the reader, 1 to 10,000.

        Raises:
            Unauthorized: no grant covers the pattern.
            WrongArguments: it is not a pattern, or ``most`` is out of range.
            ServerBusy: too many subscriptions or patterns.
            ConfigError: the engine keeps no history, or no retained values.
        """

    async def subscribe_reference(
        self, pattern: str, listener: Listener, *, slow: Slow = Slow.DISCONNECT, most: int = 1000
    ) -> int:
        """Call a listener one way for each message; return a number for ``unsubscribe``.

        ``Slow.DISCONNECT`` ends the connection.
        """

    async def unsubscribe(self, number: int) -> None:
        """End a subscription of ``subscribe_reference``; no effect for another number."""

    async def publish(self, topic: str, data: Any, *, keep: bool = False) -> Position | None:
        """Publish a value; return its position once the engine has it.

        Args:
            topic: a topic, not a pattern.
            data: a plain value, bytes, a date, a Decimal, or a container of these.
            keep: make it the retained value of the topic; None removes that.

        Raises:
            Unauthorized: no grant covers the topic.
            WrongArguments: it is not a topic.
            TooLarge: the value has too many bytes.
            ServerBusy: too many messages wait for the engine.
        """

    async def members(self, topic: str) -> Members:
        """Return who subscribes to a topic, also by patterns.

        Raises:
            Unauthorized: no presence grant covers the topic.
        """

    def presence(self, pattern: str) -> AsyncIterator[Joined | Left]:
        """Return who subscribes to patterns that overlap with this one: first all, then changes.

        Raises:
            Unauthorized: no presence grant covers the whole pattern.
        """

"""The messages that wait for one subscriber, and the fate of those that are too many.

Theory of operation. The messages of a subscription are numbered. If a number is missing among the
messages that its reader takes, that message was lost; so each message tells how many were lost
right before it. A mailbox that begins with old messages, or that may have a gap, is *held*: its
reader first fetches what the engine keeps, and messages that come in the meantime are set aside.
Of these, and of later ones, those that the fetched page has covered are left out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

from broker.errors import TooSlow
from broker.flavors.subscription import Delivery, Slow
from broker.history import Position
from broker.topics.items import Message, Reset, Since

__all__ = ["LOST", "Fetch", "Fetched", "Mailbox", "Start"]

LOST = object()
"""In place of a position: something may have been lost."""

Start: TypeAlias = object
"""What a mailbox begins with: a Position, a Since, LOST; or None for nothing old."""

Fetched: TypeAlias = tuple[list[Message | Reset], Position | None]
Fetch: TypeAlias = Callable[[str, Start], Awaitable[Fetched]]

# Messages that are set aside while a mailbox is held.
_MOST_HELD = 10_000


class Mailbox(AsyncIterator[Message | Reset]):
    """One subscription: an async iterator of its items, for one reader.

    Args:
        pattern: what is subscribed to.
        since: what to begin with; None for the messages that come.
        slow: what happens to messages beyond ``most``.
        most: how many messages may wait; no effect with ``Slow.CONFLATE``.
        fetch: ``await fetch(pattern, since)`` returns items that the engine keeps, and the position
            that they reach.
        ended: is called once when the subscription ends.

    Attributes:
        pattern: the argument.
    """

    def __init__(
        self,
        pattern: str,
        since: Position | Since | None,
        slow: Slow,
        most: int,
        fetch: Fetch,
        ended: Callable[[Mailbox], None],
    ):
        self.pattern = pattern
        self._start: Start = since
        self._slow = slow
        self._most = most
        self._fetch = fetch
        self._ended = ended
        self._counts = Delivery()
        self._head: deque[Message | Reset] = deque()
        # In the order of the numbers: in the dict if messages are conflated, else in the deque.
        self._waiting: deque[tuple[int, Message]] = deque()
        self._by_topic: dict[str, tuple[int, Message]] = {}
        # The number of the newest message, and of the last one that was taken.
        self._number = 0
        self._last = 0
        self._held: list[Message] = []
        self._is_flooded = False
        self._floor: Position | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._is_over = False

    def delivery(self) -> Delivery:
        """Return the counts: what the reader took, what was lost, and what waits."""
        counts = self._counts
        return Delivery(counts.sent, counts.dropped, counts.conflated, self._size)

    @property
    def _size(self) -> int:
        return len(self._waiting) + len(self._by_topic)

    def push(self, message: Message) -> None:
        """Take a message that has been published."""
        if self._is_over:
            return
        if self._start is not None:
            if len(self._held) < _MOST_HELD:
                self._held.append(message)
            else:
                self._is_flooded = True
            return
        if not self._is_covered(message):
            self._add(message)
            self._wake()

    def lose(self, number: int) -> None:
        """Note that messages of this subscription were lost before they came here."""
        self._number += number
        self._counts.dropped += number

    def reset(self) -> None:
        """Note that messages may have been lost: the reader gets a Reset next."""
        if self._is_over:
            return
        self._start = LOST
        self._forget_waiting()
        self._head.clear()
        self._last = self._number
        self._wake()

    def fail(self, error: BaseException | None) -> None:
        """End; the reader gets the error, or the end, in place of what waits."""
        if not self._is_over:
            self._is_over = True
            self._error = error
            self._forget_waiting()
            self._head.clear()
            self._wake()
            self._ended(self)

    async def aclose(self) -> None:
        """End the subscription; no effect after its end."""
        self.fail(None)

    async def __anext__(self) -> Message | Reset:
        """Return the next item.

        Raises:
            StopAsyncIteration: the subscription has ended.
            TooSlow: too many messages waited, by ``Slow.DISCONNECT``.
        """
        while True:
            if self._is_over:
                error, self._error = self._error, None
                raise error or StopAsyncIteration
            if self._start is not None:
                await self._refill()
            elif self._head:
                return self._head.popleft()
            elif self._size:
                return self._take()
            else:
                await self._changed()

    def _is_covered(self, message: Message) -> bool:
        """Return whether what was fetched has this message, or comes after it."""
        floor, position = self._floor, message.position
        if floor is None or position is None:
            return False
        # A message of another epoch is older: a new epoch begins with a reset.
        return position.epoch != floor.epoch or position.offset <= floor.offset

    def _add(self, message: Message) -> None:
        self._number += 1
        numbered = self._number, message
        if self._slow is Slow.CONFLATE:
            if self._by_topic.pop(message.topic, None) is not None:
                self._counts.conflated += 1
            self._by_topic[message.topic] = numbered
        elif len(self._waiting) < self._most:
            self._waiting.append(numbered)
        elif self._slow is Slow.DISCONNECT:
            self.fail(
                TooSlow(f"slow subscriber: {self._most} messages waiting for '{self.pattern}'")
            )
        else:
            self._counts.dropped += 1
            if self._slow is Slow.DROP_OLDEST:
                self._waiting.popleft()
                self._waiting.append(numbered)

    def _take(self) -> Message:
        if self._waiting:
            number, message = self._waiting.popleft()
        else:
            number, message = self._by_topic.pop(next(iter(self._by_topic)))
        missed, self._last = number - self._last - 1, number
        self._counts.sent += 1
        if missed:
            # The message is shared with other subscribers.
            message = Message(message.topic, message.data, message.position, message.by, missed)
        return message

    def _forget_waiting(self) -> None:
        self._counts.dropped += self._size
        self._waiting.clear()
        self._by_topic.clear()
        self._held.clear()
        self._is_flooded = False

    async def _refill(self) -> None:
        """Fetch what the engine keeps; then let in what came in the meantime."""
        start = self._start
        items, reached = await self._fetch(self.pattern, start)
        if self._is_over or self._start is not start:
            return
        held, self._held = self._held, []
        if self._is_flooded:
            self.reset()
            return
        self._start = None
        self._floor = reached
        self._head.extend(items)
        for message in held:
            self.push(message)

    async def _changed(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("this subscription is being read")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

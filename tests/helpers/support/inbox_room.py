"""An inbox whose messages are single bytes, and what it has handled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from broker.core.inbox import Inbox
from broker.core.policy import STRICT, Policy
from broker.core.stats import Stats
from broker.core.wire import messages
from jelly.errors import ProtocolError

__all__ = ["AT_ONCE", "A_CALL", "IN_ORDER", "KINDS", "POLICY", "Outbox", "Room"]

POLICY = STRICT.but(high_water=100, max_backlog=50)

KINDS: dict[str, Callable[[int], Any]] = {
    "call": lambda n: messages.PlainCall(n, 1, "m", (), {}),
    "send": lambda n: messages.PlainSend(n, 1, "m", (), {}),
    "cache": lambda n: messages.PlainCallToCache(n, 1, "m", (), {}),
    "sendcache": lambda n: messages.PlainSendToCache(n, 1, "m", (), {}),
    "graph": lambda n: messages.GraphCall(n, 1, "m", True, [], []),
    "graphcache": lambda n: messages.GraphCallToCache(n, 1, "m", True, [], []),
    "async": lambda n: messages.PlainCall(n, 2, "m", (), {}),
    "answer": lambda n: messages.PlainAnswer(n, 1),
    "error": lambda n: messages.GraphError(n, []),
    "decref": messages.Decref,
    "decache": messages.Decache,
    "uncache": messages.Uncache,
    "ping": messages.Ping,
    "cancel": messages.Cancel,
    "items": lambda n: messages.Items(STREAM, bytes([n])),
    "end": lambda n: messages.End(STREAM, [n]),
}
STREAM = 7
"""The number of the stream of all items."""
A_CALL = ("call", "send", "cache", "sendcache", "graph", "graphcache", "async")
IN_ORDER = (*A_CALL, "decref", "decache", "uncache", "cancel")
AT_ONCE = ("answer", "error", "ping")
OF_A_STREAM = ("items", "end")


class Outbox:
    """How much is due."""

    is_cleared = False

    def __init__(self) -> None:
        self.unsent = SimpleNamespace(size=0)

    def clear(self) -> None:
        """Note it."""
        self.is_cleared = True


class Room:
    """An inbox, and what became of what it was given.

    Its bytes are the numbers of messages that a test has laid ready; 255 is none.
    """

    def __init__(self, *kinds: str, policy: Policy = POLICY) -> None:
        self.outbox: Any = Outbox()
        self.unread = bytearray()
        self.ready = [KINDS[kind](number) for number, kind in enumerate(kinds)]
        self.handled: list[int] = []
        self.on: dict[int, Callable[[], object]] = {}
        handlers = {type(make(0)): Room.handle for make in KINDS.values()}
        self.stats = Stats()
        self.running: set[int] = set()
        self.open_streams: set[int] = set()
        self.works: list[int] = []
        self.inbox = Inbox(
            self,
            handlers,
            self.read,
            self,
            self.running,
            self,
            self.outbox,
            policy,
            self.stats,
        )
        self.inbox.receive(bytes(range(len(kinds))))

    def read(self, data: bytes, inbox: deque[Any], most: int) -> bool:
        """Append what the bytes number, so many at most; return whether there is more."""
        self.unread += data
        while self.unread and most:
            number = self.unread.pop(0)
            if number == 255:
                raise ProtocolError("no message")
            inbox.append(self.ready[number])
            most -= 1
        return bool(self.unread)

    def handle(self, message: Any) -> None:
        """Note the message, and do what the test wants."""
        number = self.ready.index(message)
        self.handled.append(number)
        self.on.get(number, lambda: None)()

    def worked(self) -> None:
        """Note that work is done."""
        self.works.append(len(self.handled))

    def is_stream_open(self, number: int) -> bool:
        """Return whether a test has opened a stream."""
        return number in self.open_streams

    @staticmethod
    def begins_at_once(message: Any) -> bool:
        """Only the methods of object 2 run as tasks."""
        return bool(message.object_id != 2)

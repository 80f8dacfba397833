"""An attacker's tools: bytes in any dialect that no correct writer would send, and a victim.

A victim is a server's real Broker over a transport in memory, with a clock that stands still. A
test sees all that it sends, does and logs; its only cost is processor time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from support.effort import seconds
from support.memory import FakeTransport, ManualScheduler

import broker
import cred
from broker import pb
from broker.connection.broker import Broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.core.wire import messages
from broker.core.wire.dialects import DIALECTS, MSGPACK, NONE, Dialect
from broker.errors import ConnectionAborted
from broker.failure import Failure
from broker.login.server import root_of
from jelly.codec import Reader
from jelly.limits import Limits
from jelly.registry import defaults
from jelly.vocabulary import NONE_VOCABULARY

__all__ = [
    "BOTH",
    "NOTHING",
    "NO_LIMITS",
    "POLICIES",
    "Speaker",
    "Target",
    "Victim",
    "binds",
    "cost",
    "flat",
    "let_in",
    "portal",
    "taming",
]

POLICIES: dict[str, Policy] = {"strict": STRICT, "published": PUBLISHED}
BOTH = ("pb", "msgpack/1")
"""The dialects that have their own rules; ``none`` is ``pb`` without its vocabulary."""

NOTHING: list[Any] = [b"dictionary"]
"""No keywords."""

T = TypeVar("T")
_RECORDS: dict[bytes, Callable[..., messages.Record]] = {
    b"version": messages.Version,
    b"message": messages.GraphCall,
    b"cachemessage": messages.GraphCallToCache,
    b"answer": messages.GraphAnswer,
    b"error": messages.GraphError,
    b"decref": messages.Decref,
    b"decache": messages.Decache,
    b"uncache": messages.Uncache,
    b"cancel": messages.Cancel,
    b"ping": messages.Ping,
    b"pong": messages.Pong,
    b"goodbye": messages.Goodbye,
    b"credit": messages.Credit,
    b"items": messages.Items,
    b"itemgraph": messages.ItemGraph,
    b"piece": messages.Piece,
    b"end": messages.End,
    b"stop": messages.Stop,
}
_DIALECTS = {dialect.name.decode(): dialect for dialect in DIALECTS}
NO_LIMITS = Limits(
    max_prefix=1 << 20,
    max_string=1 << 40,
    max_list=1 << 40,
    max_depth=1 << 30,
    max_expression=1 << 40,
    max_nodes=1 << 40,
)


def binds(
    *rows: str, policies: tuple[str, ...] = tuple(POLICIES), dialects: tuple[str, ...] = BOTH
) -> Callable[[T], T]:
    """Mark a test as the test of catalogue rows, and run it for each policy and dialect.

    The test takes ``policy`` and ``dialect``, or neither if both are empty.
    """

    def mark(test: Any) -> Any:
        for row in rows:
            test = pytest.mark.row(row)(test)
        if policies:
            test = pytest.mark.parametrize("policy", policies)(test)
        if dialects:
            test = pytest.mark.parametrize("dialect", dialects)(test)
        return test

    return mark


def _sendable(value: Any) -> Any:
    """Return an int that no frame can have as the expression that a graph would have."""
    if type(value) is int and not -(1 << 63) <= value < 1 << 64:
        return [b"int", b"%d" % value]
    return value


class Speaker:
    """Writes messages that a peer could send, well formed or not, in one dialect.

    Attributes:
        name: the name of the dialect.
        dialect: its record.
    """

    def __init__(self, name: str):
        self.name = name
        self.dialect: Dialect = _DIALECTS[name]
        self._writer = self.dialect.writer(NO_LIMITS)

    @property
    def greeting(self) -> bytes:
        """The choice of the dialect, and the version."""
        chosen = NONE.writer(NO_LIMITS).write_expression(self.dialect.name)
        return chosen + self.message(b"version", 6)

    def message(self, *fields: Any) -> bytes:
        """One message of a command and its fields, which may be of any type."""
        if self.dialect is not MSGPACK:
            return self._writer.write_expression(list(fields))
        command, *values = fields
        if command in (b"message", b"cachemessage"):
            values[2] = values[2].decode("utf-8")
        return self._writer.write(_RECORDS[command](*map(_sendable, values)))

    @property
    def harmless(self) -> bytes:
        """A small message that changes nothing; in PB only an open session takes it."""
        if self.dialect is MSGPACK:
            return self.message(b"cancel", 0)
        return self.message(b"didNotUnderstand", b"x")

    def call(
        self,
        *values: Any,
        name: bytes = b"echo",
        target: Any = b"root",
        number: int = 1,
        kw: Any = NOTHING,
        answer: int = 1,
    ) -> bytes:
        """A call with the expressions of its arguments."""
        return self.message(b"message", number, target, name, answer, [b"tuple", *values], kw)

    def read(self, data: bytes) -> list[Any]:
        """Return a server's messages in this dialect, with expressions."""
        offer = Reader(NO_LIMITS, NONE_VOCABULARY)
        offer.feed(data)
        offer.read(1)
        messages: list[Any] = []
        self.dialect.reader(NO_LIMITS, True).receive(offer.take_rest(), messages)
        return messages


class Target(broker.Root):
    """The object that attacks call."""

    def remote_echo(self, value: Any) -> Any:
        """Return the value."""
        return value

    def remote_keep(self, value: Any) -> None:
        """Keep the value."""
        self.kept = value

    def remote_pair(self, first: Any, second: Any) -> None:
        """Take two values."""


def portal() -> cred.Portal:
    """A portal for alice and for guests."""
    return cred.Portal(
        broker.realm(lambda avatar_id, mind: broker.Avatar()),
        [
            cred.InMemoryUsernamePasswordDatabaseDontUse(alice="secret"),
            cred.AllowAnonymousAccess(),
        ],
    )


class StuckTransport(FakeTransport):
    """A transport whose peer reads nothing: all written bytes stay unsent."""

    def write(self, data: bytes) -> None:
        """Keep the bytes."""
        super().write(data)
        self.unsent += len(data)


class Victim:
    """A server's end of one connection, in memory.

    Args:
        dialect: the attacker's dialect.
        policy: ``"strict"`` or ``"published"``, or a Policy.
        target: the served object; default: a Target.
        reads: whether the attacker reads.
        scheduler: turns and time; default: those of a ManualScheduler.
    """

    def __init__(
        self,
        dialect: str,
        policy: str | Policy = "strict",
        target: Any = None,
        *,
        reads: bool = True,
        scheduler: ManualScheduler | None = None,
    ):
        self.speaker = Speaker(dialect)
        self.scheduler = scheduler or ManualScheduler()
        chosen = POLICIES[policy] if isinstance(policy, str) else policy
        self.broker = Broker(False, policy=chosen)
        kind = FakeTransport if reads else StuckTransport
        self.transport = kind(self.scheduler, "PEER")
        root = root_of(Target() if target is None else target)
        self.broker.setNameForLocal(b"root", root.rootObject(self.broker))
        self.broker.makeConnection(self.transport)
        self.hear(self.speaker.greeting)

    def wait(self, seconds: float) -> None:
        """Advance the time; stop if the connection has ended."""
        self.scheduler.advance(seconds)
        self.hear(b"")

    def hear(self, data: bytes, chunk: int | None = None) -> None:
        """Receive bytes, in pieces or at once, and handle them to the end."""
        if chunk is None:
            if data:
                self.broker.dataReceived(data)
        else:
            for begin in range(0, len(data), chunk):
                self.broker.dataReceived(data[begin : begin + chunk])
        self.scheduler.run()
        if self.transport.is_aborted and not self.broker.disconnected:
            self.broker.connectionLost(Failure(ConnectionAborted()))

    @property
    def is_dead(self) -> bool:
        """Whether it has ended the connection."""
        return self.transport.is_aborted

    @property
    def said(self) -> bytes:
        """All bytes that it has sent."""
        return b"".join(self.transport.writes)

    def end(self) -> None:
        """Cut the connection from outside."""
        if not self.broker.disconnected:
            self.broker.connectionLost(Failure(ConnectionAborted()))


def cost(
    action: Callable[[Any], object],
    prepare: Callable[[], Any],
    tries: int = 3,
    enough: float = 0.0,
) -> float:
    """Return the least processor seconds, as on an idle machine, that an action has taken.

    See :func:`effort.seconds`. No further try is made after a result of at most ``enough``.
    """
    return seconds(action, prepare, enough, tries)


@contextmanager
def let_in(
    name: str, declared: type | None = None, published: type | None = None
) -> Iterator[None]:
    """Register classes under a tag: one with its fields, one as published programs do."""
    tag = name.encode()
    if declared is not None:
        broker.register(declared, name)
    if published is not None:
        pb.setUnjellyableForClass(name, published)
    try:
        yield
    finally:
        defaults.declared.classes.pop(tag, None)
        defaults.declared.errors.pop(name, None)
        defaults.published.classes.pop(tag, None)


@contextmanager
def taming(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Yield a list that afterwards holds the logged lines: short ones without tracebacks."""
    lines: list[str] = []
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        yield lines
        for record in caplog.records:
            line = record.getMessage()
            assert record.exc_info is None, "a traceback"
            assert len(line.encode()) <= 400
            assert line.isprintable()
            lines.append(line)
        caplog.clear()


def flat(expression: object) -> bytes:
    """All bytes in an expression, joined."""
    if isinstance(expression, list):
        return b" ".join(map(flat, expression))
    return expression if isinstance(expression, bytes) else b""

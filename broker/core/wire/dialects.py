"""Dialects: what two peers agree to speak, each one record, chosen once when they shake hands.

Nothing else in the house asks which one it is: it does what the record says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, MutableSequence
from functools import lru_cache, partial
from typing import Any, Protocol

from msgspec import Struct

from broker.core.wire.banana import BananaReader, BananaWriter
from broker.core.wire.broadcast import Broadcast
from broker.core.wire.messages import Message, ObjectId
from broker.core.wire.msgpack.reader import DEEPEST, FrameReader
from broker.core.wire.msgpack.writer import FrameWriter
from broker.errors import ConfigError
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

__all__ = [
    "DIALECTS",
    "EXPRESSION_DIALECTS",
    "MSGPACK",
    "NONE",
    "PB",
    "Dialect",
    "MessageReader",
    "MessageWriter",
    "check_names",
    "spoken",
]


class MessageReader(Protocol):
    """Bytes in pieces of any size to messages."""

    def set_limits(self, limits: Limits, /) -> None:
        """Apply other limits to what follows."""
        ...

    @property
    def pending(self) -> int:
        """Bytes that have come and are of no message that was read."""
        ...

    @property
    def held(self) -> int:
        """Bytes of memory that what is pending takes, about."""
        ...

    def forget(self) -> None:
        """Let go of the bytes that have come and are of no message that was read."""
        ...

    def receive(self, data: bytes, inbox: MutableSequence[Message], most: int, /) -> bool:
        """Take in bytes, and append the messages that they complete to ``inbox``.

        Args:
            data: what comes next; nothing, to go on with what came before.
            inbox: where they go.
            most: so many messages at most, unless it is negative.

        Returns:
            Whether there may be more in what has come.

        Raises:
            ProtocolError: what comes is no message, or too large; those before it are in the inbox.
            RuntimeError: it has raised ProtocolError before.
        """
        ...


class MessageWriter(Protocol):
    """Messages to bytes, which have no effect where they raise EncodeError."""

    def call(
        self,
        number: int,
        request_id: int,
        object_id: ObjectId,
        name: str,
        args: tuple[Any, ...],
        kw: dict[str, Any],
        deadline: int | None,
        /,
    ) -> bytes | None:
        """Return the bytes of a call of simple values, or None where those need a jellier."""
        ...

    def notice(self, object_id: ObjectId, notice: Broadcast, number: int = 2, /) -> bytes | None:
        """Return the bytes of a call that goes to many, or None where its values need a jellier.

        ``number`` is that of the command: 2 for a call of an object, 4 for one of a cache.
        """
        ...

    def answer(self, request_id: int, value: Any, /) -> bytes | None:
        """Return the bytes of an answer of a simple value, or None where that needs a jellier."""
        ...

    def encode(self, message: Any, /) -> bytes:
        """Return the bytes of any message, as a list of its command and its fields."""
        ...

    def walk(self, message: Any, consumes: bool, /) -> Iterator[Any]:
        """Do as ``encode``, as a walk of ``jelly.slices`` that may empty the message's lists."""
        ...


class Dialect(Struct, frozen=True):
    """One dialect.

    Attributes:
        name: what the peers call it in the handshake.
        reader: makes the reader of one connection: ``reader(limits, keeps_expressions)``.
        writer: returns a writer, which connections share: ``writer(limits)``.
        commands: what it can say that PB cannot.
        deepest: it is offered and taken where ``Limits.max_depth`` is no more than this.
        has_twisted_errors: what one end says of a call has the type that Twisted sends of it.
    """

    name: bytes
    reader: Callable[..., MessageReader]
    writer: Callable[[Limits], MessageWriter]
    commands: frozenset[bytes] = frozenset()
    deepest: int = sys.maxsize
    has_twisted_errors: bool = False


# A writer keeps nothing of what it wrote: connections under the same limits share one. A program
# has few limits.
_MOST_LIMITS = 16

MSGPACK = Dialect(
    b"msgpack/1",
    FrameReader,
    lru_cache(_MOST_LIMITS)(FrameWriter),
    frozenset({b"cancel", b"ping", b"pong", b"goodbye", b"deadline", b"count"}),
    DEEPEST,
)
PB = Dialect(
    b"pb",
    partial(BananaReader, vocabulary=PB_VOCABULARY),
    lru_cache(_MOST_LIMITS)(partial(BananaWriter, vocabulary=PB_VOCABULARY)),
    has_twisted_errors=True,
)
NONE = Dialect(
    b"none",
    partial(BananaReader, vocabulary=NONE_VOCABULARY),
    lru_cache(_MOST_LIMITS)(partial(BananaWriter, vocabulary=NONE_VOCABULARY)),
    has_twisted_errors=True,
)

# In the order in which a server offers them and a client prefers them.
DIALECTS: tuple[Dialect, ...] = (MSGPACK, PB, NONE)

# Those in which a message is the expression that published hooks know.
EXPRESSION_DIALECTS: tuple[Dialect, ...] = (PB, NONE)


def spoken(
    names: Collection[str], limits: Limits, among: tuple[Dialect, ...] = DIALECTS
) -> tuple[Dialect, ...]:
    """Return those of some dialects that have one of the names and can be read under the limits."""
    return tuple(
        dialect
        for dialect in among
        if dialect.name.decode("ascii") in names and limits.max_depth <= dialect.deepest
    )


def check_names(names: Collection[str], limits: Limits) -> None:
    """Check that a dialect can be agreed on, of those with these names and under these limits.

    Raises:
        ConfigError: a name is of none, or no dialect of them may be spoken.
    """
    known = [dialect.name.decode("ascii") for dialect in DIALECTS]
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no dialect {name!r}; there are {', '.join(known)}")
    if not spoken(names, limits):
        raise ConfigError(
            f"dialects={tuple(names)!r} leaves nothing to speak"
            + (f" where max_depth is {limits.max_depth}" if names else "")
        )

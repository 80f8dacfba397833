"""Dialects: one record for each wire format. The two peers agree on one in the handshake.

No other module checks which dialect is in use: all differences are fields of the record.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache, partial
from typing import Protocol

from msgspec import Struct

from broker.core.wire.banana import BananaReader, BananaWriter
from broker.core.wire.broadcast import Broadcast
from broker.core.wire.commands import Feature
from broker.core.wire.messages import (
    PROTOCOL_VERSION,
    MessageQueue,
    ObjectId,
    Record,
    Target,
    Version,
)
from broker.core.wire.msgpack.reader import FrameReader
from broker.core.wire.msgpack.writer import FrameWriter
from broker.core.wire.terms import NOT_SERVING, Serving, Taken, terms_of
from broker.core.wire.values import DEEPEST
from broker.errors import ConfigError
from jelly.atoms import Expression
from jelly.limits import Limits
from jelly.slices import Walk
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
    """Decodes bytes, in pieces of any size, to messages."""

    def set_limits(self, limits: Limits, /) -> None:
        """Set the limits for the following messages."""
        ...

    @property
    def pending(self) -> int:
        """Number of bytes received that are not part of a decoded message."""
        ...

    @property
    def held(self) -> int:
        """Approximate memory of the pending bytes, in bytes."""
        ...

    def forget(self) -> None:
        """Drop the pending bytes."""
        ...

    def note_ends(self, ends: list[int] | None, /) -> None:
        """Append the end of each message to a list from now on, in bytes from a common start.

        None ends that. A dialect whose calls have no deadlines appends nothing.
        """
        ...

    def receive(self, data: bytes, inbox: MessageQueue, most: int, /) -> bool:
        """Take in bytes, and append the messages that they complete to ``inbox``.

        Args:
            data: the next bytes; ``b""`` to go on decoding the pending ones.
            inbox: gets the messages.
            most: most messages to decode; no limit if negative.

        Returns:
            Whether there may be more messages in the pending bytes.

        Raises:
            ProtocolError: a message is malformed or too large. Those before it are in the inbox.
            RuntimeError: this reader has raised ProtocolError before.
        """
        ...


class MessageWriter(Protocol):
    """Encodes messages to bytes. A method that raises EncodeError has no other effect."""

    def call(
        self,
        number: int,
        request_id: int,
        object_id: Target,
        name: str,
        args: tuple[object, ...],
        kw: dict[str, object],
        deadline: int | None,
        meta: dict[str, str] | None = None,
        /,
    ) -> bytes | None:
        """Return the bytes of a call with simple values, or None if they need a jellier."""
        ...

    def broadcast(self, object_id: ObjectId, broadcast: Broadcast, number: int, /) -> bytes | None:
        """Return the bytes of a broadcast, or None if its values need a jellier.

        ``number`` is the number of a PlainSend or of a PlainSendToCache.
        """
        ...

    def answer(self, request_id: int, value: object, /) -> bytes | None:
        """Return the bytes of an answer with a simple value, or None if it needs a jellier."""
        ...

    def write(self, message: Record, /) -> bytes:
        """Return the bytes of any message; one with values has the record with expressions."""
        ...

    def write_expression(self, expression: Expression, /) -> bytes:
        """Return the bytes of an expression that the application made."""
        ...

    def walk(self, message: Record, consumes: bool, /) -> Walk[bytes]:
        """Like ``write``, as a walk of ``jelly.slices`` that may empty the message's lists."""
        ...


class Dialect(Struct, frozen=True, cache_hash=True):
    """One dialect.

    Attributes:
        name: its name in the handshake.
        reader: makes the reader of one connection: ``reader(limits, keeps_expressions)``.
        writer: returns a writer, which connections share: ``writer(limits, terms)``, with the terms
            of the peer.
        version: returns the bytes of the version, for what this end takes.
        features: what the dialect has beyond PB.
        deepest: largest ``Limits.max_depth`` with which it is offered and accepted.
        has_twisted_errors: whether errors about a call itself are sent with Twisted's type.
    """

    name: bytes
    reader: Callable[..., MessageReader]
    writer: Callable[..., MessageWriter]
    version: Callable[[Limits, Taken, Serving], bytes]
    features: frozenset[Feature] = frozenset()
    deepest: int = sys.maxsize
    has_twisted_errors: bool = False


# A writer has no state: connections with the same limits share one. A program has few different
# limits.
_MOST_LIMITS = 16


@lru_cache(_MOST_LIMITS)
def _version_with_terms(limits: Limits, taken: Taken, serving: Serving = NOT_SERVING) -> bytes:
    terms = terms_of(limits, taken, serving)
    return FrameWriter(Limits()).write(Version(PROTOCOL_VERSION, terms))


def _plain_version(
    vocabulary: Mapping[bytes, int],
) -> Callable[[Limits, Taken, Serving], bytes]:
    data = BananaWriter(Limits(), vocabulary=vocabulary).write(Version(PROTOCOL_VERSION))

    def version(limits: Limits, taken: Taken, serving: Serving = NOT_SERVING) -> bytes:
        return data

    return version


MSGPACK = Dialect(
    b"msgpack/1",
    FrameReader,
    lru_cache(_MOST_LIMITS)(FrameWriter),
    _version_with_terms,
    frozenset(Feature),
    DEEPEST,
)
PB = Dialect(
    b"pb",
    partial(BananaReader, vocabulary=PB_VOCABULARY),
    lru_cache(_MOST_LIMITS)(partial(BananaWriter, vocabulary=PB_VOCABULARY)),
    _plain_version(PB_VOCABULARY),
    has_twisted_errors=True,
)
NONE = Dialect(
    b"none",
    partial(BananaReader, vocabulary=NONE_VOCABULARY),
    lru_cache(_MOST_LIMITS)(partial(BananaWriter, vocabulary=NONE_VOCABULARY)),
    _plain_version(NONE_VOCABULARY),
    has_twisted_errors=True,
)

# In the order of preference of servers and clients.
DIALECTS: tuple[Dialect, ...] = (MSGPACK, PB, NONE)

# Dialects in which a message is an expression, as Twisted's hooks expect.
EXPRESSION_DIALECTS: tuple[Dialect, ...] = (PB, NONE)


@lru_cache(_MOST_LIMITS)
def spoken(
    names: tuple[str, ...], limits: Limits, among: tuple[Dialect, ...] = DIALECTS
) -> tuple[Dialect, ...]:
    """Return the dialects with one of these names that can be used with these limits."""
    return tuple(
        dialect
        for dialect in among
        if dialect.name.decode("ascii") in names and limits.max_depth <= dialect.deepest
    )


def check_names(names: Collection[str], limits: Limits) -> None:
    """Check that all names are known, and that one of the dialects can be used with these limits.

    Raises:
        ConfigError: a name is unknown, or no dialect can be used.
    """
    known = [dialect.name.decode("ascii") for dialect in DIALECTS]
    for name in names:
        if name not in known:
            raise ConfigError(f"there is no dialect {name!r}; there are {', '.join(known)}")
    if not spoken(tuple(names), limits):
        raise ConfigError(
            f"dialects={tuple(names)!r} leaves nothing to speak"
            + (f" where max_depth is {limits.max_depth}" if names else "")
        )

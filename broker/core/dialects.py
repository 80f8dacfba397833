"""Dialects: what two peers agree to speak, each one record, chosen once when they shake hands.

Nothing else in the house asks which one it is: it does what the record says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from broker.core import messages, msgpack
from broker.core.messages import Message
from broker.core.small import NOT_SMALL, small_expression, small_value
from jelly.codec import Reader, Writer
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

__all__ = ["DIALECTS", "MSGPACK", "NONE", "PB", "PUBLISHED_DIALECTS", "Dialect"]


class MessageReader(Protocol):
    """Bytes in pieces of any size to what ``Dialect.parse`` takes."""

    def feed(self, data: bytes, /) -> None:
        """Take in what arrived."""
        ...

    def read(self, most: int = -1, /) -> list[Any]:
        """Return what is whole, at most ``most`` unless it is negative."""
        ...

    def take_rest(self) -> bytes:
        """Return, and forget, what was not read."""
        ...


class MessageWriter(Protocol):
    """One message, as a list of its command and its fields, to bytes."""

    def encode(self, message: Any, /) -> bytes:
        """Return the bytes, or raise EncodeError and have no effect."""
        ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect.

    Attributes:
        name: what the peers call it in the handshake.
        reader, writer: make the two for one connection, under its limits.
        parse: makes a message of what the reader returns.
        shorten: returns a value in a form that needs no jellier, or None.
        lengthen: returns the value of such a form, or NOT_SMALL.
        commands: what it can say that PB cannot.
    """

    name: bytes
    reader: Callable[[Limits], MessageReader]
    writer: Callable[[Limits], MessageWriter]
    parse: Callable[[Any], Message]
    shorten: Callable[[Any], Any]
    lengthen: Callable[[Any], Any]
    commands: frozenset[bytes] = frozenset()


def _banana(name: bytes, vocabulary: Mapping[bytes, int]) -> Dialect:
    return Dialect(
        name,
        partial(Reader, vocabulary=vocabulary),
        partial(Writer, vocabulary=vocabulary),
        messages.parse,
        small_expression,
        small_value,
    )


def _as_it_is(message: Message) -> Message:
    return message


def _plain_value(payload: Any) -> Any:
    return payload.value if type(payload) is msgpack.Plain else NOT_SMALL


MSGPACK = Dialect(
    b"msgpack/1",
    msgpack.FrameReader,
    msgpack.FrameWriter,
    _as_it_is,
    msgpack.plain,
    _plain_value,
    frozenset({b"cancel", b"ping", b"pong", b"goodbye", b"deadline", b"count"}),
)
PB = _banana(b"pb", PB_VOCABULARY)
NONE = _banana(b"none", NONE_VOCABULARY)

# In the order in which a server offers them and a client prefers them.
DIALECTS: tuple[Dialect, ...] = (MSGPACK, PB, NONE)

# Those in which a message is the expression that published hooks know.
PUBLISHED_DIALECTS: tuple[Dialect, ...] = (PB, NONE)

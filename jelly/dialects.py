"""Dialects: what two peers agree to speak, each one record, chosen once when they shake hands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from jelly.atoms import Expression
from jelly.codec import Reader, Writer
from jelly.limits import Limits
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

__all__ = ["DIALECTS", "NONE", "PB", "Dialect", "ExpressionReader", "ExpressionWriter"]


class ExpressionReader(Protocol):
    """Bytes in pieces of any size to whole expressions."""

    def feed(self, data: bytes, /) -> None:
        """Take in what arrived."""
        ...

    def read(self, most: int = -1, /) -> list[Expression]:
        """Return the whole expressions, at most ``most`` unless it is negative."""
        ...

    def take_rest(self) -> bytes:
        """Return, and forget, what was not read."""
        ...

    @property
    def is_between_expressions(self) -> bool:
        """Whether no expression has been started."""
        ...


class ExpressionWriter(Protocol):
    """One whole expression to bytes."""

    def encode(self, expression: Expression, /) -> bytes:
        """Return the bytes, or raise EncodeError and have no effect."""
        ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect.

    Attributes:
        name: what the peers call it in the handshake.
        reader, writer: make the two for one connection, under its limits.
    """

    name: bytes
    reader: Callable[[Limits], ExpressionReader]
    writer: Callable[[Limits], ExpressionWriter]


def _banana(name: bytes, vocabulary: Mapping[bytes, int]) -> Dialect:
    return Dialect(
        name,
        lambda limits: Reader(limits, vocabulary),
        lambda limits: Writer(limits, vocabulary),
    )


PB = _banana(b"pb", PB_VOCABULARY)
NONE = _banana(b"none", NONE_VOCABULARY)

# In the order in which a server offers them and a client prefers them.
DIALECTS: tuple[Dialect, ...] = (PB, NONE)

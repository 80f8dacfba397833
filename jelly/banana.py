"""The published module of banana: a protocol on a transport, and one expression at a time.

Doors onto ``jelly.codec``. Perspective Broker's own connections do not pass through the class
here, so no program pays for what it could override.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from jelly.atoms import Expression
from jelly.codec import Reader, Writer
from jelly.errors import BananaError
from jelly.limits import Limits
from jelly.registry import defaults
from jelly.vocabulary import NONE_VOCABULARY, PB_VOCABULARY

__all__ = [
    "FLOAT",
    "HIGH_BIT_SET",
    "INT",
    "LIST",
    "LONGINT",
    "LONGNEG",
    "NEG",
    "SIZE_LIMIT",
    "STRING",
    "VOCAB",
    "Banana",
    "BananaError",
    "b1282int",
    "decode",
    "encode",
    "int2b128",
    "setPrefixLimit",
]

logger = logging.getLogger("broker.jelly")

# The type bytes, under their published names.
LIST, INT, STRING, NEG = b"\x80", b"\x81", b"\x82", b"\x83"
FLOAT, LONGINT, LONGNEG, VOCAB = b"\x84", b"\x85", b"\x86", b"\x87"
# A byte of this value or more ends a prefix.
HIGH_BIT_SET = b"\x80"

SIZE_LIMIT: int


class _Module(ModuleType):
    """This module: assigning to the one of its names that is a setting sets it (published)."""

    @property
    def SIZE_LIMIT(self) -> int:
        """Bytes of a string and elements of a list; read when a connection is made."""
        return defaults.size_limit

    @SIZE_LIMIT.setter
    def SIZE_LIMIT(self, most: int) -> None:
        defaults.size_limit = most


sys.modules[__name__].__class__ = _Module


def setPrefixLimit(limit: int) -> None:
    """Set how many digits a prefix may have, on connections that are made from now on (published).

    Args:
        limit: digits of seven bits; 64 unless set, which allows ints of 448 bits.
    """
    defaults.prefix_limit = limit


def _limits(prefix: int, size: int) -> Limits:
    return Limits(max_prefix=prefix, max_string=size, max_list=size)


class Banana:
    """Expressions over a transport, once both ends agree on a dialect (published).

    A subclass overrides ``expressionReceived``, and ``connectionReady`` if it begins. The server
    offers ``knownDialects``, the client takes the first that it knows, too.

    Args:
        isClient: which of the two this is.

    Attributes:
        transport, factory: as any protocol's.
        currentDialect: ``b"pb"``, ``b"none"``, or None until one is agreed on.
        prefixLimit: digits of a prefix; ``setPrefixLimit`` sets it.
        sizeLimit: bytes of a string and elements of a list; ``SIZE_LIMIT`` at the time of the
            connection, unless a subclass has its own.
        outgoingVocabulary, incomingVocabulary: what ``pb`` sends as a number, and the way back.
    """

    knownDialects: ClassVar[list[bytes]] = [b"pb", b"none"]
    outgoingVocabulary: ClassVar[dict[bytes, int]] = dict(PB_VOCABULARY)
    incomingVocabulary: ClassVar[dict[int, bytes]] = {
        number: word for word, number in PB_VOCABULARY.items()
    }
    connected: int = 0
    transport: Any = None
    factory: Any = None
    currentDialect: bytes | None = None
    prefixLimit: int | None = None
    sizeLimit: int = 640 * 1024

    def __init__(self, isClient: bool | int = 1):
        self.isClient = isClient
        self._reader = Reader(Limits(), NONE_VOCABULARY)
        self._writer = Writer(Limits(), NONE_VOCABULARY)

    def makeConnection(self, transport: Any) -> None:
        """Take the transport and call `connectionMade` (published)."""
        self.connected = 1
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """Make the offer, or wait for it; a subclass that overrides this calls it (published)."""
        if self.sizeLimit == Banana.sizeLimit:
            self.sizeLimit = defaults.size_limit
        self.currentDialect = None
        self.setPrefixLimit(defaults.prefix_limit)
        if not self.isClient:
            self.sendEncoded(list(self.knownDialects))

    def connectionReady(self) -> None:
        """A dialect is agreed on: from now on expressions go both ways (published)."""

    def connectionLost(self, reason: Any = None) -> None:
        """The connection has ended; called once (published)."""

    def logPrefix(self) -> str:
        """Return how log lines call this protocol (published)."""
        return type(self).__name__

    def setPrefixLimit(self, limit: int) -> None:
        """Set how many digits a prefix may have on this connection, each way (published)."""
        self.prefixLimit = limit
        limits = _limits(limit, self.sizeLimit)
        self._reader.set_limits(limits)
        is_pb = self.currentDialect == b"pb"
        self._writer = Writer(limits, self.outgoingVocabulary if is_pb else NONE_VOCABULARY)

    def dataReceived(self, chunk: bytes) -> None:
        """Take in bytes, cut anywhere, and hand on the expressions that are whole (published).

        Raises:
            BananaError: the bytes are no banana, or more of something than a limit allows. What
                was whole before them has been handed on.
        """
        self._reader.feed(chunk)
        while found := self._reader.read(1):
            self.callExpressionReceived(found[0])

    def callExpressionReceived(self, obj: Expression) -> None:
        """Hand on an expression: to the choice of a dialect, or to its receiver (published)."""
        if self.currentDialect is not None:
            self.expressionReceived(obj)
        elif not self.isClient:
            self._settle(obj if obj in self.knownDialects else None)
        else:
            offered = obj if isinstance(obj, list) else []
            self._settle(next((name for name in offered if name in self.knownDialects), None))

    def _settle(self, dialect: Any) -> None:
        if dialect is None:
            logger.warning("no dialect in common with the peer, closing")
            self.transport.loseConnection()
            return
        if self.isClient:
            self.sendEncoded(dialect)
        self._selectDialect(dialect)

    def _selectDialect(self, dialect: bytes) -> None:
        """Speak a dialect from now on, without a word to the peer.

        Underscored as it is, programs that speak banana without a peer call it.
        """
        self.currentDialect = dialect
        if dialect == b"pb":
            rest = self._reader.take_rest()
            words = {word: number for number, word in self.incomingVocabulary.items()}
            self._reader = Reader(Limits(), words)
            self._reader.feed(rest)
        self.setPrefixLimit(self.prefixLimit or defaults.prefix_limit)
        self.connectionReady()

    def expressionReceived(self, lst: Expression) -> None:
        """Receive an expression; a subclass must override this (published)."""
        raise NotImplementedError(f"{type(self).__name__} has no expressionReceived")

    def sendEncoded(self, obj: Expression) -> None:
        """Write one expression (published).

        Raises:
            TooLarge: a part, or the whole, is beyond the limits; nothing is written.
            EncodeError: it holds something other than int, float, bytes and lists.
        """
        self.transport.write(self._writer.encode(obj))


def int2b128(integer: int, stream: Callable[[bytes], object]) -> None:
    """Hand the digits of a number to a ``write`` function, the lowest seven bits first (published).

    Raises:
        ValueError: ``integer`` is negative.
    """
    if integer < 0:
        raise ValueError("only numbers that are not negative have digits")
    size = max(1, -(-integer.bit_length() // 7))
    stream(bytes(integer >> 7 * place & 0x7F for place in range(size)))


def b1282int(st: bytes) -> int:
    """Return the number that digits stand for, the lowest seven bits first (published)."""
    return sum(digit << 7 * place for place, digit in enumerate(st))


def encode(lst: Expression) -> bytes:
    """Return the bytes of an expression in the ``none`` dialect (published).

    Raises:
        TooLarge: a part, or the whole, is beyond the limits.
        EncodeError: it holds something other than int, float, bytes and lists.
    """
    return Writer(_limits(defaults.prefix_limit, defaults.size_limit), NONE_VOCABULARY).encode(lst)


def decode(st: bytes) -> Expression:
    """Return the one expression that the bytes are in the ``none`` dialect (published).

    Raises:
        BananaError: they are no banana, or not exactly one expression.
    """
    reader = Reader(_limits(defaults.prefix_limit, defaults.size_limit), NONE_VOCABULARY)
    reader.feed(st)
    found = reader.read()
    if len(found) != 1 or not reader.is_between_expressions:
        raise BananaError(f"{len(st)} bytes hold {len(found)} whole expressions, not exactly one")
    return found[0]

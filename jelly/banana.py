"""Twisted's banana module: a protocol on a transport, and functions for one expression.

Both use ``jelly.codec``. Connections of Perspective Broker do not use the class here, so that its
overridable methods cost them nothing.
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

# The type bytes, under Twisted's names.
LIST, INT, STRING, NEG = b"\x80", b"\x81", b"\x82", b"\x83"
FLOAT, LONGINT, LONGNEG, VOCAB = b"\x84", b"\x85", b"\x86", b"\x87"
# A byte with at least this value ends a prefix.
HIGH_BIT_SET = b"\x80"

SIZE_LIMIT: int


class _Module(ModuleType):
    """The class of this module: an assignment to ``SIZE_LIMIT`` changes the setting (published)."""

    @property
    def SIZE_LIMIT(self) -> int:
        """Most bytes of a string and most elements of a list; read when a connection is made."""
        return defaults.size_limit

    @SIZE_LIMIT.setter
    def SIZE_LIMIT(self, most: int) -> None:
        defaults.size_limit = most


sys.modules[__name__].__class__ = _Module


def setPrefixLimit(limit: int) -> None:
    """Set the most digits of a prefix, for new connections (published).

    Args:
        limit: digits of seven bits. Default: 64, which allows ints of 448 bits.
    """
    defaults.prefix_limit = limit


def _limits(prefix: int, size: int) -> Limits:
    return Limits(max_prefix=prefix, max_string=size, max_list=size)


class Banana:
    """Sends and receives expressions over a transport, after a handshake (published).

    A subclass overrides ``expressionReceived``, and ``connectionReady`` if it sends first. The
    server offers ``knownDialects``; the client chooses the first that it knows.

    Args:
        isClient: whether this is the client's side.

    Attributes:
        transport, factory: as in any protocol.
        currentDialect: ``b"pb"``, ``b"none"``, or None before the handshake is done.
        prefixLimit: most digits of a prefix; set by ``setPrefixLimit``.
        sizeLimit: most bytes of a string and most elements of a list. Default: ``SIZE_LIMIT`` at
            the time of the connection, unless a subclass sets it.
        outgoingVocabulary, incomingVocabulary: the numbers of words in ``pb``, and the words of
            numbers.
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
        """Send the offer, or wait for it. An overriding method must call this one (published)."""
        if self.sizeLimit == Banana.sizeLimit:
            self.sizeLimit = defaults.size_limit
        self.currentDialect = None
        self.setPrefixLimit(defaults.prefix_limit)
        if not self.isClient:
            self.sendEncoded(list(self.knownDialects))

    def connectionReady(self) -> None:
        """Called when a dialect is agreed on and expressions can be sent (published)."""

    def connectionLost(self, reason: object = None) -> None:
        """Called once when the connection has ended (published)."""

    def logPrefix(self) -> str:
        """Return the name of this protocol for log lines (published)."""
        return type(self).__name__

    def setPrefixLimit(self, limit: int) -> None:
        """Set the most digits of a prefix on this connection, in both directions (published)."""
        self.prefixLimit = limit
        limits = _limits(limit, self.sizeLimit)
        self._reader.set_limits(limits)
        is_pb = self.currentDialect == b"pb"
        self._writer = Writer(limits, self.outgoingVocabulary if is_pb else NONE_VOCABULARY)

    def dataReceived(self, chunk: bytes) -> None:
        """Take in bytes, in any pieces, and pass on the complete expressions (published).

        Raises:
            BananaError: the bytes are not valid banana, or exceed a limit. The expressions before
                them have been passed on.
        """
        self._reader.feed(chunk)
        while found := self._reader.read(1):
            self.callExpressionReceived(found[0])

    def callExpressionReceived(self, obj: Expression) -> None:
        """Pass an expression to the handshake, or to `expressionReceived` (published)."""
        if self.currentDialect is not None:
            self.expressionReceived(obj)
        elif not self.isClient:
            self._settle(obj if obj in self.knownDialects else None)
        else:
            offered = obj if isinstance(obj, list) else []
            self._settle(next((name for name in offered if name in self.knownDialects), None))

    def _settle(self, dialect: bytes | None) -> None:
        if dialect is None:
            logger.warning("no dialect in common with the peer, closing")
            self.transport.loseConnection()
            return
        if self.isClient:
            self.sendEncoded(dialect)
        self._selectDialect(dialect)

    def _selectDialect(self, dialect: bytes) -> None:
        """Use a dialect from now on, without telling the peer.

        Programs that use banana without a peer call this method, in spite of its underscore.
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
            TooLarge: a part, or the whole, exceeds a limit. Then no byte is written.
            EncodeError: it contains a value other than int, float, bytes and lists.
        """
        self.transport.write(self._writer.encode(obj))


def int2b128(integer: int, stream: Callable[[bytes], object]) -> None:
    """Pass the digits of a number to ``stream``, the lowest seven bits first (published).

    Raises:
        ValueError: ``integer`` is negative.
    """
    if integer < 0:
        raise ValueError("only numbers that are not negative have digits")
    size = max(1, -(-integer.bit_length() // 7))
    stream(bytes(integer >> 7 * place & 0x7F for place in range(size)))


def b1282int(st: bytes) -> int:
    """Return the number of these digits, the lowest seven bits first (published)."""
    return sum(digit << 7 * place for place, digit in enumerate(st))


def encode(lst: Expression) -> bytes:
    """Return the bytes of an expression in the ``none`` dialect (published).

    Raises:
        TooLarge: a part, or the whole, exceeds a limit.
        EncodeError: it contains a value other than int, float, bytes and lists.
    """
    return Writer(_limits(defaults.prefix_limit, defaults.size_limit), NONE_VOCABULARY).encode(lst)


def decode(st: bytes) -> Expression:
    """Return the one expression in these bytes of the ``none`` dialect (published).

    Raises:
        BananaError: the bytes are not valid banana, or not exactly one expression.
    """
    reader = Reader(_limits(defaults.prefix_limit, defaults.size_limit), NONE_VOCABULARY)
    reader.feed(st)
    found = reader.read()
    if len(found) != 1 or not reader.is_between_expressions:
        raise BananaError(f"{len(st)} bytes hold {len(found)} whole expressions, not exactly one")
    return found[0]

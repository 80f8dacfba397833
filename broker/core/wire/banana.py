"""Messages in banana: the reader and the writer of PB's dialects, ``pb`` and ``none``.

A message is one expression. If its values are small (``core.wire.conversion``), it is written
without a jellier, and without making the expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from broker.core.wire.broadcast import Broadcast
from broker.core.wire.commands import COMMANDS, number_of
from broker.core.wire.conversion import with_values
from broker.core.wire.expressions import parse, to_expression
from broker.core.wire.messages import (
    LONGEST_NAME,
    Message,
    MessageQueue,
    ObjectId,
    PlainAnswer,
    Received,
    Record,
    Target,
)
from broker.core.wire.terms import Terms
from jelly import atoms
from jelly.atoms import Expression
from jelly.codec import Reader, Writer, float_bytes, int_bytes, list_head, string_head
from jelly.jellier import Jellier
from jelly.leaves import ATOMS
from jelly.limits import Limits
from jelly.slices import Walk

__all__ = ["BananaReader", "BananaWriter"]


_YES, _NO = int_bytes(1), int_bytes(0)


def _parse_values(expression: Expression) -> Message:
    return with_values(parse(expression))


class BananaReader:
    """Decodes messages from bytes that arrive in pieces of any size.

    Args:
        limits: of an expression.
        vocabulary: of the dialect.
        keeps_expressions: return each value as an expression, for hooks that need expressions.
        make: makes a message of an expression; for a host that parses expressions itself.
    """

    __slots__ = ("_make", "_reader")

    def __init__(
        self,
        limits: Limits,
        keeps_expressions: bool = False,
        make: Callable[[Expression], Received] | None = None,
        *,
        vocabulary: Mapping[bytes, int],
    ):
        self._reader = Reader(limits, vocabulary)
        self._make = make or (parse if keeps_expressions else _parse_values)

    def set_limits(self, limits: Limits) -> None:
        """Set the limits for the following expressions."""
        self._reader.set_limits(limits)

    @property
    def pending(self) -> int:
        """Number of bytes received that are not part of a decoded message."""
        return self._reader.pending

    @property
    def held(self) -> int:
        """Approximate memory of the pending bytes, in bytes."""
        return self._reader.held

    def forget(self) -> None:
        """Drop the pending bytes."""
        self._reader.forget()

    def note_ends(self, ends: list[int] | None) -> None:
        """Do nothing: the calls of PB's dialects have no deadlines."""

    def receive(self, data: bytes, inbox: MessageQueue, most: int = -1) -> bool:
        """Take in bytes, and append the messages that they complete; see `MessageReader`.

        Raises:
            ProtocolError: an expression is too large or not a message. Messages before it are in
                the inbox.
            RuntimeError: this reader has raised ProtocolError before.
        """
        reader, make = self._reader, self._make
        reader.feed(data)
        while most and (expressions := reader.read(most)):
            inbox.extend(map(make, expressions))
            most -= len(expressions)
        return not most


class BananaWriter:
    """Encodes messages, with the limits that the peer's reader will enforce.

    Args:
        limits: of this end; PB has no way to tell those of the peer.
        terms: not used.
        vocabulary: of the dialect.
    """

    __slots__ = (
        "_answer",
        "_data_key",
        "_heads",
        "_limits",
        "_longest",
        "_most_bits",
        "_no_keywords",
        "_tuple",
        "_unicode",
        "_words",
        "_writer",
    )

    def __init__(
        self, limits: Limits, terms: Terms | None = None, *, vocabulary: Mapping[bytes, int]
    ):
        self._limits = limits
        self._writer = Writer(limits, vocabulary)
        # The jelly writer checks anything longer; with small limits, it checks everything.
        is_roomy = (
            limits.max_depth > 3
            and min(limits.max_list, limits.max_nodes) > 2 * _MOST
            and min(limits.max_string, limits.max_expression // 8) >= LONGEST_NAME
        )
        self._longest = min(limits.max_string, limits.max_expression // 2) if is_roomy else -1
        self._most_bits = min(63, 7 * limits.max_prefix)
        word = self._writer.encode
        self._words = {each: word(each) for each in vocabulary}
        # By the number of the message in msgpack/1.
        self._heads = {
            number_of(row.record): list_head(len(COMMANDS[row.graph].checks) + 1)
            + self._string(row.name)
            for row in COMMANDS.values()
            if row.graph is not None and row.name is not None
        }
        self._answer = self._heads[number_of(PlainAnswer)]
        # Of the tails of data, whose limits are checked when they are made.
        self._data_key = self._answer, limits
        self._tuple = word(atoms.TUPLE)
        self._unicode = list_head(2) + word(atoms.UNICODE)
        self._no_keywords = list_head(1) + word(atoms.DICTIONARY)

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
    ) -> bytes | None:
        """Return the bytes of a call, or None if its values need a jellier.

        Args:
            number: of the message in ``msgpack/1``, a call with plain values.
            request_id, object_id, name, args, kw: see ``messages.PlainCall``.
            deadline, meta: not sent, since PB's dialects have none.
        """
        tail = self._tail_of(name, args, kw, _NO if number in _ONE_WAY else _YES)
        if tail is None:
            return None
        return b"".join((self._heads[number], int_bytes(request_id), self._id(object_id), tail))

    def broadcast(self, object_id: ObjectId, broadcast: Broadcast, number: int) -> bytes | None:
        """Return the bytes of a broadcast, or None if its values need a jellier.

        Args:
            object_id: of the object, or of the cache.
            broadcast: the call.
            number: of the message in ``msgpack/1``: that of a PlainSend or of a PlainSendToCache.
        """
        if broadcast.is_data:
            tail = broadcast.tail(self._data_key, lambda: self._data_of(broadcast))
        else:
            # The vocabulary decides the bytes of a word, so this head tells the dialects apart.
            tail = broadcast.tail(
                self._answer, lambda: self._tail_of(broadcast.name, broadcast.args, broadcast.kw)
            )
        if tail is None or len(tail) > self._longest:
            return None
        return b"".join((self._heads[number], int_bytes(0), self._id(object_id), tail))

    def answer(self, request_id: int, value: object) -> bytes | None:
        """Return the bytes of an answer, or None if its value needs a jellier."""
        element = self._element(value)
        if element is None:
            return None
        return self._answer + int_bytes(request_id) + element

    def write(self, message: Record) -> bytes:
        """Return the bytes of a message.

        Raises:
            EncodeError: the message exceeds a limit.
        """
        return self._writer.encode(to_expression(message))

    def write_expression(self, expression: Expression) -> bytes:
        """Return the bytes of any expression.

        Raises:
            EncodeError: the expression exceeds a limit, or is not an expression.
        """
        return self._writer.encode(expression)

    def walk(self, message: Record, consumes: bool) -> Walk[bytes]:
        """Like :meth:`write`, as a walk of ``jelly.slices`` that may empty the message's lists."""
        return self._writer.walk(to_expression(message), consumes)

    def _tail_of(
        self, name: str, args: tuple[object, ...], kw: dict[str, object], wants_answer: bytes = _NO
    ) -> bytes | None:
        values = None if kw else self._tuple_of(args)
        if values is None:
            return None
        method = self._string(name.encode("utf-8"))
        return b"".join((method, wants_answer, values, self._no_keywords))

    def _data_of(self, broadcast: Broadcast) -> bytes:
        """Return the tail of a one-way call whose values are data of any form."""
        make, encode = Jellier(limits=self._limits).jelly, self._writer.encode
        method = self._string(broadcast.name.encode("utf-8"))
        return b"".join((method, _NO, encode(make(broadcast.args)), encode(make(broadcast.kw))))

    def _id(self, object_id: Target) -> bytes:
        if isinstance(object_id, int):
            return int_bytes(object_id)
        # A promise is never the target of a call in PB's dialects.
        return self._string(object_id)  # type: ignore[arg-type]

    def _element(self, value: Any) -> bytes | None:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if kind is int:
            return int_bytes(value) if value.bit_length() <= self._most_bits else None
        if kind is bytes:
            return self._string(value) if len(value) <= self._longest else None
        if kind is float:
            return float_bytes(value)
        if kind is tuple:
            return self._tuple_of(value)
        return self._no_keywords if kind is dict and not value else None

    def _tuple_of(self, values: tuple[object, ...]) -> bytes | None:
        if len(values) > _MOST:
            return None
        pieces = [list_head(len(values) + 1), self._tuple]
        for value in values:
            if type(value) not in _FLAT:
                return None
            element = self._element(value)
            if element is None:
                return None
            pieces.append(element)
        element = b"".join(pieces)
        return element if len(element) <= self._longest else None

    def _text(self, value: str) -> bytes | None:
        try:
            data = value.encode("utf-8")
        except UnicodeEncodeError:
            return None
        return self._unicode + self._string(data) if len(data) <= self._longest else None

    def _string(self, data: bytes) -> bytes:
        return self._words.get(data) or string_head(len(data)) + data


_MOST = 32
# A tuple of these has its bytes without a jellier; None, a bool and other leaves take one.
_FLAT = ATOMS | {str}
# The numbers of the calls without an answer.
_ONE_WAY = frozenset(
    number_of(row.record) for row in COMMANDS.values() if row.is_call and row.is_one_way
)

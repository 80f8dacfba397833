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
from broker.core.wire.plain_banana import longest_string, read_plain, shapes_of
from broker.core.wire.terms import Terms
from jelly import atoms
from jelly.atoms import Expression
from jelly.codec import Reader, Writer, float_bytes, int_bytes, list_head, string_head
from jelly.codec.elements import INTS, LISTS, TEXTS
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

    __slots__ = ("_longest", "_make", "_reader", "_shapes")

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
        # Of the messages that are read without making expressions of them.
        self._shapes = shapes_of(vocabulary) if self._make is _parse_values else None
        self._longest = longest_string(limits)

    def set_limits(self, limits: Limits) -> None:
        """Set the limits for the following expressions."""
        self._reader.set_limits(limits)
        self._longest = longest_string(limits)

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
        if self._shapes is None or self._longest < 0:
            while most and (expressions := reader.read(most)):
                inbox.extend(map(make, expressions))
                most -= len(expressions)
            return not most
        while most:
            buffer, pos = reader.rest
            if pos < len(buffer):
                found: list[Received] = []
                pos = read_plain(buffer, pos, self._shapes, self._longest, most, found)
                reader.skip_to(pos)
                inbox.extend(found)
                most -= len(found)
            if most:
                expressions = reader.read(1)
                if not expressions:
                    break
                inbox.append(make(expressions[0]))
                most -= 1
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
        "_methods",
        "_most_bits",
        "_no_keywords",
        "_short",
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
        # The size from which a str is not looked up in the table of heads.
        self._short = len(TEXTS) if is_roomy else 0
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
        # A cache of the names that programs call, by the number of the message.
        self._methods: dict[int, dict[str, bytes]] = {number: {} for number in self._heads}
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
        if kw or len(args) > _MOST:
            return None
        pieces = [
            self._heads[number],
            INTS[request_id] if request_id < 1024 else int_bytes(request_id),
            self._id(object_id),
            self._methods[number].get(name) or self._method(number, name),
            LISTS[len(args) + 1],
            self._tuple,
        ]
        for value in args:
            element = self._element(value) if type(value) in _FLAT else None
            if element is None:
                return None
            pieces.append(element)
        pieces.append(self._no_keywords)
        data = b"".join(pieces)
        return data if len(data) <= self._longest else None

    def broadcast(self, object_id: ObjectId, broadcast: Broadcast, number: int) -> bytes | None:
        """Return the bytes of a broadcast, or None if its values need a jellier.

        Args:
            object_id: of the object, or of the cache.
            broadcast: the call.
            number: of the message in ``msgpack/1``: that of a PlainSend or of a PlainSendToCache.
        """
        # The vocabulary decides the bytes of a word, so this head tells the dialects apart.
        dialect = self._data_key if broadcast.is_data else self._answer
        key = dialect, number, object_id
        if broadcast.last_key == key and len(broadcast.last) <= self._longest:
            return broadcast.last
        tail = broadcast.tail(dialect, self._data_of if broadcast.is_data else self._tail_of)
        if tail is None or len(tail) > self._longest:
            return None
        message = b"".join((self._heads[number], int_bytes(0), self._id(object_id), tail))
        broadcast.keep(key, message)
        return message

    def answer(self, request_id: int, value: object) -> bytes | None:
        """Return the bytes of an answer, or None if its value needs a jellier."""
        element = self._element(value)
        if element is None:
            return None
        number = INTS[request_id] if request_id < 1024 else int_bytes(request_id)
        return b"".join((self._answer, number, element))

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

    def _tail_of(self, broadcast: Broadcast) -> bytes | None:
        values = None if broadcast.kw else self._tuple_of(broadcast.args)
        if values is None:
            return None
        method = self._string(broadcast.name.encode("utf-8"))
        return b"".join((method, _NO, values, self._no_keywords))

    def _method(self, number: int, name: str) -> bytes:
        """Return the bytes of the name of a method, and of whether the call wants an answer."""
        data = self._string(name.encode("utf-8")) + (_NO if number in _ONE_WAY else _YES)
        if len(self._methods[number]) < _MOST_NAMES:
            self._methods[number][name] = data
        return data

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
            try:
                data: bytes = value.encode()
            except UnicodeEncodeError:
                return None
            if len(data) < self._short and data not in self._words:
                return TEXTS[len(data)] + data
            return self._unicode + self._string(data) if len(data) <= self._longest else None
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

    def _string(self, data: bytes) -> bytes:
        return self._words.get(data) or string_head(len(data)) + data


_MOST, _MOST_NAMES = 32, 256
# A tuple of these has its bytes without a jellier; None, a bool and other leaves take one.
_FLAT = ATOMS | {str}
# The numbers of the calls without an answer.
_ONE_WAY = frozenset(
    number_of(row.record) for row in COMMANDS.values() if row.is_call and row.is_one_way
)

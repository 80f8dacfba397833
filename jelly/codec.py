"""Banana: encodes expressions to bytes, and decodes bytes, in any pieces, to expressions.

Theory of operation. An element is a *prefix* of 7-bit digits, least significant first, then one
type byte of 0x80 or more, then a body for strings and floats. The prefix of a list is the number of
its elements. The reader has one buffer and an index into it. A complete element is moved to the
open list at once, so no byte is parsed twice, and less than one element is left in the buffer. The
bytes of an incomplete string are kept as the received pieces, and joined once. Bytes that arrive
while complete expressions wait to be read are kept as pieces too, until the buffer is used up. So
each byte is copied a fixed number of times, however few expressions are read at a time. Every limit
is checked when a size is declared, before the reader waits for its bytes or elements. There is no
recursion: open lists are on a stack.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from operator import length_hint
from typing import Any

from jelly.atoms import UNICODE, Expression
from jelly.errors import BananaError, EncodeError, LimitExceeded, TooLarge
from jelly.limit_errors import PREFIX, SENT, limit_error
from jelly.limits import Limits
from jelly.parts import Parts
from jelly.slices import MANY, UNFINISHED, VISITS, Walk, consumed, finish

__all__ = ["Reader", "Writer", "float_bytes", "int_bytes", "list_head", "string_head"]

# The type bytes.
_LIST, _INT, _STRING, _NEG, _FLOAT, _LONGINT, _LONGNEG, _VOCAB = range(0x80, 0x88)
_DOUBLE = struct.Struct("!d")
# Elements of a list that are written in one visit.
_ITEMS = 256
# Least memory of an element in bytes, without the bytes of a string.
_ELEMENT = 64
# Number of elements of a long expression, and most of its strs that are cached at a time.
_MANY_NODES, _MOST_TEXTS = 4096, 256
# The first element of the expression of a str; it is not in PB's vocabulary.
_TEXT = bytes((len(UNICODE), _STRING)) + UNICODE


class Reader:
    """Decodes expressions from bytes that arrive in pieces of any size.

    Call :meth:`feed` with the received bytes, then :meth:`read` until it returns an empty list.
    After an error, a reader raises RuntimeError.
    """

    __slots__ = (
        "_behind_at",
        "_buffer",
        "_dead",
        "_fault",
        "_later",
        "_limits",
        "_nodes",
        "_open",
        "_parts",
        "_pos",
        "_seen",
        "_start",
        "_text_size",
        "_texts",
        "_wanted",
        "_words",
    )

    def __init__(self, limits: Limits, vocabulary: Mapping[bytes, int]):
        self.set_limits(limits)
        self._words = {number: word for word, number in vocabulary.items()}
        self._buffer = b""
        self._pos = 0
        # The pieces of an incomplete string. Parsing goes on when they have _wanted bytes, with the
        # head of the string.
        self._parts = Parts()
        self._wanted = 0
        # The position at which reading stopped because enough was read. Until it goes on from
        # there, new bytes are kept as pieces behind the rest of the buffer.
        self._behind_at = -1
        self._later: Parts | None = None
        # The open lists, outermost first: (list, number of elements left).
        self._open: list[tuple[list[Expression], int]] = []
        # Of the current expression: its bytes before the buffer, its start in the buffer, and its
        # elements.
        self._seen = 0
        self._start = 0
        self._nodes = 0
        # A cache of strs in a long expression: so repeated field names take memory only once.
        self._texts: dict[bytes, list[bytes]] | None = None
        self._dead = False
        self._fault: BananaError | None = None

    def set_limits(self, limits: Limits) -> None:
        """Set the limits for the following bytes."""
        self._limits = limits
        self._text_size = _text_size(limits)

    @property
    def is_between_expressions(self) -> bool:
        """Whether no expression has been started."""
        return not self._open and not self.pending

    @property
    def pending(self) -> int:
        """Number of bytes received that are not part of a returned expression."""
        pending = self._seen + len(self._buffer) - self._start + self._parts.size
        return pending if self._later is None else pending + self._later.size

    @property
    def held(self) -> int:
        """Approximate memory of the pending bytes, in bytes."""
        # The elements of an open list are objects already. Each had two bytes or more on the wire.
        pending = self.pending
        return pending + _ELEMENT * min(self._nodes, pending // 2)

    def feed(self, data: bytes) -> None:
        """Take in bytes. Errors are raised by :meth:`read`."""
        if self._wanted:
            self._parts.add(data)
            if self._parts.size < self._wanted:
                return
            data = self._parts.take()
            self._wanted = 0
        elif self._pos < len(self._buffer):
            if self._behind_at == self._pos:
                # Not joined now, since all waiting bytes would be copied each time.
                if data:
                    if self._later is None:
                        self._later = Parts()
                    self._later.add(data)
                return
            data = self._buffer[self._pos :] + data
        self._seen += self._pos - self._start
        self._start = self._pos = 0
        self._buffer = data

    def forget(self) -> None:
        """Drop the pending bytes."""
        self._buffer, self._later, self._parts, self._fault = b"", None, Parts(), None
        self._pos = self._start = self._seen = self._wanted = self._nodes = 0
        self._open.clear()
        self._texts = None

    def take_rest(self) -> bytes:
        """Remove and return the bytes that were not read, for the reader of another dialect.

        Raises:
            BananaError: an expression is incomplete.
        """
        if self._open or self._parts.size:
            raise BananaError("dialect changed inside an expression")
        rest = self._buffer[self._pos :] + self._take_later()
        self._buffer = b""
        self._pos = self._start = 0
        return rest

    def read(self, most: int = -1) -> list[Expression]:
        """Return the complete expressions, at most ``most`` of them; all if it is negative.

        Raises:
            LimitExceeded: an expression is larger or deeper than the limits allow.
            BananaError: the bytes are not valid banana.
        """
        if self._fault is not None:
            fault, self._fault = self._fault, None
            try:
                raise fault
            finally:
                del fault  # a reference cycle: this frame is in its traceback
        if self._dead:
            raise RuntimeError("decoder already failed")
        done: list[Expression] = []
        if self._wanted or self._pos == len(self._buffer):
            return done
        try:
            self._read(most, done)
            if self._later is not None:
                self._read_later(most, done)
        except BananaError as error:
            self._dead = True
            self.forget()
            # The frames of the traceback would keep the decoded values alive.
            error.with_traceback(None)
            if not done:
                raise error
            # The expressions before the fault are returned first. So the result does not depend on
            # the pieces in which the bytes arrive.
            self._fault = error
        return done

    def _read(self, most: int, done: list[Expression]) -> None:
        # One loop with local names: a call for each element would double the time of a long list.
        data, pos, stack = self._buffer, self._pos, self._open
        end = len(data)
        limits = self._limits
        longest = 7 * limits.max_prefix
        text_size = self._text_size
        most_elements, most_nodes, deepest = limits.max_list, limits.max_nodes, limits.max_depth
        nodes = self._nodes
        current, left = stack.pop() if stack else (done, -1)
        begin = pos
        item: Any
        try:
            while True:
                begin = pos
                byte = data[pos]
                pos += 1
                if byte < 0x80:
                    number = byte
                    byte = data[pos]
                    pos += 1
                    if byte < 0x80:
                        shift = 7
                        while byte < 0x80:
                            if shift >= longest:
                                raise self._long_prefix()
                            number |= byte << shift
                            shift += 7
                            byte = data[pos]
                            pos += 1
                else:
                    number = 0
                if byte == _STRING:
                    stop = pos + number
                    if number > limits.max_string:
                        raise limit_error(LimitExceeded, "max_string", limits.max_string, number)
                    if stop > end:
                        self._check_size(stop)
                        self._wanted = stop - begin
                        pos = begin
                        break
                    item = data[pos:stop]
                    pos = stop
                elif byte == _INT or byte == _LONGINT:  # noqa: SIM109 - a set costs each element
                    item = number
                elif byte == _VOCAB:
                    item = self._words.get(number)
                    if item is None:
                        raise _unknown_word(number)
                elif byte == _LIST:
                    # An empty list counts as a node too: two bytes on the wire, sixty in memory.
                    nodes += number or 1
                    depth = len(stack) + (left >= 0)
                    if number > most_elements or nodes > most_nodes or depth >= deepest:
                        raise self._too_large(number, depth + 1)
                    item = []
                    if number == 2 and data.startswith(_TEXT, pos) and pos + 11 <= end:
                        # A quick path for a short str, as in the writer: encoding and decoding a
                        # hundred rows of a table takes 0.91 of the instructions.
                        size, stop = data[pos + 9], pos + 11 + data[pos + 9]
                        if data[pos + 10] == _STRING and size < text_size and stop <= end:
                            item = [UNICODE, data[pos + 11 : stop]]
                            pos = stop
                            if nodes > _MANY_NODES:
                                item = self._known(item)
                    if number and not item:
                        if left >= 0:
                            stack.append((current, left))
                        current, left = item, number
                        continue
                elif byte == _NEG or byte == _LONGNEG:  # noqa: SIM109
                    item = -number
                elif byte == _FLOAT:
                    if pos + 8 > end:
                        pos = begin
                        break
                    item = _DOUBLE.unpack_from(data, pos)[0]
                    pos += 8
                else:
                    raise BananaError(f"unknown type byte 0x{byte:02x}")
                while left > 0:
                    current.append(item)
                    left -= 1
                    if left:
                        break
                    item = current
                    current, left = stack.pop() if stack else (done, -1)
                if left < 0:
                    self._check_size(pos)
                    done.append(item)
                    self._start = pos
                    self._seen = nodes = 0
                    if self._texts is not None:
                        self._texts = None
                    if len(done) == most:
                        self._behind_at = pos
                        break
        except IndexError:
            pos = begin
            self._check_size(end)
        self._nodes = nodes
        if left >= 0:
            stack.append((current, left))
        if self._wanted:
            self._parts.add(data[pos:])
            self._seen += pos - self._start
            self._buffer, pos, self._start = b"", 0, 0
        self._pos = pos

    def _read_later(self, most: int, done: list[Expression]) -> None:
        """Go on with the pieces behind the buffer when the buffer is used up."""
        while self._later is not None and (len(done) != most or self._pos == len(self._buffer)):
            self.feed(self._take_later())
            if len(done) == most:
                self._behind_at = 0
            elif not self._wanted:
                self._read(most, done)

    def _take_later(self) -> bytes:
        self._behind_at = -1
        later, self._later = self._later, None
        return b"" if later is None else later.take()

    def _known(self, text: list[bytes]) -> list[bytes]:
        """Return the expression of a str; for equal strs, the same expression."""
        if self._texts is None or len(self._texts) >= _MOST_TEXTS:
            self._texts = {}
        return self._texts.setdefault(text[1], text)

    def _long_prefix(self) -> BananaError:
        return limit_error(BananaError, "max_prefix", self._limits.max_prefix, what=PREFIX)

    def _too_large(self, length: int, depth: int) -> LimitExceeded:
        """Return the error for a list that exceeds a limit."""
        limits = self._limits
        if length > limits.max_list:
            return limit_error(LimitExceeded, "max_list", limits.max_list, length)
        if depth > limits.max_depth:
            return limit_error(LimitExceeded, "max_depth", limits.max_depth, depth)
        return limit_error(LimitExceeded, "max_nodes", limits.max_nodes)

    def _check_size(self, pos: int) -> None:
        most = self._limits.max_expression
        if self._seen + pos - self._start > most:
            raise limit_error(LimitExceeded, "max_expression", most)


def _text_size(limits: Limits) -> int:
    """Return the size from which a str is too long for the quick path; 0 if the tag is too long."""
    return min(0x80, limits.max_string + 1) if limits.max_string >= len(UNICODE) else 0


def _unknown_word(number: int) -> BananaError:
    shown = number if number.bit_length() <= 64 else f"of {number.bit_length()} bits"
    return BananaError(f"unknown vocabulary id {shown}")


def _head(number: int, code: int) -> bytes:
    """Return a number of at least 0 as 7-bit digits, least significant first, then a code."""
    if number < 0x80:
        return bytes((number, code))
    # Two and three digits without the loop: a list of 200,000 ints is written 1.3 times as fast.
    if number < 0x4000:
        return bytes((number & 0x7F, number >> 7, code))
    if number < 0x20_0000:
        return bytes((number & 0x7F, number >> 7 & 0x7F, number >> 14, code))
    digits = bytearray()
    while number:
        digits.append(number & 0x7F)
        number >>= 7
    digits.append(code)
    return bytes(digits)


# Nearly every number on the wire is small: a lookup in a table replaces the loop.
_INTS = [_head(number, _INT) for number in range(1024)]
_LISTS = [_head(number, _LIST) for number in range(128)]
_STRINGS = [_head(number, _STRING) for number in range(128)]
_TEXTS = [_head(2, _LIST) + _TEXT + head for head in _STRINGS]
_LARGEST_INT = (1 << 31) - 1


def int_bytes(number: int) -> bytes:
    """Return the element of an int; the caller has checked its length."""
    if 0 <= number < 1024:
        return _INTS[number]
    if number >= 0:
        return _head(number, _INT if number <= _LARGEST_INT else _LONGINT)
    # The lowest NEG is -2**31, the highest INT 2**31 - 1, as in PB.
    return _head(-number, _NEG if -number <= _LARGEST_INT + 1 else _LONGNEG)


def float_bytes(number: float) -> bytes:
    """Return the element of a float."""
    return b"\x84" + _DOUBLE.pack(number)


def string_head(length: int) -> bytes:
    """Return the head of a string of that length."""
    return _STRINGS[length] if length < 128 else _head(length, _STRING)


def list_head(length: int) -> bytes:
    """Return the head of a list of that length."""
    return _LISTS[length] if length < 128 else _head(length, _LIST)


class Writer:
    """Encodes expressions, with the limits that the peer's reader will enforce."""

    __slots__ = ("_limits", "_text_size", "_words")

    def __init__(self, limits: Limits, vocabulary: Mapping[bytes, int]):
        self._limits = limits
        self._words = {word: _head(number, _VOCAB) for word, number in vocabulary.items()}
        self._text_size = 0 if UNICODE in vocabulary else _text_size(limits)

    def encode(self, expression: Expression) -> bytes:
        """Return the bytes of one expression; tuples count as lists and bools as ints.

        Raises:
            TooLarge: a part, or the whole, exceeds a limit; the text names the limit and the fix.
            EncodeError: the expression contains a value other than int, float, bytes and lists.
        """
        return finish(self.walk(expression))

    def walk(self, expression: Expression, consumes: bool = False) -> Walk[bytes]:
        """Like `encode`, as a walk of ``jelly.slices``.

        Args:
            expression: the expression to encode.
            consumes: whether its lists may be emptied during the walk.

        Raises:
            TooLarge, EncodeError: see `encode`.
        """
        pieces: list[bytes] = []
        done: list[bytes] = []
        append = pieces.append
        words, limits = self._words, self._limits
        max_depth = limits.max_depth
        text_size = self._text_size
        nodes = 0
        elements: Iterator[Any] = iter((expression,))
        # The list that is emptied while its elements are written.
        source: list[Any] | None = None
        outer: list[tuple[Iterator[Any], list[Any] | None]] = []
        visits = VISITS
        while True:
            visits -= 1
            if not visits:
                # Joined, since many small pieces take much more memory than their bytes.
                done.append(b"".join(pieces))
                pieces.clear()
                yield UNFINISHED
                visits = VISITS
            for item in islice(elements, _ITEMS):
                kind = type(item)
                if kind is bytes:
                    code = words.get(item)
                    if code is not None:
                        append(code)
                        continue
                    length = len(item)
                    if length > limits.max_string:
                        raise _too_long(item, limits)
                    append(_STRINGS[length] if length < 128 else _head(length, _STRING))
                    append(item)
                elif kind is int:
                    append(_INTS[item] if 0 <= item < 1024 else _encode_int(item, limits))
                elif kind is list or kind is tuple:
                    length = len(item)
                    nodes += length or 1
                    if length > limits.max_list:
                        raise limit_error(TooLarge, "max_list", limits.max_list, length)
                    if length == 2 and item[0] is UNICODE and len(outer) < max_depth:
                        # A quick path for a short str, as in the reader.
                        text = item[1]
                        if type(text) is bytes and len(text) < text_size and text not in words:
                            append(_TEXTS[len(text)])
                            append(text)
                            continue
                    append(_LISTS[length] if length < 128 else _head(length, _LIST))
                    outer.append((elements, source))
                    is_emptied = consumes and kind is list and length >= MANY
                    elements = consumed(item) if is_emptied else iter(item)
                    source = item if is_emptied else None
                    if len(outer) > max_depth:
                        raise limit_error(TooLarge, "max_depth", limits.max_depth)
                    break
                elif kind is float:
                    append(float_bytes(item))
                else:
                    append(_encode_other(item, limits))
            else:
                if length_hint(elements) if source is None else source:
                    continue
                if not outer:
                    break
                elements, source = outer.pop()
        yield self._joined((*done, *pieces), nodes)

    def _joined(self, pieces: Iterable[bytes], nodes: int) -> bytes:
        encoded = b"".join(pieces)
        limits = self._limits
        if nodes > limits.max_nodes:
            raise limit_error(TooLarge, "max_nodes", limits.max_nodes, nodes, SENT)
        if len(encoded) > limits.max_expression:
            raise limit_error(TooLarge, "max_expression", limits.max_expression, len(encoded), SENT)
        return encoded


def _encode_int(number: int, limits: Limits) -> bytes:
    most, bits = limits.max_prefix, number.bit_length()
    if bits > 7 * most:
        raise limit_error(TooLarge, "max_prefix", most, bits, SENT, bits=7 * most)
    return int_bytes(number)


def _encode_other(item: object, limits: Limits) -> bytes:
    if isinstance(item, int):
        return _encode_int(int(item), limits)
    if isinstance(item, bytes | bytearray | memoryview):
        data = bytes(item)
        if len(data) > limits.max_string:
            raise _too_long(data, limits)
        return string_head(len(data)) + data
    raise EncodeError(f"banana carries int, float, bytes and list, not {type(item).__name__}")


def _too_long(data: bytes, limits: Limits) -> TooLarge:
    return limit_error(TooLarge, "max_string", limits.max_string, len(data), SENT)

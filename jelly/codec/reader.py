"""The reader of banana: decodes bytes, in any pieces, to expressions.

Theory of operation. The reader has one buffer and an index into it. A complete element is moved to
the open list at once, so no byte is parsed twice, and less than one element is left in the buffer.
The bytes of an incomplete string are kept as the received pieces, and joined once. Bytes that
arrive while complete expressions wait to be read are kept as pieces too, until the buffer is used
up. So each byte is copied a fixed number of times, however few expressions are read at a time.
Every limit is checked when a size is declared, before the reader waits for its bytes or elements.
There is no recursion: open lists are on a stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jelly.atoms import UNICODE, Expression
from jelly.codec.elements import (
    DOUBLE,
    FLOAT,
    INT,
    LIST,
    LONGINT,
    LONGNEG,
    NEG,
    STRING,
    TEXT,
    VOCAB,
    text_size,
)
from jelly.codec.runs import MANY as MANY_INTS
from jelly.codec.runs import decoded
from jelly.errors import BananaError, LimitExceeded
from jelly.limit_errors import PREFIX, limit_error
from jelly.limits import Limits
from jelly.parts import Parts

__all__ = ["Reader"]

# Least memory of an element in bytes, without the bytes of a string.
_ELEMENT: Final = 64
# Number of elements of a long expression, and most of its strs that are cached at a time.
_MANY_NODES: Final = 4096
_MOST_TEXTS: Final = 256


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
        self._text_size = text_size(limits)

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

    def feed(self, piece: object) -> None:
        """Take in bytes, or another buffer. Errors in them are raised by :meth:`read`.

        Raises:
            TypeError: it is not a buffer.
        """
        data = piece if type(piece) is bytes else bytes(memoryview(piece))  # type: ignore[arg-type]
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

    @property
    def rest(self) -> tuple[bytes, int]:
        """The buffer, and where its next expression begins; no bytes inside an expression."""
        if self._open or self._seen or self._wanted or self._fault is not None or self._dead:
            return b"", 0
        return self._buffer, self._pos

    def skip_to(self, pos: int) -> None:
        """Go on at a position of `rest`, since the expressions before it were read elsewhere."""
        if pos != self._pos:
            self._pos = self._start = self._behind_at = pos
            if self._later is not None and pos == len(self._buffer):
                self.feed(self._take_later())

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
        size_of_text = self._text_size
        most_elements, most_nodes, deepest = limits.max_list, limits.max_nodes, limits.max_depth
        nodes = self._nodes
        current, left = stack.pop() if stack else (done, -1)
        begin = pos
        item: Any
        tag = UNICODE
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
                if byte == STRING:
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
                elif byte == INT or byte == LONGINT:  # noqa: SIM109 - a set costs each element
                    item = number
                    if left >= MANY_INTS and not left & 15:
                        # Those behind it that have as many digits, at once.
                        run = decoded(data, pos, pos - begin, left - 1)
                        if run:
                            pos += len(run) * (pos - begin)
                            left -= len(run)
                            current.append(item)
                            item = run.pop()
                            current += run
                elif byte == VOCAB:
                    item = self._words.get(number)
                    if item is None:
                        raise _unknown_word(number)
                elif byte == LIST:
                    # An empty list counts as a node too: two bytes on the wire, sixty in memory.
                    nodes += number or 1
                    depth = len(stack) + (left >= 0)
                    if number > most_elements or nodes > most_nodes or depth >= deepest:
                        raise self._too_large(number, depth + 1)
                    item = []
                    if number == 2 and data.startswith(TEXT, pos) and pos + 11 <= end:
                        # A quick path for a short str, as in the writer: encoding and decoding a
                        # hundred rows of a table takes 0.91 of the instructions.
                        size, stop = data[pos + 9], pos + 11 + data[pos + 9]
                        if data[pos + 10] == STRING and size < size_of_text and stop <= end:
                            item = [tag, data[pos + 11 : stop]]
                            pos = stop
                            if nodes > _MANY_NODES:
                                item = self._known(item)
                    if number and not item:
                        if left >= 0:
                            stack.append((current, left))
                        current, left = item, number
                        continue
                elif byte == NEG or byte == LONGNEG:  # noqa: SIM109
                    item = -number
                elif byte == FLOAT:
                    if pos + 8 > end:
                        pos = begin
                        break
                    item = DOUBLE.unpack_from(data, pos)[0]
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


def _unknown_word(number: int) -> BananaError:
    shown = number if number.bit_length() <= 64 else f"of {number.bit_length()} bits"
    return BananaError(f"unknown vocabulary id {shown}")

"""The writer of banana: encodes expressions to bytes, with the limits that the peer enforces.

An expression is encoded in slices (``jelly.slices``). There is no recursion: open lists are on a
stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from operator import length_hint
from typing import Any, Final

from jelly.atoms import UNICODE, Expression
from jelly.codec.elements import (
    INTS,
    LIST,
    LISTS,
    STRING,
    STRINGS,
    TEXTS,
    VOCAB,
    float_bytes,
    head,
    int_bytes,
    string_head,
    text_size,
)
from jelly.codec.runs import MANY as MANY_INTS
from jelly.codec.runs import MOST_DIGITS, Run, in_runs
from jelly.errors import EncodeError, TooLarge
from jelly.limit_errors import SENT, limit_error
from jelly.limits import Limits
from jelly.slices import MANY, UNFINISHED, VISITS, Walk, consumed, finish

__all__ = ["Writer"]

# Elements of a list that are written in one visit.
_ITEMS: Final = 256


class Writer:
    """Encodes expressions, with the limits that the peer's reader will enforce."""

    __slots__ = ("_limits", "_text_size", "_words")

    def __init__(self, limits: Limits, vocabulary: Mapping[bytes, int]):
        self._limits = limits
        self._words = {word: head(number, VOCAB) for word, number in vocabulary.items()}
        self._text_size = 0 if UNICODE in vocabulary else text_size(limits)

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
        max_depth, tag = limits.max_depth, UNICODE
        has_runs = limits.max_prefix >= MOST_DIGITS
        size_of_text = self._text_size
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
                    append(STRINGS[length] if length < 128 else head(length, STRING))
                    append(item)
                elif kind is int:
                    append(INTS[item] if 0 <= item < 1024 else _encode_int(item, limits))
                elif kind is list or kind is tuple:
                    length = len(item)
                    nodes += length or 1
                    if length > limits.max_list:
                        raise limit_error(TooLarge, "max_list", limits.max_list, length)
                    if length == 2 and item[0] is tag and len(outer) < max_depth:
                        # A quick path for a short str, as in the reader.
                        text = item[1]
                        if type(text) is bytes and len(text) < size_of_text and text not in words:
                            append(TEXTS[len(text)])
                            append(text)
                            continue
                    append(LISTS[length] if length < 128 else head(length, LIST))
                    outer.append((elements, source))
                    is_emptied = consumes and kind is list and length >= MANY
                    source = item if is_emptied else None
                    if has_runs and length > MANY_INTS and type(item[-1]) is type(item[1]) is int:
                        source = item if is_emptied else list(item)
                        elements = in_runs(source)
                    else:
                        elements = consumed(item) if is_emptied else iter(item)
                    if len(outer) > max_depth:
                        raise limit_error(TooLarge, "max_depth", limits.max_depth)
                    break
                elif kind is float:
                    append(float_bytes(item))
                elif kind is Run:
                    append(item)
                    # It counts as a visit.
                    break
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

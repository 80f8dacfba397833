"""Writes the answer of a remote method as JSON: bounded, and safe to print.

Theory of operation. An answer is a graph: one list may occur at many places, and JSON has a copy at
each. So 24 nested lists, each of which occurs twice, are 16 million JSON values. The graph is first
measured in one pass over its distinct containers: how many JSON values each would be. Then it is
written piece by piece, up to a limit. The number of omitted values is written in their place.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from broker.commands.wording import shown
from jelly.security import class_name

__all__ = ["AT_A_TERMINAL", "UNBOUNDED", "Bounds", "Rendering", "as_json"]

_CYCLE: Final = "<the same again>"
_ELSE: Final = "…"
_MANY: Final = 10**18
_INDENT: Final = "  "
_LONGEST_OBJECT: Final = 200
_MOST_BITS: Final = 1024
_CONTAINERS = (dict, list, tuple, set, frozenset)
_TIMES = (datetime.date, datetime.time)
_NOT_ASCII = re.compile("[^ -~]")


class Bounds(NamedTuple):
    """The limits for a written answer.

    Attributes:
        values: the number of values that are not containers.
        characters: the total for all texts and keys.
        string: the characters of one text, or the bytes of one bytes object.
        depth: the nesting depth of containers.
    """

    values: int
    characters: int
    string: int
    depth: int


AT_A_TERMINAL: Final = Bounds(1_000, 65_536, 4_096, 32)
_ALL: Final = 1 << 60
UNBOUNDED: Final = Bounds(_ALL, _ALL, _ALL, _ALL)
_OF_A_KEY: Final = Bounds(100, 1_000, 200, 8)
_FEWEST_VALUES, _FEWEST_CHARACTERS, _DEEPEST = 5_000, 1_000_000, 400
# If containers occur more than once, at most this many times the number of distinct values.
_MOST_TIMES: Final = 20
_DEEPEST_INDENT: Final = 20
_COMPARED: Final = 10


def as_json(answer: object) -> str:
    """Return an answer as indented JSON, with the default bounds of `Rendering`."""
    return "".join(Rendering(answer).pieces())


class Rendering:
    """Writes one answer as JSON.

    Tuples and sets become lists; those of sets are sorted. Dates and times become text in ISO 8601,
    Decimals and ints of more than 1,024 bits become text, and bytes become text in base64. Floats
    that JSON lacks become ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``. An object becomes a text
    with the name of its class. Keys become text in the same forms. If two keys would be the same,
    the later one gets its type appended. Where a container contains itself, a text says so.

    Omitted values are reported by a last element ``"… 5 more"`` in a list, by a last item ``"…": "5
    more"`` in a dict, and by the ending ``… 5 more`` of a text. The numbers count values that are
    not containers, and characters or bytes. Control characters are escaped.

    Args:
        answer: the value to write.
        bounds: its limits. By default an answer without repeated containers is written whole. Any
            other has at most 20 times as many values as it has distinct ones, or 5,000 if that is
            more.
        is_ascii: escape all characters that are not ASCII.
        is_line: write it in one line.

    Attributes:
        is_cut: whether a part was omitted; valid after all pieces have been yielded.
    """

    def __init__(
        self,
        answer: object,
        bounds: Bounds | None = None,
        *,
        is_ascii: bool = False,
        is_line: bool = False,
    ):
        self.is_cut = False
        self._is_line = is_line
        self._answer = answer
        self._is_ascii = is_ascii
        self._weights, values, characters = _measured(answer)
        self._bounds = bounds or Bounds(
            max(values * _MOST_TIMES, _FEWEST_VALUES),
            max(characters * _MOST_TIMES, _FEWEST_CHARACTERS),
            _ALL,
            _DEEPEST,
        )
        if not isinstance(answer, _CONTAINERS):
            self._bounds = self._bounds._replace(string=self._bounds.characters)
        self._values, self._characters = self._bounds.values, self._bounds.characters

    def text(self) -> str | None:
        """Return an answer that is text in JSON without its quotes; None for any other answer.

        Line breaks and tabs are kept, other control characters are escaped.
        """
        if isinstance(self._answer, _CONTAINERS):
            return None
        value = self._leaf(self._answer)
        if not isinstance(value, str):
            return None
        return "".join(
            each if each in "\n\t" else shown(each, _ALL)
            for each in re.split(r"([\n\t])", value)
            if each
        )

    def pieces(self) -> Iterator[str]:
        """Yield the JSON, up to the bounds."""
        if not _is_full(self._answer):
            yield self._single(self._answer)
            return
        frames: list[_Frame] = []
        yield self._opened(frames, self._answer)
        while frames:
            frame = frames[-1]
            for child in frame.items:
                if self._values <= 0 or self._characters <= 0:
                    yield self._rest(frame, len(frames))
                    break
                yield self._label(frame, child, len(frames))
                value = child[1] if frame.is_dict else child
                frame.passed(self._weight(value))
                if _is_full(value) and not self._stands_for(frames, value):
                    yield self._opened(frames, value)
                    break
                yield self._single(value, frames)
            if frame is frames[-1]:
                frames.pop()
                yield f"{self._break(len(frames))}{'}' if frame.is_dict else ']'}"

    def _opened(self, frames: list[_Frame], container: Any) -> str:
        """Start a container; return the opening bracket."""
        parts: Iterable[Any] = container
        if isinstance(container, dict):
            parts = container.items()
        elif isinstance(container, set | frozenset):
            # If a set is too large, any of its elements may be chosen.
            parts = sorted(islice(container, self._values + 1), key=_order)
        frame = _Frame(container, iter(parts), self._weight(container))
        frames.append(frame)
        return "{" if frame.is_dict else "["

    def _stands_for(self, frames: list[_Frame], container: object) -> bool:
        """Whether a text replaces a container here: it contains itself, or is too deep."""
        return len(frames) >= self._bounds.depth or any(
            frame.container is container for frame in frames
        )

    def _label(self, frame: _Frame, child: Any, depth: int) -> str:
        """Return the text before an element, or before an item of a dict."""
        text = self._separator(frame, depth)
        if not frame.is_dict:
            return text
        key = _key(child[0])
        self._characters -= len(key)
        return f"{text}{self._quoted(frame.unique(self._cut_text(key), child[0]))}: "

    def _rest(self, frame: _Frame, depth: int) -> str:
        """Return the text that replaces the rest of a container."""
        text = self._left_out(frame.rest)
        begun = self._separator(frame, depth)
        if not frame.is_dict:
            return f"{begun}{self._quoted(text)}"
        key = self._quoted(frame.unique(_ELSE, None))
        return f"{begun}{key}: {self._quoted(text.removeprefix(f'{_ELSE} '))}"

    def _separator(self, frame: _Frame, depth: int) -> str:
        """Return the text before an element; there is a comma before all but the first."""
        if frame.is_empty:
            frame.is_empty = False
            return self._break(depth)
        return ", " if self._is_line else f",{self._break(depth)}"

    def _break(self, depth: int) -> str:
        """Return a line break and the indent of the next line; nothing within one line."""
        return "" if self._is_line else f"\n{_INDENT * min(depth, _DEEPEST_INDENT)}"

    def _left_out(self, count: int) -> str:
        self.is_cut = True
        return f"{_ELSE} {'over ' if count >= _MANY else ''}{min(count, _MANY):,} more"

    def _single(self, value: object, frames: Iterable[_Frame] = ()) -> str:
        """Return the JSON of a value that is written in one piece."""
        self._values -= 1
        if not isinstance(value, _CONTAINERS):
            leaf = self._leaf(value)
            return self._quoted(leaf) if isinstance(leaf, str) else json.dumps(leaf)
        if not value:
            return "{}" if isinstance(value, dict) else "[]"
        if any(frame.container is value for frame in frames):
            return self._quoted(_CYCLE)
        return self._quoted(self._left_out(self._weight(value)))

    def _leaf(self, value: object) -> object:
        """Return the JSON value of a non-container, with a text cut to its limit."""
        if isinstance(value, bytes | bytearray | memoryview):
            most = self._bounds.string
            text = base64.b64encode(value[:most]).decode("ascii")
            self._characters -= len(text)
            return text if len(value) <= most else text + self._left_out(len(value) - most)
        leaf = _plain(value)
        if not isinstance(leaf, str):
            return leaf
        self._characters -= len(leaf)
        return self._cut_text(leaf)

    def _cut_text(self, text: str) -> str:
        more = len(text) - self._bounds.string
        return text if more <= 0 else text[: self._bounds.string] + self._left_out(more)

    def _weight(self, value: object) -> int:
        return self._weights.get(id(value), 1) if isinstance(value, _CONTAINERS) else 1

    def _quoted(self, text: str) -> str:
        quoted = json.dumps(text, ensure_ascii=self._is_ascii)
        # JSON allows characters in a text that may change what a terminal shows: U+2028, C1
        # controls, surrogates.
        return quoted if quoted.isprintable() else _NOT_ASCII.sub(_escaped, quoted)


class _Frame:
    """A container that is being written.

    Attributes:
        container: the container.
        is_dict: whether it has keys.
        items: the rest of it, still to be written.
        rest: how many values the rest has.
        is_empty: whether nothing of it was written yet.
    """

    __slots__ = ("_keys", "container", "is_dict", "is_empty", "items", "rest")

    def __init__(self, container: object, items: Iterator[Any], weight: int):
        self.container = container
        self.is_dict = isinstance(container, dict)
        self.items = items
        self.rest = weight
        self.is_empty = True
        self._keys: set[str] = set()

    def passed(self, weight: int) -> None:
        """Count this many values as written."""
        if self.rest < _MANY:
            self.rest = max(1, self.rest - weight)

    def unique(self, text: str, key: object) -> str:
        """Return the text of a key, different from those before it."""
        while text in self._keys:
            text += f" ({type(key).__name__})"
        self._keys.add(text)
        return text


def _is_full(value: object) -> bool:
    return isinstance(value, _CONTAINERS) and bool(value)


def _plain(value: object) -> object:
    """Convert a value that is neither a container nor bytes to a JSON value."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _MOST_BITS else hex(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, _TIMES):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return msgspec.to_builtins(value)
    return _object(value)


def _object(value: object) -> str:
    """Return a text for an object: a short ``repr`` if it is of this library, else its class."""
    cls = type(value)
    if cls.__module__.partition(".")[0] in ("broker", "cred", "jelly"):
        try:
            text = repr(value)[:_LONGEST_OBJECT]
        except Exception:  # noqa: BLE001 - its class is shown instead
            text = ""
        if text:
            return text if text.startswith("<") else f"<{text}>"
    return f"<{class_name(cls)} object>"


def _key(key: object) -> str:
    """Return the text of a key."""
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return base64.b64encode(key).decode("ascii")
    if isinstance(key, _CONTAINERS):
        return re.sub(r"\n *", "", "".join(Rendering(key, _OF_A_KEY).pieces()))
    plain = _plain(key)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _order(value: object) -> tuple[int, str, float]:
    """Return the sort key for elements of a set: texts, then numbers, then others by type."""
    if isinstance(value, str):
        return 0, value, 0
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 1, "", value
    if not isinstance(value, _CONTAINERS):
        return 2, f"{type(value).__name__} {_key(value)}", 0
    # Only its own elements are used, since deeper ones may be without limit.
    texts = [
        type(part).__name__ if isinstance(part, _CONTAINERS) else _key(part)
        for part in islice(_children(value), _COMPARED)
    ]
    if isinstance(value, frozenset):
        texts.sort()
    return 2, f"{type(value).__name__} {texts}", 0


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]


def _measured(answer: object) -> tuple[dict[int, int], int, int]:
    """Measure a graph.

    Returns:
        For the id of each container the number of its values when expanded as a tree, at most
        10**18; the number of values of all distinct containers; and the number of their characters.
    """
    weights: dict[int, int] = {}
    values = characters = 1
    pending = [(answer, _children(answer), [0])] if isinstance(answer, _CONTAINERS) else []
    begun = {id(answer)}
    while pending:
        container, children, weight = pending[-1]
        for child in children:
            if isinstance(child, _CONTAINERS):
                values += 1
                known = weights.get(id(child))
                if known is None and id(child) not in begun:
                    begun.add(id(child))
                    pending.append((child, _children(child), [0]))
                    break
                weight[0] += 1 if known is None else known
            else:
                values += 1
                weight[0] += 1
                characters += len(child) * 2 if isinstance(child, str | bytes) else 40
        else:
            pending.pop()
            weights[id(container)] = total = min(_MANY, max(1, weight[0]))
            if isinstance(container, dict):
                characters += sum(len(key) * 2 if isinstance(key, str) else 40 for key in container)
            if pending:
                pending[-1][2][0] += total
    return weights, values, characters


def _children(container: Any) -> Iterator[Any]:
    return iter(container.values() if isinstance(container, dict) else container)

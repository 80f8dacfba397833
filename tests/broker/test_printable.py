"""Values and errors that hold what a peer sent are shown in a bounded number of steps."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections import OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec import Struct
from support.effort import units

from broker.errors import RemoteError
from broker.printable import is_small, repr_of, text_of_error


def expanding(levels: int) -> list[Any]:
    """Return a list of two references to the same list, and so on: a tree of 2**levels leaves."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value, value]
    return value


@dataclasses.dataclass
class Point:
    """Its repr is made of what it holds."""

    x: Any


class Row(Struct, gc=False):
    """One that the garbage collector does not know."""

    x: Any


class Slots:
    """One without a dict."""

    __slots__ = ("x",)

    def __init__(self, x: Any):
        self.x = x

    def __repr__(self) -> str:
        return f"Slots({self.x!r})"


class Words(Exception):
    """Its text is made of its arguments, by a method of its own."""

    def __str__(self) -> str:
        return "words: " + repr(self.args)


class Kept(Exception):
    """Its text is made of an attribute."""

    def __init__(self, kept: Any):
        super().__init__("kept")
        self.kept = kept

    def __str__(self) -> str:
        return f"kept {self.kept}"


class Broken(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


WRAPPERS: list[Callable[[Any], Any]] = [
    lambda value: value,
    lambda value: (value,),
    lambda value: {"key": value},
    lambda value: {(1, "x"): [value]},
    deque,
    Point,
    Row,
    Slots,
    Words,
    lambda value: OrderedDict(x=value),
    lambda value: [Point(value)] * 100,
    lambda value: ExceptionGroup("group", [ValueError(value)] * 100),
]
CLASSES: list[Callable[[Any], BaseException]] = [KeyError, ValueError, Words, Kept]


@pytest.mark.parametrize("levels", [24, 44])
@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("cls", CLASSES)
def test_shared_parts(levels: int, wrap: Callable[..., Any], cls: Callable[..., Any]) -> None:
    """A graph that is large as a tree is never expanded, wherever in an error it is."""
    error = cls(wrap(expanding(levels)))
    assert units(lambda: (text_of_error(error), repr_of(error.args)), 10) <= 10
    text = text_of_error(error)
    shown = repr_of(error.args)
    assert len(text) <= 1000
    assert len(shown) <= 1000


LARGE = [
    "x" * 15_000_000,
    b"x" * 15_000_000,
    [1] * 1_000_000,
    1 << 4_000_000,
    Decimal(1 << 100_000),
]


@pytest.mark.parametrize("large", LARGE, ids=lambda large: type(large).__name__)
@pytest.mark.parametrize("cls", CLASSES)
def test_large_values(large: object, cls: Callable[..., BaseException]) -> None:
    """Of a large value the beginning is shown, or its size, and the rest is not looked at."""
    error = cls(large)
    assert units(lambda: text_of_error(error), 2) <= 2
    text = text_of_error(error)
    assert 0 < len(text) <= 1000


ORDINARY = [
    ValueError(),
    ValueError("text"),
    ValueError("a\nb"),
    ValueError(1, "two", [3]),
    ValueError(Point(1)),
    ValueError({"a": Slots(1), "b": (1,), "c": {1}, "d": frozenset({2})}),
    KeyError("key"),
    KeyError(("a", 1)),
    Words("a", 1),
    Kept({"x": 1}),
    OSError(2, "No such file", "/x", None, "/y"),
    UnicodeDecodeError("utf-8", b"\xff" * 1_000_000, 0, 1, "invalid start byte"),
    json.JSONDecodeError("Expecting value", "[" * 1_000_000, 5),
    ExceptionGroup("two", [ValueError(1), KeyError(2)]),
    ValueError(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
    ValueError(Row(5)),
    RemoteError("builtins.KeyError", "'x'"),
]


@pytest.mark.parametrize("error", ORDINARY, ids=repr)
def test_ordinary_errors(error: BaseException) -> None:
    """The text of an ordinary error is that of str, and its repr is as it was."""
    assert text_of_error(error) == str(error)
    if is_small(error):
        assert repr_of(error) == repr(error)


def test_long_texts() -> None:
    """A text that is longer than there is room ends with dots; where there is room it is whole."""
    error = ValueError("x" * 10_000)
    assert text_of_error(error, 20_000) == str(error)
    assert text_of_error(error, 100) == "x" * 97 + "..."
    remote = RemoteError("a.B", "x" * 15_000_000)
    assert text_of_error(remote, 20) == "x" * 17 + "..."
    remote.tells_type = True
    assert text_of_error(remote, 20) == "a.B: " + "x" * 12 + "..."


def test_texts_that_raise() -> None:
    """A class whose own text raises is told by its name."""
    assert text_of_error(Broken()) == "<Broken whose str() raised ZeroDivisionError>"
    assert repr_of(Broken()) == "<Broken whose repr() raised ZeroDivisionError>"


def test_parts_of_large_values() -> None:
    """Of a large value the small parts are shown as they are."""
    value = {"a": 1, "b": Point(2), "c": expanding(44), "d": (3,)}
    shown = repr_of(value)
    assert shown.startswith("{'a': 1, 'b': Point(x=2), 'c': [[[[[[...")
    assert shown.endswith("'d': (3,)}")
    assert repr_of([Point(expanding(44))]) == f"[<{__name__}.Point object>]"
    assert repr_of([1 << 5_000, expanding(44)]).startswith("[<int of 5001 bits>, ")

"""Plain values are those that a typed decoder gives back as they were, types and sharing too."""

from __future__ import annotations

import enum
from collections import OrderedDict, namedtuple
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.wire.values import ARGUMENTS, DEPTH, KEYWORDS, VALUE, are_plain


def nested(levels: int, make: Any = lambda inner: [inner]) -> Any:
    """Return a scalar inside that many containers."""
    value: Any = 1
    for _ in range(levels):
        value = make(value)
    return value


PLAIN: list[Any] = [
    None, True, 5, -5, 2**200, 1.5, float("nan"), "é", "", [], {}, [[]], [{}], {"": {}},
    [1, "a", [None]], {"a": {"b": [1.5]}}, [[1], [1]], {"a": [], "b": []},
    nested(DEPTH), nested(DEPTH, lambda inner: {"k": inner}), [1] * 1000,
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN)
def test_plain(value: Any) -> None:
    """Trees of None, bool, int, float, str, list, and dict with str keys are plain."""
    assert are_plain((value,))
    assert are_plain([value, 1, "x"])


SHARED: list[Any] = []
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


class Text(str):
    """A str, but not exactly."""


class Number(enum.IntEnum):
    """Ints, but not exactly."""

    ONE = 1


NOT_PLAIN: list[Any] = [
    b"x", bytearray(b"x"), (), (1,), {1}, frozenset(), object(), 1j, Text("x"), Number.ONE,
    type("List", (list,), {})(), OrderedDict(), namedtuple("Pair", "a b")(1, 2), int,
    {1: 2}, {None: 1}, {b"a": 1}, {(): 1}, {Text("a"): 1}, {"a": 1, 2: 3}, {True: 1},
    [SHARED, SHARED], {"a": SHARED, "b": [SHARED]}, [SHARED, [SHARED]], [[[SHARED]], SHARED], CYCLE,
    nested(DEPTH + 1), nested(DEPTH + 1, lambda inner: {"k": inner}), [*nested(DEPTH), b"x"],
    nested(1000),
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_PLAIN, ids=lambda value: type(value).__name__)
def test_not_plain(value: Any) -> None:
    """Whatever is of another type, shared, in a cycle or too deep is not, wherever it stands."""
    assert not are_plain((value,))
    assert not are_plain((1, value))
    for inside in ([value], {"k": value}, [1, [], {"k": [value]}]):
        assert not are_plain((inside,))


def test_values_of_one_message_share_nothing() -> None:
    """A container that is met in two of the values is met twice."""
    assert are_plain(([], []))
    assert not are_plain((SHARED, SHARED))
    assert not are_plain((SHARED, {"k": [SHARED]}))
    text = "x" * 100
    assert are_plain((text, [text], {text: text}))


def test_nothing_at_all() -> None:
    """No values are plain; a generator may bring them."""
    assert are_plain(())
    assert are_plain(iter([1, []]))
    assert not are_plain(iter([1, object()]))


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False),
    st.text(max_size=3), st.binary(max_size=3),
)  # fmt: skip
KEYS = st.one_of(st.text(max_size=3), st.text(max_size=3), st.integers(0, 3))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(KEYS, inner, max_size=3),
        inner.map(lambda value: [value, value]),
    ),
    max_leaves=12,
)


def is_tree(value: Any, depth: int, seen: set[int]) -> bool:
    """The definition, by a walk."""
    kind = type(value)
    if kind in (type(None), bool, int, float, str):
        return True
    if kind not in (list, dict) or depth == 0 or id(value) in seen:
        return False
    seen.add(id(value))
    if kind is dict and not all(type(key) is str for key in value):
        return False
    items = value.values() if kind is dict else value
    return all(is_tree(item, depth - 1, seen) for item in items)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=3))
def test_what_is_plain(values: list[Any]) -> None:
    """Values are plain exactly if they are trees of exactly these types, DEPTH deep at most."""
    seen: set[int] = set()
    assert are_plain(values) == all(is_tree(value, DEPTH, seen) for value in values)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=3), st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_plain_values_come_back_as_they_were(args: list[Any], kw: dict[str, Any]) -> None:
    """What is plain, a typed decoder takes, and gives back equal and of the same types."""
    if are_plain([*args, *kw.values()]):
        for value, kind in ((tuple(args), ARGUMENTS), (kw, KEYWORDS), *((v, VALUE) for v in args)):
            back = msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=kind)
            assert repr(back) == repr(value)


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"k": inner}])
def test_the_types_are_as_deep(make: Any) -> None:
    """A typed decoder takes DEPTH containers, and refuses one more."""
    for value, kind in ((nested(DEPTH, make), VALUE), ([nested(DEPTH, make)], ARGUMENTS)):
        data = msgspec.msgpack.encode(value)
        assert repr(msgspec.msgpack.decode(data, type=kind)).count("1") == 1
    for value, kind in ((nested(DEPTH + 1, make), VALUE), ([nested(DEPTH + 1, make)], ARGUMENTS)):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=kind)


def test_the_depth_of_the_wire() -> None:
    """Both ends of the wire agree on six; another number is another dialect."""
    assert DEPTH == 6


@pytest.mark.parametrize("value", [b"x", {1: 2}, {b"a": 1}, {None: 1}])
def test_the_types_take_nothing_else(value: Any) -> None:
    """Bytes and other keys than text are refused by the decoder."""
    for data, kind in ((value, VALUE), ([value], ARGUMENTS), ({"k": value}, KEYWORDS)):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(data), type=kind)

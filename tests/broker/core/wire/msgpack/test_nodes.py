"""What a msgpack body would cost is counted by its heads."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.wire.msgpack.nodes import checked, is_within, most_unchecked
from jelly.errors import LimitExceeded
from jelly.limits import Limits
from jelly.slices import UNFINISHED, finish


def check_nodes(body: Any, most: int) -> None:
    """Refuse a body of more elements."""
    finish(checked(memoryview(body), Limits(max_nodes=max(most, 1))))


def nodes_of(value: Any) -> int:
    """How many elements a value is, by a walk."""
    if isinstance(value, list):
        return 1 + sum(map(nodes_of, value))
    if isinstance(value, dict):
        return 3 + sum(1 + nodes_of(key) + nodes_of(item) for key, item in value.items())
    return 1


def assert_counts(body: bytes, nodes: int) -> None:
    """A body is of so many elements: one less is refused."""
    check_nodes(body, nodes)
    if nodes == 1:
        return
    with pytest.raises(LimitExceeded, match=rf"more than {nodes - 1} nodes \(max_nodes\)"):
        check_nodes(body, nodes - 1)


# Each form that msgpack has, with the lengths at which it takes the next.
ONE_EACH: list[Any] = [
    None, True, False, 0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1,
    -1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63), 1.5,
    *["\x90" * n for n in (0, 1, 15, 16, 100, 40_000)],
    *["a" * n for n in (31, 32, 255, 256, 65_535, 65_536)],
    *[b"\x90" * n for n in (0, 1, 255, 256, 65_535, 65_536)],
    *[msgspec.msgpack.Ext(5, b"\x90" * n) for n in (1, 2, 4, 8, 16, 3, 255, 256, 65_535, 65_536)],
    dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
]  # fmt: skip


@pytest.mark.parametrize("value", ONE_EACH)
def test_each_form_is_one_element(value: Any) -> None:
    """Whatever its length, a value that holds no other is one element, and so is what follows."""
    assert_counts(msgspec.msgpack.encode([value, value, 1]), 4)


def test_a_float_of_four_bytes() -> None:
    """Our encoder writes none; other implementations may."""
    assert_counts(b"\x92\xca\x90\x90\x90\x90\x01", 3)


@pytest.mark.parametrize("count", [0, 15, 16, 65_535, 65_536])
def test_lists_and_maps(count: int) -> None:
    """A list counts as one, a map as three and each entry as one, besides what they hold."""
    assert_counts(msgspec.msgpack.encode([1] * count), count + 1)
    assert_counts(msgspec.msgpack.encode(dict.fromkeys(map(str, range(count)))), 3 * count + 3)


VALUES = st.recursive(
    st.one_of(st.none(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_any_value(value: Any) -> None:
    """A body is of as many elements as the walk over its value meets."""
    assert_counts(msgspec.msgpack.encode(value), nodes_of(value))


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """No body makes anything but LimitExceeded, and none hangs."""
    with contextlib.suppress(LimitExceeded):
        check_nodes(body, 3 * len(body))


def test_no_more_is_looked_at_than_is_allowed() -> None:
    """Of a body of too many elements, those behind are not looked at."""

    class Counting:
        looked = 0

        def __len__(self) -> int:
            return 1 << 40

        def __getitem__(self, index: Any) -> int:
            self.looked += 1
            return 0xC0

    body: Any = Counting()
    with pytest.raises(LimitExceeded):
        finish(checked(body, Limits(max_nodes=100)))
    # One more for the number of the command.
    assert body.looked == 102


def bound(value: Any, **limits: int) -> None:
    """Check a call with a value against limits, of which the others are the defaults."""
    body = msgspec.msgpack.encode((1, 1, 1, "echo", (value,), {}))
    finish(checked(memoryview(body), Limits(**limits)))


def nested(levels: int) -> Any:
    """Lists inside each other."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("largest", "larger", "limits", "words"),
    [
        ("x" * 1000, "x" * 1001, {"max_string": 1000}, "string of 1001 bytes (max_string 1000)"),
        (b"x" * 20, b"x" * 21, {"max_string": 20}, "string of 21 bytes (max_string 20)"),
        ("é" * 10, "é" * 11, {"max_string": 20}, "string of 22 bytes (max_string 20)"),
        ([0] * 100, [0] * 101, {"max_list": 100}, "list of 101 elements (max_list 100)"),
        (dict.fromkeys(map(str, range(100))), dict.fromkeys(map(str, range(101))),
         {"max_list": 100}, "list of 101 elements (max_list 100)"),
        (nested(8), nested(9), {"max_depth": 10}, "nesting deeper than 10 (max_depth)"),
        ([{"a": nested(6)}], [{"a": nested(7)}], {"max_depth": 10},
         "nesting deeper than 10 (max_depth)"),
        ([[1], nested(7), [2]], [[1], [2], nested(8)], {"max_depth": 10},
         "nesting deeper than 10 (max_depth)"),
    ],
)  # fmt: skip
def test_sizes(largest: Any, larger: Any, limits: dict[str, int], words: str) -> None:
    """Strings, lists, maps and depth are bounded, to the byte, the element and the level."""
    bound(largest, **limits)
    with pytest.raises(LimitExceeded) as caught:
        bound(larger, **limits)
    assert str(caught.value) == words


def test_the_defaults_are_of_pb() -> None:
    """At PB's own limits, and at the depth of the types, the frame alone is bounded."""
    bound("x" * 700_000)
    bound([0] * 700_000)
    bound(nested(97))
    assert most_unchecked(Limits()) == 1_000_000
    assert most_unchecked(Limits(max_string=1 << 20, max_depth=200)) == 1_000_000
    assert most_unchecked(Limits(max_string=1000, max_list=100, max_depth=10)) == 10


def test_slices() -> None:
    """A body of many elements is checked in many slices."""
    body = msgspec.msgpack.encode([0] * 100_000)
    results = list(checked(memoryview(body), Limits()))
    assert results == [UNFINISHED] * 12 + [None]


SMALL = Limits(max_depth=16, max_expression=64 * 1024, max_nodes=2_000)
"""Such limits hold before a login."""


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([0x81, 0x91, 0x9F, 0x8F, 0xA1, 1])).map(bytes),
    st.builds(
        Limits,
        max_depth=st.integers(5, 100),
        max_nodes=st.integers(10, 3000),
        max_string=st.sampled_from([100, 256, 257, 1000]),
        max_list=st.integers(10, 20),
    ),
)
@settings(max_examples=2000)
def test_what_certainly_is_within(body: bytes, limits: Limits) -> None:
    """A body that certainly is within the limits passes the check of its heads, whatever it is."""
    if is_within(body, limits):
        assert finish(checked(memoryview(body), limits)) is None


@pytest.mark.parametrize(
    ("value", "is_small"),
    [
        ((7, 1, 1, "root", "login", (["tuple", b"a", "x" * 100, ["None"]], ["dictionary"])), True),
        ((1, 6, {"once": 0, "instance": 2**60}), True),
        ([[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]], False),
        ([1] * 16, False),
        ("x" * 256, False),
        (b"x" * 256, False),
        ([{}] * 15, True),
        ("\x90", True),
    ],
)  # fmt: skip
def test_small_frames(value: Any, is_small: bool) -> None:
    """The frames of a login need no look at each head; long and deep ones do."""
    assert is_within(msgspec.msgpack.encode(value), SMALL) == is_small

"""Long lists of ints: many at a time have the bytes and the values that each has alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jelly.codec import Reader, Writer, int_bytes, list_head
from jelly.codec.runs import MANY, Run, decoded, in_runs
from jelly.errors import BananaError, TooLarge
from jelly.limits import Limits
from jelly.slices import UNFINISHED
from jelly.vocabulary import NONE_VOCABULARY

EDGES = [0, 1, 127, 128, 2**14 - 1, 2**14, 2**21 - 1, 2**21, 2**28 - 1, 2**28, 2**31 - 1, 2**31, -1]


def alone(items: list[Any]) -> bytes:
    """The bytes of a list whose ints are encoded one by one."""
    encode = Writer(Limits(), NONE_VOCABULARY).encode
    each = [int_bytes(item) if type(item) is int else encode(item) for item in items]
    return list_head(len(items)) + b"".join(each)


def written(items: Any, **options: Any) -> bytes:
    """The bytes of a list, in slices."""
    walk = Writer(Limits(), NONE_VOCABULARY).walk(items, **options)
    return next(each for each in walk if each is not UNFINISHED)  # type: ignore[return-value]


def read(data: bytes, size: int, limits: Limits | None = None) -> list[Any]:
    """The expressions of bytes that come in pieces."""
    reader, found = Reader(limits or Limits(), NONE_VOCABULARY), []
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
        found += reader.read()
    return found


LISTS = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from(EDGES),
            st.integers(0, 2**29),
            st.sampled_from([b"x", 1.5, [1, 2], [], True]),
        ),
        st.sampled_from([1, 1, 2, 7, 8, 9, 100, MANY, MANY + 1, 1000]),
    ),
    max_size=6,
).map(lambda parts: [item for item, count in parts for _ in range(count)])


@given(LISTS, st.sampled_from([5, 1000, 4097, 1 << 20]))
def test_lists_of_ints(items: list[Any], size: int) -> None:
    """Lists are written as if each int were alone, and read in any pieces as they were.

    A list is emptied only if that is allowed.
    """
    data = alone(items)
    before = list(items)
    assert written(items) == data
    assert items == before
    assert written(tuple(items)) == data
    assert read(data, size) == [items]
    assert [*map(type, read(data, size)[0])] == [bool_as_int(type(item)) for item in items]
    assert written(items, consumes=True) == data


def bool_as_int(kind: type) -> type:
    """The type that comes back."""
    return int if kind is bool else kind


@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_runs(digits: int) -> None:
    """All ints of as many digits are one run, until there is another one."""
    least, most = (128 ** (digits - 1), 128**digits - 1)
    ints = [least + number * 97 % (most - least + 1) for number in range(MANY)]
    data = b"".join(map(int_bytes, ints))
    assert list(in_runs([*ints])) == [data]
    assert type(next(in_runs([*ints]))) is Run
    assert decoded(data, 0, digits + 1, 2 * MANY) == ints
    assert decoded(b"x" + data, 1, digits + 1, 100) == ints[:100]
    longer = int_bytes(most + 1)
    assert decoded(data[: 10 * (digits + 1)] + longer + data, 0, digits + 1, MANY) == ints[:10]
    assert decoded(data[: 7 * (digits + 1)] + longer, 0, digits + 1, MANY) == []
    assert list(in_runs([*ints, most + 1])) == [data, most + 1]
    assert list(in_runs([*ints[:20], b"x"])) == [*ints[:20], b"x"]


@pytest.mark.parametrize("item", [2**28, -1, True, b"x", 1.5, [1]])
def test_what_makes_no_run(item: Any) -> None:
    """Longer ints, negative ones and other values are left as they are."""
    assert list(in_runs([item] * 20)) == [item] * 20
    assert list(in_runs([5] * 7)) == [5] * 7
    assert decoded(b"\x05\x83" * 20, 0, 2, 20) == []
    assert decoded(b"\x05\x05\x05\x05\x05\x81" * 20, 0, 6, 20) == []


def test_long_lists_are_done_in_slices() -> None:
    """A slice has a hundred visits, each of one run at most."""
    walk = Writer(Limits(), NONE_VOCABULARY).walk([*range(600_000)])
    assert sum(1 for _ in walk) > 600_000 // MANY // 100


def test_limits_hold() -> None:
    """Few digits, and lists that are too long, are refused as without runs."""
    many = [3000] * 2000
    with pytest.raises(TooLarge, match="max_prefix"):
        Writer(Limits(max_prefix=1), NONE_VOCABULARY).encode(many)
    with pytest.raises(TooLarge, match="max_list"):
        Writer(Limits(max_list=1999), NONE_VOCABULARY).encode(many)
    with pytest.raises(TooLarge, match="max_expression"):
        Writer(Limits(max_expression=5000), NONE_VOCABULARY).encode(many)
    data = alone(many)
    for limits in (Limits(max_prefix=1), Limits(max_expression=5000), Limits(max_nodes=1999)):
        with pytest.raises(BananaError):
            read(data, 1 << 20, limits)

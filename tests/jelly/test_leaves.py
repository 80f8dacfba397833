"""Scalars, both ways, and every malformed form of them."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest

from jelly import leaves
from jelly.errors import CannotJelly, LimitExceeded, MalformedJelly
from jelly.limits import Limits

UTC = dt.UTC

BOTH_WAYS = [
    (None, [b"None"]),
    (True, [b"boolean", b"true"]),
    (False, [b"boolean", b"false"]),
    ("", [b"unicode", b""]),
    ("ü€😀", [b"unicode", "ü€😀".encode()]),
    (Decimal("1.50"), [b"decimal", 150, -2]),
    (Decimal("-3E+6"), [b"decimal", -3, 6]),
    (Decimal("0"), [b"decimal", 0, 0]),
    (dt.datetime(2020, 1, 2, 3, 4, 5, 6), [b"datetime", b"2020 1 2 3 4 5 6"]),
    (dt.datetime.max, [b"datetime", b"9999 12 31 23 59 59 999999"]),
    (dt.date(1, 1, 1), [b"date", b"1 1 1"]),
    (dt.time(23, 59, 58, 7), [b"time", b"23 59 58 7"]),
    (dt.timedelta(-1, 2, 3), [b"timedelta", b"-1 2 3"]),
    (dt.timedelta.max, [b"timedelta", b"999999999 86399 999999"]),
]


def read(expression: list[Any], **limits: int) -> Any:
    """Decode a scalar by its tag."""
    return leaves.READERS[expression[0]](expression, Limits(**limits))


@pytest.mark.parametrize(("value", "expression"), BOTH_WAYS)
def test_both_ways(value: Any, expression: list[Any]) -> None:
    """Each value is written as its expression, which is read as the same value of the same type."""
    assert leaves.WRITERS[type(value)](value) == expression
    back = read(expression)
    assert (type(back), back) == (type(value), value)


def test_the_types() -> None:
    """Each set of types is within the next; the last has one for each row, and those without."""
    assert {type(value) for value in (1, 1.0, b"")} == leaves.ATOMS
    assert {type(value) for value in (1, 1.0, b"", "", True, None)} == leaves.SCALARS
    assert leaves.SCALARS < leaves.LEAVES
    assert {type(value) for value, _ in BOTH_WAYS} == leaves.LEAVES - leaves.ATOMS


def test_every_row_is_tested() -> None:
    """The table above has every scalar."""
    assert set(leaves.WRITERS) == {type(value) for value, _ in BOTH_WAYS}
    # An int is itself; this form is for dialects whose own ints end at 64 bits.
    assert set(leaves.READERS) == {expression[0] for _, expression in BOTH_WAYS} | {b"int"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("\ud800", "lone surrogate has no UTF-8 form"),
        (Decimal("NaN"), "Decimal that is not finite"),
        (Decimal("-Infinity"), "Decimal that is not finite"),
        (Decimal("1" * 1001), "Decimal of 1001 digits has no expression"),
        (dt.datetime(2020, 1, 1, tzinfo=UTC), "datetime with a time zone has no pb expression"),
        (dt.time(1, tzinfo=UTC), "time with a time zone has no pb expression"),
    ],
)
def test_what_has_no_expression(value: Any, text: str) -> None:
    """What the wire cannot carry is refused, with the way out."""
    with pytest.raises(CannotJelly, match=text):
        leaves.WRITERS[type(value)](value)


ZONE = dt.timezone(dt.timedelta(hours=-5, minutes=-30, seconds=-1))


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        (dt.datetime(2001, 2, 3, 4, 5, 6, 7), [b"datetime", b"2001 2 3 4 5 6 7"]),
        (dt.datetime(2001, 2, 3, tzinfo=UTC), [b"datetime", b"2001 2 3 0 0 0 0", 0]),
        (dt.datetime(2001, 2, 3, tzinfo=ZONE), [b"datetime", b"2001 2 3 0 0 0 0", -19_801]),
        (dt.datetime(1, 1, 1, tzinfo=ZONE), [b"datetime", b"1 1 1 0 0 0 0", -19_801]),
    ],
)
def test_datetimes_with_a_zone(value: Any, expression: list[Any]) -> None:
    """Where the dialect has zones, a datetime has its offset in seconds, and nothing of its name.

    The offset of one without a zone is left out.
    """
    assert leaves.ZONED_WRITERS[dt.datetime](value) == expression
    back = read(expression)
    assert (back, back.utcoffset()) == (value, value.utcoffset())


class Nowhere(dt.tzinfo):
    """A zone without an offset, or with one that is not whole seconds."""

    def __init__(self, offset: dt.timedelta | None):
        self.offset = offset

    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta | None:
        """Return it."""
        return self.offset


@pytest.mark.parametrize("offset", [None, dt.timedelta(microseconds=5)])
def test_zones_without_whole_seconds(offset: Any) -> None:
    """An offset that is not known, or not whole seconds, is refused."""
    with pytest.raises(CannotJelly, match="offset from UTC is not whole seconds"):
        leaves.ZONED_WRITERS[dt.datetime](dt.datetime(2001, 2, 3, tzinfo=Nowhere(offset)))


def test_uuids() -> None:
    """A UUID is its 16 bytes; a state of another form is left to who registered the class."""
    value = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
    expression = leaves.UNSHARED_WRITERS[uuid.UUID](value)
    assert expression == [b"uuid.UUID", bytes.fromhex("0123456789abcdef0123456789abcdef")]
    assert leaves.read_uuid(expression) == value
    assert leaves.read_uuid([b"uuid.UUID", [b"dictionary"]]) is None
    for size in (0, 15, 17):
        with pytest.raises(MalformedJelly, match=f"uuid of {size} bytes"):
            leaves.read_uuid([b"uuid.UUID", b"x" * size])


def test_none_ignores_what_follows() -> None:
    """PB takes whatever follows the tag of None for nothing."""
    assert read([b"None", 1, 2]) is None


@pytest.mark.parametrize(
    "expression",
    [
        [b"boolean"],
        [b"boolean", 1],
        [b"boolean", b"True"],
        [b"boolean", b"true", b"true"],
        [b"unicode"],
        [b"unicode", 5],
        [b"unicode", b"\xff"],
        [b"unicode", b"a", b"b"],
        [b"unicode", [b"unicode", b"a"]],
        [b"decimal", 1],
        [b"decimal", b"1", 0],
        [b"decimal", 1, b"0"],
        [b"decimal", 1.0, 0],
        [b"decimal", [b"int", b"x"], 0],
        [b"decimal", [b"long", b"1"], 0],
        [b"decimal", [b"int", b"1"]],
        [b"decimal", 1, 0, 0],
        [b"date"],
        [b"date", 5],
        [b"date", b""],
        [b"date", b"2020 1"],
        [b"date", b"2020 1 1 1"],
        [b"date", b"2020 13 1"],
        [b"date", b"2020  1"],
        [b"date", b"2020 1 1 "],
        [b"date", b"2020 1 +1"],
        [b"date", b"2020 1 --1"],
        [b"date", b"2020 1 0x1"],
        [b"date", b"2020 1 \xb2"],
        [b"date", b"0" * 78 + b"1 1 1"],
        [b"date", b"2020 1 1", 0],
        [b"date", b"99999999999999999999 1 1"],
        [b"datetime", b"2020 1 1 1 1 1"],
        [b"datetime", b"2020 1 1 24 0 0 0"],
        [b"datetime", b"2020 1 1 1 0 0 0", 86_400],
        [b"datetime", b"2020 1 1 1 0 0 0", -86_400],
        [b"datetime", b"2020 1 1 1 0 0 0", 2**70],
        [b"datetime", b"2020 1 1 1 0 0 0", 1.0],
        [b"datetime", b"2020 1 1 1 0 0 0", b"1"],
        [b"datetime", b"2020 1 1 1 0 0 0", 1, 2],
        [b"datetime", b"2020 1 1", 1],
        [b"datetime", 5, 1],
        [b"time", b"1 2 3"],
        [b"time", b"1 2 3 1000000"],
        [b"timedelta", b"1 2"],
        [b"timedelta", b"1000000000 0 0"],
        [b"timedelta", b"9" * 40 + b" 0 0"],
    ],
)
def test_malformed(expression: list[Any]) -> None:
    """Each form that nothing writes is MalformedJelly, and nothing else."""
    with pytest.raises(MalformedJelly):
        read(expression)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ([b"decimal", 10**1000, 0], "decimal of more than 1000 digits (max_decimal_digits)"),
        ([b"decimal", -(10**1000), 0], "decimal of more than 1000 digits (max_decimal_digits)"),
        ([b"decimal", 2**4000, 0], "decimal of more than 1000 digits (max_decimal_digits)"),
        ([b"decimal", 1, 6145], "decimal exponent out of range (max_decimal_exponent)"),
        ([b"decimal", 1, -6145], "decimal exponent out of range (max_decimal_exponent)"),
        ([b"decimal", 1, 10**100], "decimal exponent out of range (max_decimal_exponent)"),
        ([b"decimal", 10**500, 6000], "decimal exponent out of range (max_decimal_exponent)"),
    ],
)
def test_decimals_beyond_the_limits(expression: list[Any], text: str) -> None:
    """A Decimal that would be slow to work with does not come in."""
    with pytest.raises(LimitExceeded) as caught:
        read(expression)
    assert str(caught.value) == text


def test_decimals_of_a_dialect_with_narrow_ints() -> None:
    """The digits may come as ``[int …]``, which is how wide ints cross where ints are narrow."""
    assert read([b"decimal", [b"int", b"-" + b"9" * 30], -2]) == Decimal("-" + "9" * 28 + ".99")


def test_decimals_at_the_limits() -> None:
    """As many digits, and as large an exponent, as the limits name are taken."""
    assert read([b"decimal", 10**1000 - 1, 0]) == 10**1000 - 1
    assert read([b"decimal", 1, 6144]) == Decimal("1E+6144")
    assert read([b"decimal", 15, -6145]) == Decimal("1.5E-6144")
    with pytest.raises(LimitExceeded):
        read([b"decimal", 100, 0], max_decimal_digits=2)

"""Classes that are sent as their fields."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest

from broker.flavors.contracts.contract import reference_plan
from broker.flavors.contracts.records import is_record
from broker.flavors.contracts.stand_ins import Mismatch
from broker.flavors.contracts.values import Value

T = TypeVar("T")
ZONED = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Left:
    """Refers to the other one."""

    right: Right | None
    limit: ClassVar[int] = 3
    made: list[int] = field(default_factory=list)


@dataclass
class Right:
    """Has a field that msgspec does not convert."""

    at: datetime
    left: Left | None = None


@dataclass
class Box(Generic[T]):
    """A generic dataclass."""

    value: T


@dataclass
class Checked:
    """Refuses some fields."""

    value: int
    at: datetime
    scale: InitVar[int] = 1

    def __post_init__(self, scale: int) -> None:
        if self.value < 0:
            raise ValueError("a value is not negative")


class Row(NamedTuple):
    """A tuple whose field msgspec does not convert."""

    at: datetime
    number: int = 1


class Options(TypedDict, total=False):
    """A dict whose field msgspec does not convert."""

    at: datetime
    number: int


class Event(msgspec.Struct, rename="camel"):
    """A Struct whose field msgspec does not convert."""

    it_began: datetime
    number: int = 1


class Array(msgspec.Struct, array_like=True, tag=True):
    """A Struct that is sent as a list."""

    number: int


class Listed(msgspec.Struct, array_like=True, tag="listed"):
    """A Struct that is sent as a list, with a field that msgspec does not convert."""

    at: datetime
    number: int = 1
    ids: frozenset[int] = frozenset()


class Exact(msgspec.Struct, tag="exact", tag_field="kind", forbid_unknown_fields=True):
    """A Struct that takes its own tag and its own fields only."""

    ids: set[int]


@dataclass(frozen=True)
class Counted:
    """A dataclass with a field that ``__init__`` does not take."""

    ids: frozenset[int]
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", len(self.ids))


def value_of(hint: object) -> Value:
    """Return the Value of a type."""
    return Value(hint, "C.f: x", reference_plan)


def test_which_classes_are_records() -> None:
    """Those with declared fields."""
    for cls in (Left, Row, Options, Event, namedtuple("Old", "a b")):
        assert is_record(cls), cls
    for other in (int, tuple, dict, list[int], 3, datetime):
        assert not is_record(other), other


@pytest.mark.parametrize("hint", [Left, Right, list[Left], Left | None])
def test_records_that_refer_to_each_other(hint: Any) -> None:
    """Both are converted, at any depth, whichever comes first."""
    left = Left(Right(ZONED, Left(Right(ZONED), [1])))
    record: Any = {Left: left, Right: left.right, list[Left]: [left]}.get(hint, left)
    value = value_of(hint)
    sent = value.send(record)
    text = msgspec.json.encode(sent, enc_hook=lambda zoned: zoned.value.isoformat())
    assert value.receive(msgspec.json.decode(text)) == record


@pytest.mark.parametrize(
    ("hint", "record", "sent"),
    [
        (Box[int], Box(3), {"value": 3}),
        (Row, Row(ZONED), [ZONED, 1]),
        (Options, {"at": ZONED}, {"at": ZONED}),
        (Event, Event(ZONED), {"itBegan": ZONED, "number": 1}),
        (Array, Array(3), ["Array", 3]),
        (Checked, Checked(1, ZONED), {"value": 1, "at": ZONED}),
        (Listed, Listed(ZONED, 2), ["listed", ZONED, 2, []]),
        (Exact, Exact({1}), {"kind": "exact", "ids": [1]}),
        (Counted, Counted(frozenset({1})), {"ids": [1], "count": 1}),
    ],
)
def test_kinds(hint: Any, record: Any, sent: Any) -> None:
    """Each kind is sent as its fields, and made of them."""
    value = value_of(hint)
    found: Any = value.send(record)
    plain = msgspec.json.encode(found, enc_hook=lambda zoned: zoned.value)
    assert msgspec.json.decode(plain) == msgspec.json.decode(msgspec.json.encode(sent))
    assert value.receive(sent) == record
    assert type(value.receive(sent)) is type(record)


def test_generic_records() -> None:
    """The arguments are the types of the fields."""
    with pytest.raises(Mismatch) as caught:
        value_of(Box[int]).receive({"value": "x"})
    assert (caught.value.place, caught.value.text) == (".value", "Expected `int`, got `str`")
    box = value_of(Box[datetime])
    assert box.receive({"value": ZONED.isoformat()}) == Box(ZONED)


@pytest.mark.parametrize(
    ("hint", "sent", "place", "text"),
    [
        (Checked, {"value": -1, "at": ZONED}, "", "a value is not negative"),
        (Checked, {"value": 1}, "", "Object missing required field `at`"),
        (Checked, 3, "", "Expected `object`, got `int`"),
        (Row, [ZONED, "x"], ".number", "Expected `int`, got `str`"),
        (Row, [], "", "Object missing required field `at`"),
        (Options, {"at": 3}, ".at", "Expected `datetime`, got `int`"),
        (Event, {"it_began": ZONED}, "", "Object missing required field `itBegan`"),
        (Listed, {"at": ZONED}, "", "Expected `array`, got `object`"),
        (Listed, ["secret", ZONED], "[0]", "Invalid value"),
        (Listed, ["listed", ZONED, "x"], "[2]", "Expected `int`, got `str`"),
        (Exact, {"kind": "secret", "ids": []}, ".kind", "Invalid value"),
        (Exact, {"ids": [], "secret": 1}, "", "Object contains unknown field"),
        (Counted, {"ids": [], "count": "x"}, ".count", "Expected `int`, got `str`"),
    ],
)
def test_refusals(hint: Any, sent: Any, place: str, text: str) -> None:
    """They have the place and the text, and no value."""
    with pytest.raises(Mismatch) as caught:
        value_of(hint).receive(sent)
    assert (caught.value.place, caught.value.text) == (place, text)

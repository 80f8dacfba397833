"""Values: what is sent for each type, what comes of it, and what is refused."""

# ruff: noqa: D102 - contracts and methods without a purpose of their own

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, NewType, Protocol, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import broker
from broker.errors import ConfigError
from broker.flavors.contracts.contract import reference_plan
from broker.flavors.contracts.leaves import ZonedDatetime
from broker.flavors.contracts.stand_ins import Mismatch
from broker.flavors.contracts.values import Value, is_copied
from jelly.bases import Jellyable


class Colour(enum.Enum):
    """Its values are text."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """Its values are int."""

    LOW = 1


class Mixed(enum.Enum):
    """Its values are of two types, which msgspec does not know."""

    PAIR = (1, 2)
    TEXT = "x"


class Pair(NamedTuple):
    """Is sent as a list."""

    left: int
    right: str = "r"


class Options(TypedDict, total=False):
    """Is a dict already."""

    colour: Colour


@dataclass
class Seat:
    """Is sent as a dict."""

    row: str
    number: int = 1


@dataclass(frozen=True, slots=True)
class Visit:
    """Has fields that msgspec does not convert by itself."""

    seat: Seat
    at: datetime
    colour: Colour = Colour.RED
    others: list[Visit] = field(default_factory=list)


class Point(msgspec.Struct):
    """A Struct of msgspec."""

    x: int
    y: int = 0


class Circle(msgspec.Struct, tag="circle", rename="camel"):
    """A tagged Struct."""

    the_radius: int


class Square(msgspec.Struct, tag="square"):
    """Another one."""

    side: int


@broker.register("test.values.Copy")
@dataclass
class Copy(broker.Copyable, broker.RemoteCopy):
    """Is sent as a copy."""

    text: str


class Listener(Protocol):
    """A contract."""

    def heard(self, text: str) -> None: ...


UserId = NewType("UserId", int)
ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
ZONED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAIN_TIME = datetime(2026, 1, 2, 3, 4, 5)


def value_of(hint: object) -> Value:
    """Return the Value of a type."""
    return Value(hint, "C.f: x", reference_plan)


SENT: list[tuple[Any, Any, Any]] = [
    # The type, a value, and what is sent for it.
    (None, None, None),
    (bool, True, True),
    (int, 3, 3),
    (float, 2.5, 2.5),
    (float, 3, 3),
    (str, "x", "x"),
    (list[int], [1], [1]),
    (set[int], {1}, {1}),
    (Literal["a", "b"], "a", "a"),
    (int | None, None, None),
    (Annotated[int, msgspec.Meta(ge=1)], 1, 1),
    (UserId, 7, 7),
    (Seat, Seat("A", 2), {"row": "A", "number": 2}),
    (Seat | None, Seat("A"), {"row": "A", "number": 1}),
    (list[Seat], [Seat("A")], [{"row": "A", "number": 1}]),
    (dict[str, Seat], {"a": Seat("A")}, {"a": {"row": "A", "number": 1}}),
    (tuple[Seat, int], (Seat("A"), 1), ({"row": "A", "number": 1}, 1)),
    (tuple[Colour, ...], (Colour.RED,), ("red",)),
    (set[Colour], {Colour.RED}, {"red"}),
    (Sequence[Colour], [Colour.RED], ["red"]),
    (Mapping[Colour, int], {Colour.RED: 1}, {"red": 1}),
    (AbstractSet[Colour], {Colour.RED}, {"red"}),
    (Point, Point(1), {"x": 1, "y": 0}),
    (Circle, Circle(2), {"type": "circle", "theRadius": 2}),
    (Circle | Square, Square(2), {"type": "square", "side": 2}),
    (Options, {"colour": Colour.BLUE}, {"colour": "blue"}),
    (Pair, Pair(1), [1, "r"]),
    (Colour, Colour.RED, "red"),
    (Level, Level.LOW, 1),
    (Mixed, Mixed.PAIR, (1, 2)),
    (uuid.UUID, ID, str(ID)),
    (Path, Path("a/b"), "a/b"),
    (PurePosixPath | None, PurePosixPath("a"), "a"),
    (bytes, b"x", b"x"),
    (bytearray, bytearray(b"x"), b"x"),
    (date, date(2026, 1, 2), date(2026, 1, 2)),
    (time, time(1, 2), time(1, 2)),
    (timedelta, timedelta(1), timedelta(1)),
    (Decimal, Decimal("1.5"), Decimal("1.5")),
    (datetime, PLAIN_TIME, PLAIN_TIME),
    (str | bytes, b"x", b"x"),
    (int | Colour, Colour.RED, "red"),
    (Colour | bytes, Colour.RED, "red"),
    (uuid.UUID | int, ID, str(ID)),
    (uuid.UUID | str, ID, str(ID)),
    (uuid.UUID | str, "x", "x"),
    (list[int] | tuple[int, ...], (1,), (1,)),
    (Any, object, object),
    (object, [1], [1]),
]


@pytest.mark.parametrize(("hint", "value", "sent"), SENT)
def test_what_is_sent(hint: object, value: object, sent: object) -> None:
    """Each type of the table is sent as its row says."""
    found = value_of(hint).send(value)
    assert (found, type(found)) == (sent, type(sent))


@pytest.mark.parametrize(("hint", "value", "sent"), SENT)
def test_what_comes(hint: object, value: object, sent: object) -> None:
    """It becomes an equal value at the receiver."""
    found = value_of(hint).receive(sent)
    assert found == value
    if not isinstance(value, int):
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("hint", "sent", "value"),
    [
        (float, 3, 3.0),
        (set[int], [1, 1], {1}),
        (frozenset[int], (1,), frozenset({1})),
        (list[int], (1,), [1]),
        (tuple[int, ...], [1], (1,)),
        (Seat, {"row": "A", "unknown": 3}, Seat("A")),
        (Pair, [1], Pair(1)),
        (Pair, (1, "x"), Pair(1, "x")),
        (bytearray, b"x", bytearray(b"x")),
        (datetime, ZONED.isoformat(), ZONED),
        (datetime, ZONED, ZONED),
        (Colour, Colour.RED, Colour.RED),
        (uuid.UUID, ID, ID),
    ],
)
def test_conversions(hint: object, sent: object, value: object) -> None:
    """Containers become each other, an int becomes a float, unknown fields are ignored."""
    found = value_of(hint).receive(sent)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (int, True, "Expected `int`, got `bool`"),
        (int, 3.0, "Expected `int`, got `float`"),
        (int, "3", "Expected `int`, got `str`"),
        (bool, 1, "Expected `bool`, got `int`"),
        (str, None, "Expected `str`, got `null`"),
        (bytes, "x", "Expected `bytes`, got `str`"),
        (bytearray, "x", "Expected `bytes`, got `str`"),
        (date, "2026-01-02", "Expected `date`, got `str`"),
        (date, ZONED, "Expected `date`, got `datetime`"),
        (time, "01:02", "Expected `time`, got `str`"),
        (timedelta, 3, "Expected `duration`, got `int`"),
        (Decimal, "1.5", "Expected `decimal`, got `str`"),
        (datetime, "2026-01-02T03:04:05", "Expected `datetime`, got `str`"),
        (datetime, "soon", "Expected `datetime`, got `str`"),
        (datetime, 3, "Expected `datetime`, got `int`"),
        (Path, 3, "Expected `str`, got `int`"),
        (uuid.UUID, "secret", "Invalid UUID"),
        (Literal["a"], "secret", "Invalid enum value"),
        (Colour, "secret", "Invalid enum value"),
        (Mixed, "secret", "Invalid enum value"),
        (Mixed, [1], "Invalid enum value"),
        (Circle | Square, {"type": "secret"}, "Invalid value"),
        (Seat, 3, "Expected `object`, got `int`"),
        (Seat, {}, "Object missing required field `row`"),
        (Annotated[int, msgspec.Meta(ge=1)], 0, "Expected `int` >= 1"),
        (Annotated[datetime, msgspec.Meta(tz=True)], PLAIN_TIME, None),
        (Copy, {"text": "x"}, "Expected `Copy`, got `dict`"),
        (broker.RemoteReference, 3, "Expected `RemoteReference`, got `int`"),
        (Listener, 3, "Expected `Listener`, got `int`"),
        (str | bytes, 3, "Expected `str | bytes`, got `int`"),
        (float, 10**400, "Number out of range"),
        (set[list[int]], [[1]], "set member of type list"),
        (Pair, ["x"], None),
    ],
)
def test_what_is_refused(hint: object, value: object, text: str | None) -> None:
    """The text has the type, and never the value."""
    with pytest.raises(Mismatch) as caught:
        value_of(hint).receive(value)
    assert text is None or (caught.value.text, caught.value.place) in (
        (text, ""),
        (text, ".type"),
    )
    assert "secret" not in caught.value.text


@pytest.mark.parametrize(
    ("hint", "value", "place", "text"),
    [
        (list[Seat], [{"row": 3}], "[0].row", "Expected `str`, got `int`"),
        (Visit, {"seat": {"row": 3}, "at": ZONED}, ".seat.row", "Expected `str`, got `int`"),
        (Visit, {"seat": {"row": "A"}, "at": 3}, ".at", "Expected `datetime`, got `int`"),
        (
            list[Visit],
            [{"seat": {"row": "A"}, "at": ZONED, "others": [3]}],
            "[0].others[0]",
            "Expected `object`, got `int`",
        ),
        (dict[str, int], {"secret": "x"}, "[...]", "Expected `int`, got `str`"),
        (dict[str, int], {3: 1}, "", "Expected `str`, got `int` (a key)"),
    ],
)
def test_places(hint: object, value: object, place: str, text: str) -> None:
    """A refusal names the place within the value."""
    with pytest.raises(Mismatch) as caught:
        value_of(hint).receive(value)
    assert (caught.value.place, caught.value.text) == (place, text)


def test_a_record_that_msgspec_cannot_make_alone() -> None:
    """Its fields are converted by the same rules, at any depth; defaults are filled in."""
    value = value_of(Visit)
    inner = Visit(Seat("B"), ZONED)
    visit = Visit(Seat("A"), ZONED, Colour.BLUE, [inner])
    sent: Any = value.send(visit)
    assert sent["seat"] == {"row": "A", "number": 1}
    assert sent["colour"] == "blue"
    assert type(sent["at"]) is ZonedDatetime
    sent["at"] = sent["others"][0]["at"] = ZONED.isoformat()
    assert value.receive(sent) == visit
    assert value.receive({"seat": {"row": "A"}, "at": ZONED}) == Visit(Seat("A"), ZONED)


def test_fields_are_checked_before_they_are_sent() -> None:
    """Python lets a program make an instance with any fields."""
    wrong: Any = Seat(3)  # type: ignore[arg-type]
    with pytest.raises(Mismatch) as caught:
        value_of(list[Seat]).send([wrong])
    assert (caught.value.place, caught.value.text) == ("[0].row", "Expected `str`, got `int`")


def test_a_value_that_contains_itself() -> None:
    """It is refused; the process does not end."""
    visit = Visit(Seat("A"), ZONED)
    visit.others.append(visit)
    with pytest.raises(Mismatch, match="nested too deeply"):
        value_of(Visit).send(visit)


def test_copies_pass_as_they_are() -> None:
    """Their own rules send and check them."""
    copy = Copy("x")
    assert value_of(Copy).send(copy) is copy
    assert value_of(list[Copy]).receive([copy]) == [copy]


@pytest.mark.parametrize(
    ("hint", "exact"),
    [
        (int, {int}),
        (int | None, {int, type(None)}),
        (str | bytes, {str, bytes}),
        (Annotated[int, msgspec.Meta(ge=1)], set()),
        (list[int], set()),
        (Literal[1], set()),
        (int | list[int], set()),
        (Any, set()),
    ],
)
def test_classes_that_need_no_check(hint: object, exact: set[type]) -> None:
    """Instances of these classes are values of the type."""
    assert value_of(hint).exact == exact


class Generic(Protocol):
    """Not a record."""


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (Seat | Point, "two classes in a union must be tagged msgspec.Structs"),
        (Seat | dict[str, int], "two classes in a union must be tagged msgspec.Structs"),
        (dict[Seat, int], "a key of a dict cannot be a Seat"),
        (complex, "a complex cannot be sent: make it a dataclass, or register it with"
         " @broker.register"),
        (type[int], "a type[int] cannot be sent"),
        (Annotated[str, msgspec.Meta(ge=1)], None),
    ],
)  # fmt: skip
def test_types_that_cannot_be_sent(hint: object, text: str | None) -> None:
    """The refusal names the place and says what to do."""
    with pytest.raises(ConfigError) as caught:
        value_of(hint)
    assert text is None or str(caught.value) == f"C.f: x: {text}"


def test_classes_with_rules_of_their_own() -> None:
    """Registered classes, and those that are sent by reference or by their own hooks."""
    for cls in (Copy, broker.RemoteReference, broker.Referenceable, Jellyable):
        assert is_copied(cls), cls
    for other in (Seat, Colour, int, 3):
        assert not is_copied(other), other


HINTS: list[Any] = [
    hint
    for hint, _, _ in SENT
    if hint not in (Any, object)
] + [Visit, Listener, Copy, list[Visit], dict[str, Seat | None], list[Colour | None]]  # fmt: skip

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.sampled_from(["red", "row", "circle", "type", "x", 10**400]),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(["row", "seat", "at", "type"]), inner)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)
VALUES = [value_of(hint) for hint in HINTS]


@given(st.sampled_from(VALUES), JSON)
def test_any_value_against_any_type(value: Value, given: object) -> None:
    """It is converted, or it is a Mismatch; nothing else is raised."""
    for convert in (value.receive, value.send):
        try:
            convert(given)
        except Mismatch as error:
            refused = error
            assert len(refused.text) <= 201
            assert refused.place.startswith(("", ".", "["))

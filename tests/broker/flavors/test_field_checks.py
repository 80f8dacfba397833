"""The fields of copies and errors are converted and checked by their annotations."""

from __future__ import annotations

import collections.abc
import datetime
import enum
import typing
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    NewType,
    Protocol,
    TypedDict,
)

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.copied_classes import attributes, text
from support.memory import BrokerPair

import broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import ConfigError
from broker.flavors.field_checks import FieldChecks
from broker.flavors.field_types import check_state
from jelly.errors import InsecureJelly, MalformedJelly
from jelly.registry import defaults

POLICIES = [
    policy.but(dialects=dialects)
    for policy in (STRICT, PUBLISHED)
    for dialects in (("pb",), ("msgpack/1",))
]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Forget what a test has registered."""
    declared = defaults.declared
    kept = dict(declared.classes), dict(declared.errors), dict(declared.types)
    yield
    declared.classes, declared.errors, declared.types = kept


@broker.register("types.Seat")
@dataclass
class Seat(broker.Copyable, broker.RemoteCopy):
    """Another copy, which a field may hold."""

    row: str
    LIMIT: ClassVar[int] = 5


class Colour(enum.Enum):
    """An enum that nobody has registered."""

    RED = "red"


class Level(enum.IntEnum):
    """An enum whose members are equal to ints."""

    HIGH = 3


class Pair(NamedTuple):
    """A tuple with names."""

    a: int
    b: str = "x"


class Shape(TypedDict):
    """A dict with known keys."""

    side: int


class Box(msgspec.Struct):
    """A record that nobody has registered."""

    side: int


class Spoken(Protocol):
    """A contract."""

    def say(self, text: str) -> None:
        """Say it."""


Name = NewType("Name", str)
T = typing.TypeVar("T")
NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
SEAT = Seat("A")
ONE = uuid.UUID(int=1)

# A type, a value that it takes, and what the field then is.
TAKEN: list[tuple[Any, Any, Any]] = [
    (int, 3, 3), (float, 3, 3.0), (float, 3.5, 3.5), (str, "a", "a"), (bytes, b"a", b"a"),
    (bool, True, True), (None, None, None), (Any, [1], [1]), (object, 5, 5), (T, 5, 5),
    (int | None, None, None), (int | str, "a", "a"), (str | bytes, b"a", b"a"),
    (list[int], [1], [1]), (list[int], (1, 2), [1, 2]), (tuple[int, ...], [1], (1,)),
    (tuple[int, str], [1, "a"], (1, "a")), (set[int], [1], {1}),
    (frozenset[str], {"a"}, frozenset("a")),
    (dict[str, int], {"a": 1}, {"a": 1}), (Mapping[str, int], {"a": 1}, {"a": 1}),
    (Sequence[int], [1], [1]), (list, [1, "a"], [1, "a"]), (dict, {1: 2}, {1: 2}), (set, [1], {1}),
    (list[tuple[int, ...]], [[1]], [(1,)]), (list[float], [1], [1.0]),
    (Literal["a", 1], 1, 1), (Annotated[int, msgspec.Meta(ge=1)], 1, 1), (Final[int], 1, 1),
    (Name, "a", "a"), (datetime.datetime, NOW, NOW), (datetime.date, NOW.date(), NOW.date()),
    (datetime.time, datetime.time(1), datetime.time(1)),
    (datetime.timedelta, datetime.timedelta(1), datetime.timedelta(1)),
    (Decimal, Decimal("1.0"), Decimal("1.0")), (uuid.UUID, ONE, ONE),
    (bytearray, b"a", bytearray(b"a")), (Colour, Colour.RED, Colour.RED),
    (Colour, "red", Colour.RED),
    (Level, 3, Level.HIGH), (Colour | str, "red", Colour.RED), (Seat, SEAT, SEAT),
    (Seat | None, SEAT, SEAT), (Seat | None, None, None), (Seat | str, "a", "a"),
    (Seat | str, SEAT, SEAT),
    (list[Seat], [SEAT], [SEAT]), (Pair, [1, "b"], Pair(1, "b")), (Pair, (1,), Pair(1)),
    (Shape, {"side": 1}, {"side": 1}), (Box, {"side": 1, "other": 2}, Box(1)),
    (Spoken, 5, 5), (broker.Referenceable, 5, 5), (broker.Copyable, 5, 5), (broker.Cacheable, 5, 5),
    (Spoken | int, "a", "a"), (collections.abc.Iterable[int], 5, 5),
]  # fmt: skip

# A type, a value that it does not take, and the text behind the field.
REFUSED: list[tuple[Any, Any, str]] = [
    (int, "3", ": Expected `int`, got `str`"),
    (int, True, ": Expected `int`, got `bool`"),
    (int, 3.0, ": Expected `int`, got `float`"),
    (int, None, ": Expected `int`, got `null`"),
    (str, 5, ": Expected `str`, got `int`"),
    (str, b"a", ": Expected `str`, got `bytes`"),
    (bytes, "a", ": Expected `bytes`, got `str`"),
    (bytearray, "a", ": Expected `bytes`, got `str`"),
    (datetime.date, "2020-01-01", ": Expected `date`, got `str`"),
    (datetime.datetime, "2020-01-01T00:00:00Z", ": Expected `datetime`, got `str`"),
    (Decimal, "1", ": Expected `decimal`, got `str`"),
    (uuid.UUID, str(ONE), ": Expected `uuid`, got `str`"),
    (Seat, {"row": "A"}, ": Expected `Seat`, got `dict`"),
    (Seat, 5, ": Expected `Seat`, got `int`"),
    (list[Seat], [SEAT, 5], "[1]: Expected `Seat`, got `int`"),
    (dict[str, list[int]], {"a": [1, "b"]}, "[...][1]: Expected `int`, got `str`"),
    (dict[str, int], {5: 1}, ": Expected `str`, got `int`"),
    (Colour, "secret", ": Invalid enum value"),
    (Literal["a"], "secret", ": Invalid enum value"),
    (Colour | str, 5, ": Expected `Colour | str`, got `int`"),
    (str | bytes, 5, ": Expected `str | bytes`, got `int`"),
    (Annotated[int, msgspec.Meta(ge=1)], 0, ": Expected `int` >= 1"),
    (Box, {}, ": Object missing required field `side`"),
    (broker.RemoteReference, 5, ": Expected `RemoteReference`, got `int`"),
]


def typed(annotation: Any, *, name: str = "types.Made", **more: Any) -> Any:
    """A registered class with one field of a type."""

    class Made(broker.Copyable, broker.RemoteCopy):
        pass

    Made.__annotations__ = {"value": annotation}
    return broker.register(Made, name, **more)


@pytest.mark.parametrize(("kind", "value", "made"), TAKEN)
def test_what_is_taken(kind: Any, value: Any, made: Any) -> None:
    """A value of the type is taken, and converted where the type says so."""
    came = check_state(typed(kind), {"value": value})["value"]
    assert (came, type(came)) == (made, type(made))


@pytest.mark.parametrize(("kind", "value", "told"), REFUSED)
def test_what_is_refused(kind: Any, value: Any, told: str) -> None:
    """Another value is refused, by its place and its type; the value itself is never repeated."""
    with pytest.raises(MalformedJelly) as caught:
        check_state(typed(kind), {"value": value})
    assert str(caught.value) == f"types.Made: value{told}"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("policy", POLICIES)
def test_on_a_connection(policy: Policy) -> None:
    """A mismatch fails the call with the text of the page, and the connection goes on."""

    @broker.register("chat.Message")
    @dataclass
    class Message(broker.Copyable, broker.RemoteCopy):
        room: str

    class Echo(broker.Root):
        def remote_echo(self, value: Any) -> Any:
            return value

    pair = BrokerPair(Echo(), policy=policy)
    failure = pair.call("echo", Message(5))  # type: ignore[arg-type]
    assert failure.check(MalformedJelly)
    assert failure.value == "chat.Message: room: Expected `str`, got `int`"
    assert pair.call("echo", Message("garden")) == Message("garden")


@pytest.mark.parametrize("policy", POLICIES)
def test_untyped(policy: Policy) -> None:
    """With typed=False only the names are checked; the annotations may be anything."""
    cls = broker.register(typed("nowhere.Nothing"), "types.Untyped", typed=False)
    pair = BrokerPair(policy=policy)
    made = pair.client.unserialize([b"types.Untyped", attributes((text("value"), 5))])
    assert (type(made), made.value) == (cls, 5)
    decorated = broker.register("types.Other", typed=False)(typed(int))
    assert check_state(decorated, {"value": "a"}) == {"value": "a"}


@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_peer_may_not_send(policy: Policy) -> None:
    """A ClassVar, an InitVar, a missing, an unknown and a mistyped field are refused."""

    @broker.register("shop.Order")
    @dataclass
    class Order(broker.Copyable, broker.RemoteCopy):
        left: int
        hint: InitVar[int] = 5
        LIMIT: ClassVar[int] = 10

    pair = BrokerPair(policy=policy)
    for name in ("LIMIT", "hint", "other", "__class__"):
        state = attributes((text("left"), 1), (text(name), 5))
        with pytest.raises(InsecureJelly) as caught:
            pair.client.unserialize([b"shop.Order", state])
        assert str(caught.value).startswith(f"field '{name}' is not declared by ")
    with pytest.raises(MalformedJelly, match=r"^field 'left' of .*Order is missing$"):
        pair.client.unserialize([b"shop.Order", attributes()])
    with pytest.raises(MalformedJelly, match="left: Expected `int`, got `str`"):
        pair.client.unserialize([b"shop.Order", attributes((text("left"), text("a")))])


def test_values_stay_shared() -> None:
    """A value that needs no conversion is the received one, so that sharing and cycles stay."""
    cls = typed(list[str])
    names = ["a"]
    assert check_state(cls, {"value": names})["value"] is names
    nested = typed(dict[str, list[Seat]])
    table = {"a": [SEAT]}
    assert check_state(nested, {"value": table})["value"] is table
    state = {"value": ["a"]}
    assert check_state(cls, state) is state


def test_annotations_are_evaluated_late() -> None:
    """An annotation is evaluated for the first state; one that cannot be is a ConfigError."""
    cls = typed("datetme", name="chat.Message")
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            check_state(cls, {"value": 5})
        assert str(caught.value) == "chat.Message.value: 'datetme' is not defined"
    with pytest.raises(ConfigError, match=r"^chat.Message.value: "):
        check_state(typed("int +", name="chat.Message"), {"value": 5})
    assert check_state(typed("Colour"), {"value": "red"}) == {"value": Colour.RED}


@pytest.mark.parametrize("kind", [Callable[[int], None], Callable, list[Callable[[], None]]])
def test_functions(kind: Any) -> None:
    """A field cannot be a function."""
    with pytest.raises(ConfigError) as caught:
        check_state(typed(kind), {"value": 5})
    told = "types.Made.value: give it a contract with one method, or use broker.callback"
    assert str(caught.value) == told


def test_a_field_that_is_named_as_its_type() -> None:
    """The names of the module come before those of the class."""

    class Named(broker.RemoteCopy):
        Colour: Colour = None  # type: ignore[assignment]

    cls = broker.register(Named, "types.Named")
    assert check_state(cls, {"Colour": "red"}) == {"Colour": Colour.RED}


def test_fields_of_bases() -> None:
    """The annotations of a base are evaluated in the module of the base."""

    @broker.register("types.Sub")
    @dataclass
    class Sub(Seat):
        more: list[int] = field(default_factory=list)

    assert check_state(Sub, {"row": "A", "more": (1,)}) == {"row": "A", "more": [1]}
    with pytest.raises(MalformedJelly, match=r"types.Sub: row: Expected `str`, got `int`"):
        check_state(Sub, {"row": 5})


def test_too_deep() -> None:
    """A value of a recursive type that is too deep is refused like any other."""

    class Tree(msgspec.Struct):
        value: Tree | None = None

    globals()["Tree"] = Tree
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"value": deep}
    with pytest.raises(MalformedJelly, match=r"the fields of types.Made are too deep"):
        check_state(typed(Tree), {"value": deep})
    while deep:
        deep = deep.pop("value")


def test_what_a_record_refuses() -> None:
    """A ``__post_init__`` of a record that raises is the peer's fault."""

    @dataclass
    class Odd:
        side: int

        def __post_init__(self) -> None:
            raise LookupError("secret")

    with pytest.raises(MalformedJelly) as caught:
        check_state(typed(Odd), {"value": {"side": 5}})
    assert "secret" not in str(caught.value)


@dataclass
class Marked:
    """A record that holds a set."""

    ids: set[int]
    within: Marked | None = None


class MarkedTuple(NamedTuple):
    """The same as a named tuple."""

    ids: frozenset[int]


class MarkedDict(TypedDict):
    """The same as a dict."""

    ids: collections.abc.Set[int]


class MarkedStruct(msgspec.Struct):
    """The same as a Struct, which has the set one level deeper."""

    inner: Marked


@broker.register("types.Crowd")
@dataclass
class Crowd(broker.Copyable, broker.RemoteCopy):
    """A copy that holds a set."""

    ids: set[int]


@dataclass
class MarkedOnce:
    """A record with fields of every other kind beside the set."""

    ids: set[int]
    seat: Seat
    id: uuid.UUID = ONE
    colour: Colour = Colour.RED
    crowd: Crowd | None = None
    count: int = field(default=0, init=False)


# A type, what is sent for a list of ids, and the place of the first id.
RECORDS_WITH_SETS: list[tuple[Any, Callable[[list[Any]], Any], str]] = [
    (Marked, lambda ids: {"ids": ids}, ".ids[0]"),
    (Marked, lambda ids: {"ids": [], "within": {"ids": ids}}, ".within.ids[0]"),
    (MarkedTuple, lambda ids: [ids], ".ids[0]"),
    (MarkedDict, lambda ids: {"ids": ids}, ".ids[0]"),
    (MarkedStruct, lambda ids: {"inner": {"ids": ids}}, ".inner.ids[0]"),
    (MarkedOnce, lambda ids: {"ids": ids, "seat": SEAT}, ".ids[0]"),
    (list[Marked], lambda ids: [{"ids": ids}], "[0].ids[0]"),
    (dict[str, MarkedTuple], lambda ids: {"one": [ids]}, "[...].ids[0]"),
    (MarkedDict | None, lambda ids: {"ids": ids}, ".ids[0]"),
    (Final[MarkedStruct], lambda ids: {"inner": {"ids": ids}}, ".inner.ids[0]"),
]


@pytest.mark.parametrize(("kind", "sent", "place"), RECORDS_WITH_SETS)
def test_sets_within_records(kind: Any, sent: Callable[[list[Any]], Any], place: str) -> None:
    """The members of a list are checked before a record makes a set of it."""
    cls = typed(kind)
    # All of these have the hash 0, so that a set of them takes quadratic time.
    with pytest.raises(InsecureJelly, match="int key wider than 64 bits"):
        check_state(cls, {"value": sent([n * (2**61 - 1) for n in range(1, 10)])})
    with pytest.raises(MalformedJelly) as caught:
        check_state(cls, {"value": sent(["secret"])})
    assert str(caught.value) == f"types.Made: value{place}: Expected `int`, got `str`"
    made = check_state(cls, {"value": sent([2, 3, 2])})
    assert "{2, 3}" in repr(made)


SENT = {"ids": [2], "seat": SEAT}
REFUSED_BESIDE_SETS: list[tuple[Any, Any, str]] = [
    (MarkedOnce, 5, ": Expected `object`, got `int`"),
    (MarkedOnce, {"ids": [2]}, ": Object missing required field `seat`"),
    (MarkedOnce, {**SENT, "seat": {"row": "A"}}, ".seat: Expected `Seat`, got `dict`"),
    (
        MarkedOnce,
        {**SENT, "crowd": {"ids": [1]}},
        ".crowd: Expected `Crowd`, got `dict`",
    ),
    (Crowd, {"ids": [1]}, ": Expected `Crowd`, got `dict`"),
    (MarkedOnce, {**SENT, "id": str(ONE)}, ".id: Expected `uuid`, got `str`"),
    (MarkedOnce, {**SENT, "colour": "secret"}, ".colour: Invalid enum value"),
    (MarkedOnce, {**SENT, "count": "secret"}, ".count: Expected `int`, got `str`"),
]


@pytest.mark.parametrize(("kind", "value", "told"), REFUSED_BESIDE_SETS)
def test_fields_beside_a_set(kind: Any, value: Any, told: str) -> None:
    """The other fields of a record with a set are checked as they are without one."""
    test_what_is_refused(kind, value, told)


def test_a_computed_field_beside_a_set() -> None:
    """A field that ``__init__`` does not take is set after it."""
    made = check_state(typed(MarkedOnce), {"value": {**SENT, "count": 3}})["value"]
    assert (made.ids, made.seat, made.id, made.count) == ({2}, SEAT, ONE, 3)


def test_a_set_of_what_msgspec_does_not_know() -> None:
    """The type of the members is checked when the class is, as any other type."""

    class Mixed(enum.Enum):
        ONE = 1
        TWO = "two"

    with pytest.raises(ConfigError, match=r"types\.Made\.value: Enums must"):
        check_state(typed(set[Mixed]), {"value": [1]})


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.text(), inner), st.lists(inner).map(tuple)
    ),
    max_leaves=8,
)


@given(st.sampled_from([kind for kind, _, _ in TAKEN + REFUSED]), JSON)
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_value_against_any_type(kind: Any, value: Any) -> None:
    """Whatever a peer sends, the field is set, or the state is refused as malformed or insecure."""
    cls = type("Any", (broker.RemoteCopy,), {"__annotations__": {"value": kind}})
    try:
        came = FieldChecks(cls).check({"value": value})
    except (MalformedJelly, InsecureJelly):
        # A list for a set may have members that no key may be.
        return
    assert came.keys() == {"value"}

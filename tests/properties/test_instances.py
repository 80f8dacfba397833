"""Ordinary instances and code through the published functions, beside Twisted's own."""

from __future__ import annotations

import abc
import collections
import dataclasses
import datetime
import decimal
import enum
import os.path
import threading
import types
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.spread import jelly as twisted_jelly

import jelly
from broker import pb
from jelly.errors import InsecureJelly, MalformedJelly
from jelly.security import DummySecurityOptions, SecurityOptions
from jelly.unjellier import Unjellier


class Plain:
    """Has any attributes."""

    def __init__(self, **state: Any):
        self.__dict__.update(state)

    def method(self) -> str:
        """Tell that it was called."""
        return "called"


class Slots:
    """Has two slots, and no ``__dict__``."""

    __slots__ = ("x", "y")

    def __init__(self, **state: Any):
        for name, value in state.items():
            setattr(self, name, value)


class SlotsAndMore(Slots):
    """Has both."""


class Getting(Plain):
    """Says what its state is."""

    def __getstate__(self) -> Any:
        return {"only": self.__dict__.get("a")}


class GettingAndSetting(Plain):
    """Has a state that only it understands."""

    def __getstate__(self) -> Any:
        return [1, self.__dict__.get("a")]

    def __setstate__(self, state: Any) -> None:
        self.a = state[1]


class Setting(Plain):
    """Takes its state itself."""

    def __setstate__(self, state: Any) -> None:
        self.told = state


class Nothing(Plain):
    """Has no state to send."""

    def __getstate__(self) -> Any:
        return None


class Reducing(Plain):
    """What ``pickle`` would ask, jelly does not."""

    def __reduce__(self) -> Any:
        return Reducing, ()


class Hiding(Plain):
    """An attribute of its instances may hide a method, or a property."""

    def run(self) -> None:
        """Be hidden."""

    @property
    def size(self) -> int:
        """Be hidden."""
        return 0


class Frozen(Plain):
    """Refuses to be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


class After(Plain):
    """Is told when it is complete."""

    def postUnjelly(self) -> None:
        """Note it."""
        self.told = True


@dataclasses.dataclass
class Data:
    """A dataclass."""

    a: Any = 1


@dataclasses.dataclass(frozen=True)
class FrozenData:
    """A dataclass that cannot be changed."""

    a: Any = 1


@dataclasses.dataclass(slots=True)
class SlottedData:
    """A dataclass with slots."""

    a: Any = 1


class Problem(Exception):
    """An exception."""


class Colour(enum.Enum):
    """An enum."""

    RED = 1


class Pair(collections.namedtuple("Pair", "a b")):
    """A namedtuple."""


class Items(list):  # type: ignore[type-arg]
    """A list of its own class."""


class Table(dict):  # type: ignore[type-arg]
    """A dict of its own class."""


class Number(int):
    """An int of its own class."""


class Text(str):
    """A str of its own class."""


class Meta(type):
    """A metaclass."""


class OfMeta(Plain, metaclass=Meta):
    """A class of another metaclass."""


class Abstract(abc.ABC):  # noqa: B024 - the metaclass is what matters
    """A class of ABCMeta."""


def function() -> None:
    """Do nothing."""


def with_more(value: Any) -> Any:
    """Give a list or dict of its own class an attribute."""
    value.more = 1
    return value


def itself() -> Plain:
    """An instance that holds itself, and a method of its own."""
    plain = Plain()
    plain.__dict__.update(me=plain, call=plain.method)
    return plain


def shared() -> Any:
    """One instance in three places."""
    plain = Plain(a=1)
    return [plain, (plain,), {"key": plain}]


DUMMY = DummySecurityOptions()
INSTANCES: dict[str, Any] = {
    "plain": Plain(a=1, b=[2]),
    "empty": Plain(),
    "nested": Plain(a=Plain(b=(Plain(),))),
    "itself": itself(),
    "shared": shared(),
    "slots": Slots(x=1, y=[2]),
    "some slots": Slots(x=1),
    "no slots": Slots(),
    "slots and more": with_more(SlotsAndMore(x=1)),
    "__getstate__": Getting(a=1),
    "both hooks": GettingAndSetting(a=[1]),
    "__setstate__": Setting(a=1),
    "no state": Nothing(a=1),
    "__reduce__": Reducing(a=1),
    "hiding": Hiding(run=5, size=6),
    "odd names": Plain(**{"__odd__": 1, "1 x": 2}),
    "__setattr__": Frozen(a=1),
    "postUnjelly": After(a=1),
    "dataclass": Data([1]),
    "frozen dataclass": FrozenData([1]),
    "slotted dataclass": SlottedData([1]),
    "exception": with_more(Problem("text")),
    "builtin exception": ValueError("text"),
    "enum": Colour.RED,
    "namedtuple": Pair(1, 2),
    "list": with_more(Items([1])),
    "dict": with_more(Table(a=1)),
    "int": Number(5),
    "str": Text("text"),
    "of a metaclass": OfMeta(a=1),
    "of ABCMeta": with_more(Abstract()),
    "namespace": types.SimpleNamespace(a=1),
    "lock": threading.Lock(),
    "generator": (number for number in ()),
    "builtin function": len,
    "object": object(),
    "Decimal": decimal.Decimal("1.5"),
    "date": datetime.date(2020, 1, 2),
    "class": Plain,
    "class of a metaclass": OfMeta,
    "module": os.path,
    "function": function,
    "function of a class": Plain.method,
    "method": Plain(a=1).method,
    "Copyable": with_more(pb.Copyable()),
    "empty Copyable": pb.Copyable(),
}
# Twisted's loses the slots, and has none to set where a class is frozen.
BETTER = {"slots", "some slots", "slots and more", "slotted dataclass", "frozen dataclass"}
BETTER |= {"__setattr__", "namespace"}
# Neither of the two makes these again.
LOST = {"enum", "namedtuple", "lock", "generator", "builtin function"}
# Twisted's makes no class of a metaclass; ours is an object of ours, which Twisted has not.
OURS = {"class of a metaclass", "Copyable", "empty Copyable"}
STAY = {"class", "class of a metaclass", "module", "function", "function of a class"}


def as_bytes(expression: Any) -> Any:
    """An expression with its names as bytes: Twisted's has some as str, which banana refuses."""
    if isinstance(expression, list):
        return [as_bytes(item) for item in expression]
    return expression.encode() if isinstance(expression, str) else expression


def told(value: Any, seen: dict[int, int] | None = None) -> Any:
    """What a graph consists of, for comparing two of them."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return f"same {seen[id(value)]}"
    if isinstance(value, type | types.ModuleType | types.FunctionType | types.BuiltinFunctionType):
        return value
    seen[id(value)] = len(seen)
    kind = type(value)
    if kind in (list, tuple):
        return kind, [told(item, seen) for item in value]
    if kind is dict:
        return kind, [(told(key, seen), told(item, seen)) for key, item in value.items()]
    if isinstance(value, types.MethodType):
        return kind, value.__func__, told(value.__self__, seen)
    state = dict(getattr(value, "__dict__", {}))
    for base in kind.__mro__:
        for name in getattr(base, "__slots__", ()):
            if hasattr(value, name):
                state[name] = getattr(value, name)
    if not state:
        return kind, value if kind.__eq__ is not object.__eq__ else None
    return kind, [(name, told(item, seen)) for name, item in sorted(state.items(), key=str)]


@pytest.mark.parametrize("name", INSTANCES)
def test_an_expression_is_what_twisted_makes(name: str) -> None:
    """Nothing needs to be allowed for sending: the expression is Twisted's, with its names."""
    value = INSTANCES[name]
    assert jelly.jelly(value) == as_bytes(twisted_jelly.jelly(value))


@pytest.mark.parametrize("name", sorted(INSTANCES.keys() - LOST - BETTER - OURS))
def test_what_twisted_makes_again(name: str) -> None:
    """What comes back is what comes back with Twisted's, where everything is allowed."""
    value = INSTANCES[name]
    expression = jelly.jelly(value)
    theirs = twisted_jelly.unjelly(twisted_jelly.jelly(value), twisted_jelly.DummySecurityOptions())
    assert told(jelly.unjelly(expression, DUMMY)) == told(theirs)


@pytest.mark.parametrize("name", sorted(BETTER | STAY))
def test_what_comes_back_whole(name: str) -> None:
    """Slots come back too, whatever the class lets be set; and code is what it was."""
    value = INSTANCES[name]
    assert told(jelly.unjelly(jelly.jelly(value), DUMMY)) == told(value)


@pytest.mark.parametrize("name", sorted(INSTANCES.keys() - {"date", "Decimal"}))
def test_the_default_of_unjelly_lets_none_in(name: str) -> None:
    """What must be allowed for coming in is not, unless it is asked for."""
    expression = jelly.jelly(INSTANCES[name])
    with pytest.raises(InsecureJelly):
        jelly.unjelly(expression)


def test_a_state_that_nobody_understands() -> None:
    """A state that is none of attributes is refused, where the class does not take it."""

    with pytest.raises(MalformedJelly, match="state of Plain is not a dictionary"):
        jelly.unjelly([f"{__name__}.Plain".encode(), [b"list", 1]], DUMMY)


HIDING = [f"{__name__}.Hiding".encode(), [b"dictionary", [[b"unicode", b"run"], 5]]]


def test_what_may_hide_a_method() -> None:
    """Only this program's own data sets any attribute; what comes on a connection never does."""
    assert jelly.unjelly(HIDING, DUMMY).run == 5
    allowed = SecurityOptions()
    allowed.allowInstancesOf(Hiding)
    for security, invoker in ((allowed, None), (allowed, "a broker"), (DUMMY, "a broker")):
        with pytest.raises(InsecureJelly, match="hides what"):
            Unjellier(security, None, invoker).unjellyFull(HIDING)


def test_slots_of_a_class_that_is_allowed() -> None:
    """They come in from a peer as attributes do, and no others."""
    allowed = SecurityOptions()
    allowed.allowInstancesOf(Slots)
    made = Unjellier(allowed).unjellyFull(jelly.jelly(Slots(x=1)))
    assert (made.x, hasattr(made, "y")) == (1, False)
    state = [b"tuple", [b"None"], [b"dictionary", [[b"unicode", b"z"], 1]]]
    with pytest.raises(InsecureJelly, match="field 'z' is not declared"):
        Unjellier(allowed).unjellyFull([f"{__name__}.Slots".encode(), state])


def test_a_function_of_a_class_that_is_not_named() -> None:
    """It comes in only where the class is allowed by its name, as a module is."""
    expression = jelly.jelly(Plain.method)
    allowed = SecurityOptions()
    allowed.allowTypes("function")
    allowed.allowModules(__name__)
    with pytest.raises(InsecureJelly, match="is not registered"):
        jelly.unjelly(expression, allowed)
    allowed.allowModules(f"{__name__}.Plain")
    assert jelly.unjelly(expression, allowed) is Plain.method
    for name in (b"Plain.nothing", b"nothing.method", b"function.method"):
        allowed.allowModules(f"{__name__}.{name.partition(b'.')[0].decode()}")
        with pytest.raises(InsecureJelly):
            jelly.unjelly([b"function", __name__.encode() + b"." + name], allowed)


LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.just(function)
NAMES = st.sampled_from(["a", "b", "run", "__odd__", "1 x"])


def made(classes: Any, parts: Any) -> Any:
    """An instance of one of the classes with those attributes."""
    return st.builds(lambda cls, state: cls(**state), classes, parts)


GRAPHS = st.recursive(
    LEAVES,
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.tuples(parts)
        | st.dictionaries(st.text(max_size=2), parts, max_size=3)
        | st.lists(parts, min_size=1, max_size=1).map(lambda one: [*one, *one])
        | made(
            st.sampled_from([Plain, Getting, GettingAndSetting, Setting, Nothing, OfMeta, After]),
            st.dictionaries(NAMES, parts, max_size=3),
        )
        | made(st.just(Slots), st.dictionaries(st.sampled_from("xy"), parts, max_size=2))
        | st.builds(Data, parts)
        | st.builds(Items, st.lists(parts, max_size=2))
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(GRAPHS)
def test_any_graph_of_instances(value: Any) -> None:
    """Its expression is Twisted's, and comes back as Twisted's does, with its slots besides."""
    expression = jelly.jelly(value)
    theirs = twisted_jelly.jelly(value)
    assert expression == as_bytes(theirs)
    back = told(jelly.unjelly(expression, DUMMY))
    if "Slots" not in str(expression):
        assert back == told(twisted_jelly.unjelly(theirs, twisted_jelly.DummySecurityOptions()))

"""Values in an object's state that cannot be sent: the rest of the state crosses without them."""

from __future__ import annotations

import datetime
import decimal
import enum
import os
import socket
import threading
import types
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory import BrokerPair
from twisted.spread import jelly as twisted_jelly
from twisted.spread import pb as twisted_pb

from broker.core.policy import PUBLISHED, STRICT
from broker.errors import CannotJelly
from broker.flavors.cacheable import Cacheable, RemoteCache
from broker.flavors.copyable import Copyable, RemoteCopy
from broker.flavors.referenceable import Referenceable, Root
from jelly import Unpersistable, setUnjellyableForClass
from jelly.jellier import Jellier
from jelly.security import SecurityOptions

DIALECTS = [PUBLISHED, PUBLISHED.but(dialects=("pb",))]
BOTH = pytest.mark.parametrize("policy", DIALECTS, ids=["msgpack", "pb"])


class Thing:
    """Has parts that cannot be sent."""

    def method(self) -> None:
        """Do nothing."""


class Colour(enum.Enum):
    """An enum."""

    RED = 1


class Account(Copyable):
    """Has attributes."""

    def __init__(self, **state: Any):
        self.__dict__.update(state)


class AccountCopy(RemoteCopy):
    """Its copy."""


class Kept(Cacheable):
    """Has attributes that peers cache."""

    def __init__(self, **state: Any):
        self.state = state
        self.observers: list[Any] = []

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Return the attributes."""
        self.observers.append(observer)
        return self.state

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget the observer."""
        self.observers.remove(observer)


class KeptCache(RemoteCache):
    """Its cache."""


@pytest.fixture(autouse=True)
def registered() -> None:
    """Register both classes."""
    setUnjellyableForClass(Account, AccountCopy)
    setUnjellyableForClass(Kept, KeptCache)


class House(Root):
    """Takes and returns values."""

    def __init__(self, given: Any = None):
        self.given = given
        self.taken: list[Any] = []

    def remote_take(self, *args: Any) -> None:
        """Keep the arguments."""
        self.taken.append(args)

    def remote_give(self) -> Any:
        """Return the value that the test has set."""
        return self.given


def generator() -> Iterator[int]:
    """Yield nothing."""
    yield from ()


SOCKET = socket.socket()
SOCKET.close()
UNSENDABLE: dict[str, Any] = {
    "socket": SOCKET,
    "lock": threading.Lock(),
    "generator": generator(),
    "instance": Thing(),
    "module": os,
    "class": Thing,
    "function": generator,
    "lambda": lambda: None,
    "method": Thing().method,
    "builtin function": len,
    "enum": Colour.RED,
    "uuid": uuid.uuid4(),
    "exception": ValueError("x"),
    "namespace": types.SimpleNamespace(a=1),
    "surrogate": "\ud800",
    "zone": datetime.datetime.now(datetime.UTC),
    "not finite": decimal.Decimal("NaN"),
}


def has_zone(name: str, policy: Any) -> bool:
    """Whether it is the datetime with a zone, which crosses where the dialect has zones."""
    return name == "zone" and policy.dialects[0] == "msgpack/1"


@BOTH
@pytest.mark.parametrize("name", UNSENDABLE)
def test_one_attribute(policy: Any, name: str) -> None:
    """It arrives as Unpersistable, and the other attributes arrive unchanged."""
    if has_zone(name, policy):
        name = "instance"
    house = House()
    friend = Account(name="bob")
    state = {"before": 1, "bad": UNSENDABLE[name], "after": [2, friend], "friend": friend}
    assert BrokerPair(house, policy=policy).call("take", Account(**state), "more") is None
    ((copy, more),) = house.taken
    assert (copy.before, more) == (1, "more")
    assert type(copy.bad) is Unpersistable
    assert "Unpersistable data: " in copy.bad.reason
    assert copy.after[1] is copy.friend
    assert copy.friend.name == "bob"


@BOTH
@pytest.mark.parametrize("name", UNSENDABLE)
def test_strict_refuses(policy: Any, name: str) -> None:
    """The strict policy fails the call, before any byte is sent; it sends a UUID."""
    if name == "uuid" or has_zone(name, policy):
        name = "instance"
    house = House()
    strict = STRICT.but(dialects=policy.dialects)
    failure = BrokerPair(house, policy=strict).call("take", Account(bad=UNSENDABLE[name]))
    assert failure.check(CannotJelly)
    assert house.taken == []


@BOTH
@pytest.mark.parametrize("name", sorted(UNSENDABLE.keys() - {"namespace"}))
def test_wherever_it_is_in_the_state(policy: Any, name: str) -> None:
    """In a list, a dict, a tuple, a set, as a key, or in an attribute of an attribute."""
    if has_zone(name, policy):
        name = "instance"
    bad = UNSENDABLE[name]
    house = House()
    state = {
        "row": [1, bad, 2],
        "pair": (bad, "x"),
        "table": {"a": 1, "b": bad, "c": {"deep": bad}},
        "plain": {"a": 1, "b": bad, "c": "x"},
        "keys": {bad: "value", "other": 5},
        "members": {bad, 7},
        "frozen": frozenset({bad, 8}),
        "inner": Account(bad=bad, good=9),
    }
    assert BrokerPair(house, policy=policy).call("take", [Account(**state)]) is None
    copy = house.taken[0][0][0]
    assert [type(item) for item in copy.row] == [int, Unpersistable, int]
    assert [type(item) for item in copy.pair] == [Unpersistable, str]
    assert (copy.table["a"], type(copy.table["b"])) == (1, Unpersistable)
    assert type(copy.table["c"]["deep"]) is Unpersistable
    assert (copy.plain["a"], type(copy.plain["b"]), copy.plain["c"]) == (1, Unpersistable, "x")
    assert {type(key): item for key, item in copy.keys.items()} == {
        Unpersistable: "value",
        str: 5,
    }
    assert {type(item) for item in copy.members} == {Unpersistable, int}
    assert {type(item) for item in copy.frozen} == {Unpersistable, int}
    assert (type(copy.inner.bad), copy.inner.good) == (Unpersistable, 9)


@BOTH
def test_a_whole_state(policy: Any) -> None:
    """A state that is one such value arrives as Unpersistable, if the class takes any state."""
    taken: list[Any] = []

    class Bare(Copyable):
        def getStateToCopy(self) -> Any:
            return Thing()

    class BareCopy(RemoteCopy):
        def setCopyableState(self, state: Any) -> None:
            taken.append(type(state))

    setUnjellyableForClass(Bare, BareCopy)
    assert type(BrokerPair(House(Bare()), policy=policy).call("give")) is BareCopy
    assert taken == [Unpersistable]


@BOTH
def test_a_cache(policy: Any) -> None:
    """The same holds for the state of a cache, which is then observed and released as usual."""
    kept = Kept(good=1, bad=[Thing()])
    pair = BrokerPair(House([kept, kept]), policy=policy)
    one, other = pair.call("give")
    assert one is other
    assert (one.good, type(one.bad[0])) == (1, Unpersistable)
    assert len(kept.observers) == 1
    del one, other
    pair.collect()
    assert kept.observers == []


@BOTH
def test_one_that_is_shared(policy: Any) -> None:
    """An instance that occurs twice is one Unpersistable at the peer."""
    thing = Thing()
    made = BrokerPair(House(Account(a=thing, b=[thing])), policy=policy).call("give")
    assert type(made.a) is Unpersistable
    assert made.b[0] is made.a


@BOTH
@pytest.mark.parametrize("name", UNSENDABLE)
def test_elsewhere_it_fails_the_call(policy: Any, name: str) -> None:
    """As an argument, or a part of one, it fails the call at the caller, with its place."""
    if name == "uuid" or has_zone(name, policy):
        # These cross, except in a state.
        name = "instance"
    house = House()
    failure = BrokerPair(house, policy=policy).call("take", 1, {"a": [UNSENDABLE[name], Thing()]})
    assert failure.check(CannotJelly)
    assert failure.getErrorMessage().endswith("(args[1]['a'][0] of 'take')")
    assert house.taken == []


@BOTH
def test_beside_a_state_too(policy: Any) -> None:
    """An object whose state was written earlier in the message does not change this."""
    thing = Thing()
    failure = BrokerPair(House(), policy=policy).call("take", Account(bad=thing), thing)
    # It occurs in the state, and is referred to again.
    assert failure is None
    failure = BrokerPair(House(), policy=policy).call("take", Account(bad=thing), Thing())
    assert failure.check(CannotJelly)


@BOTH
def test_what_a_hook_refuses(policy: Any) -> None:
    """A refusal by a hook fails the call: the hook may have exported something before."""

    class Refusing(Copyable):
        def getStateToCopy(self) -> Any:
            raise CannotJelly("not for you")

    failure = BrokerPair(House(), policy=policy).call("take", Account(bad=Refusing()))
    assert failure.check(CannotJelly)
    assert "not for you" in failure.getErrorMessage()


@BOTH
def test_nothing_is_left_where_the_call_fails_later(policy: Any) -> None:
    """References and caches beside it are taken back if the message is not sent."""
    kept = Kept(bad=Thing(), friend=Referenceable())
    pair = BrokerPair(House(), policy=policy)
    before = len(pair.client.session.translator.exports)
    state = {"bad": Thing(), "good": Referenceable(), "kept": kept}
    assert pair.call("take", Account(**state), Thing()).check(CannotJelly)
    translator = pair.client.session.translator
    assert len(translator.exports) == before
    assert len(translator.cacheables) == 0
    assert kept.observers == []
    assert pair.call("take", Account(**state)) is None
    assert len(translator.exports) == before + 2
    assert len(translator.cacheables) == 1


@BOTH
def test_what_a_method_is_of(policy: Any) -> None:
    """A method is sent if methods and its class may be sent; else it is one Unpersistable."""
    security = SecurityOptions()
    security.allowBasicTypes()
    security.allowTypes("method", "class", Account)
    house = House()
    pair = BrokerPair(house, policy=policy.but(security=security))
    assert pair.call("take", Account(bad=Thing().method, good=1)) is None
    ((copy,),) = house.taken
    assert (type(copy.bad), copy.good) == (Unpersistable, 1)


# The bytes are those of Twisted.


class _Copy(Copyable):
    def __init__(self, state: Any):
        self.state = state

    def getStateToCopy(self) -> Any:
        return self.state

    def getTypeToCopy(self) -> bytes:
        return b"copy"


class _TwistedCopy(twisted_pb.Copyable):
    def __init__(self, state: Any):
        self.state = state

    def getStateToCopy(self) -> Any:
        return self.state

    def getTypeToCopy(self) -> bytes:
        return b"copy"


class _Broker:
    serializingPerspective = None


class _Node:
    """Represents a copy, on either side."""

    def __init__(self) -> None:
        self.parts: Any = None


@st.composite
def states(draw: Any) -> Any:
    """A graph with instances that cannot be sent, and with shared parts."""
    things = [Thing(), uuid.UUID(int=5), SOCKET]
    nodes: list[Any] = [_Node() for _ in range(draw(st.integers(1, 3)))]
    atom = st.sampled_from([*things, 1, "text", None])
    for _ in range(draw(st.integers(0, 4))):
        part = st.one_of(atom, st.sampled_from(list(nodes)))
        kind = draw(st.sampled_from(["list", "tuple", "dict"]))
        parts = draw(st.lists(part, max_size=3))
        if kind == "dict":
            nodes.append({str(number): item for number, item in enumerate(parts)})
        else:
            nodes.append(parts if kind == "list" else tuple(parts))
    for node in nodes:
        if isinstance(node, _Node):
            keys = draw(st.lists(st.sampled_from("abc"), unique=True))
            node.parts = {key: draw(st.one_of(atom, st.sampled_from(nodes))) for key in keys}
    return nodes[0]


def copies_of(value: Any, cls: Any, made: dict[int, Any]) -> Any:
    """Return the graph with copies of a class in place of its nodes."""
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, _Node):
        copy = made[id(value)] = cls(state := {})
        state.update({key: copies_of(part, cls, made) for key, part in value.parts.items()})
        return copy
    if type(value) is dict:
        made[id(value)] = {key: copies_of(part, cls, made) for key, part in value.items()}
    elif type(value) in (list, tuple):
        made[id(value)] = type(value)(copies_of(part, cls, made) for part in value)
    else:
        return value
    return made[id(value)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(states())
def test_the_expression_is_what_twisted_makes(graph: Any) -> None:
    """The numbers of shared parts, and the texts for values that cannot be sent, are the same."""
    nothing = SecurityOptions()
    nothing.allowBasicTypes()
    ours = Jellier(nothing, None, _Broker(), sends_unpersistable=True)
    theirs = twisted_jelly.SecurityOptions()
    assert ours.jelly(copies_of(graph, _Copy, {})) == twisted_jelly.jelly(
        copies_of(graph, _TwistedCopy, {}), theirs, None, _Broker()
    )


def test_a_plain_value_in_a_dict_of_them() -> None:
    """A plain value without an expression is written once among other plain ones, as they are."""
    nothing = SecurityOptions()
    nothing.allowBasicTypes()
    jellier = Jellier(nothing, None, _Broker(), sends_unpersistable=True)
    reason = b"str with a lone surrogate has no UTF-8 form"
    assert jellier.jelly(_Copy({"a": 1, "b": "\ud800", "c": 2})) == [
        b"copy",
        [
            b"dictionary",
            [[b"unicode", b"a"], 1],
            [[b"unicode", b"b"], [b"unpersistable", reason]],
            [[b"unicode", b"c"], 2],
        ],
    ]

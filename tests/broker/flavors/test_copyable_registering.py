"""Copies: what is registered, with which fields, and what copies share."""

from __future__ import annotations

from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Any, ClassVar

import pytest
from support.copied_classes import Annotated, Echo, attributes, echoed, tags, text
from support.memory import BrokerPair

import jelly
from broker.core.policy import PUBLISHED, STRICT
from broker.errors import ConfigError
from broker.flavors.cacheable import Cacheable, RemoteCache
from broker.flavors.copyable import Copyable, RemoteCopy, declared_fields, register
from jelly.errors import InsecureJelly, MalformedJelly
from jelly.jellier import Jellier
from jelly.registry import Registry, defaults

# Registering.


def test_register_by_another_name() -> None:
    """A class may be known to the peer by another name."""

    @dataclass
    class Local(RemoteCopy):
        x: int

    assert register(Local, "there.Remote") is Local
    pair = BrokerPair()
    made = pair.client.unserialize([b"there.Remote", attributes((text("x"), 1))])
    assert made == Local(1)


def test_register_refuses_classes_without_fields() -> None:
    """A class that would take any field is refused, with the way out."""
    loose = type("Loose", (Copyable, RemoteCopy), {})
    with pytest.raises(ConfigError, match="declares no fields: make it a dataclass"):
        register(loose)
    with pytest.raises(
        TypeError, match=r"builtins.dict is not a dataclass, a msgspec.Struct, an Enum, "
    ):
        register(dict)


def test_register_an_error() -> None:
    """An exception class is registered by its name."""

    class Full(Exception):
        pass

    assert register(Full) is Full
    assert Full in defaults.declared.errors.values()


def test_declared_fields() -> None:
    """Annotations of the class and of its bases, without those of ours."""

    class Sub(Annotated):
        more: int

    assert set(declared_fields(Sub)) == {"name", "limit", "more"}
    assert not declared_fields(RemoteCopy)


@register
@dataclass
class Checked(Copyable, RemoteCopy):
    """A dataclass with what is no field, and a hook."""

    x: int
    rate: ClassVar[int] = 3
    _: KW_ONLY
    seed: InitVar[int] = 7
    double: int = field(init=False)

    def __post_init__(self, seed: int) -> None:
        """Work out, and refuse."""
        if self.x < 0:
            raise ValueError(f"{self.x} is too few")
        self.double = self.x * 2 + seed - 7


@register
class Followed(Cacheable, RemoteCache):
    """A cache with declared fields."""

    x: int
    y: int = 5
    rate: ClassVar[int] = 3

    def __init__(self, state: Any = None):
        self.state = state

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Send what the test wants."""
        return self.state


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
@pytest.mark.parametrize("name", ["rate", "_", "seed", "__post_init__", "is_admin"])
@pytest.mark.parametrize("cls", [Checked, Followed])
def test_no_field(policy: Any, name: str, cls: type) -> None:
    """A ClassVar, an InitVar and KW_ONLY are no fields, of copies and of caches."""
    tag = f"{cls.__module__}.{cls.__name__}".encode()
    state = attributes((text("x"), 1), (text(name), 1))
    number = [] if cls is Checked else [1]
    with pytest.raises(InsecureJelly, match="is not declared by"):
        BrokerPair(policy=policy).client.unserialize([tag, *number, state])


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
def test_missing_fields_of_caches(policy: Any) -> None:
    """A cache lacks no declared field either."""
    root = Echo()
    pair = BrokerPair(root, policy=policy)
    assert "MalformedJelly" in pair.call("echo", Followed({"y": 1})).type
    pair.call("echo", Followed({"x": 1}))
    assert (root.seen[0].x, root.seen[0].y) == (1, 5)


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
def test_missing_fields_of_ordinary_classes(policy: Any) -> None:
    """A field of a class with annotations must come, unless the class has a default."""
    tag = f"{Annotated.__module__}.Annotated".encode()
    pair = BrokerPair(policy=policy)
    with pytest.raises(MalformedJelly, match=r"^field 'name' of .*Annotated is missing$"):
        pair.client.unserialize([tag, attributes((text("limit"), 1))])
    assert pair.client.unserialize([tag, attributes((text("name"), text("a")))]).limit == 10


@pytest.mark.parametrize("policy", [STRICT, PUBLISHED])
def test_post_init(policy: Any) -> None:
    """``__post_init__`` runs at the receiver, and what it refuses fails the call."""
    pair = BrokerPair(Echo(), policy=policy)
    assert pair.call("echo", Checked(2)).double == 4
    bad = Checked(2)
    bad.x = -12345
    failure = pair.call("echo", bad)
    assert "MalformedJelly" in failure.type
    assert "12345" not in failure.value


def test_what_a_registered_class_sends() -> None:
    """It sends its declared fields: what the receiver would refuse stays at home."""
    mine = Annotated(name="a", cached=1)
    assert mine.getStateToCopy() == {"name": "a", "limit": 10}
    assert echoed(mine).name == "a"
    assert Checked(2).getStateToCopy() == {"x": 2, "double": 4}


def test_a_strict_policy_with_classes_of_its_own() -> None:
    """Where copies need declared fields, a class that was not registered has no others either."""

    class Loose(RemoteCopy):
        pass

    class Declared(RemoteCopy):
        x: int

    registry = Registry()
    registry.add_class(b"loose", Loose)
    registry.add_class(b"declared", Declared)
    pair = BrokerPair(policy=STRICT.but(registry=registry))
    state = attributes((text("x"), 1))
    assert pair.client.unserialize([b"declared", state]).x == 1
    for expression in ([b"loose", state], [b"declared", attributes((text("y"), 1))]):
        with pytest.raises(InsecureJelly, match="is not declared by"):
            pair.client.unserialize(expression)


def test_register_refuses_what_post_init_would_lack() -> None:
    """An InitVar without a default does not cross, so a hook that needs it cannot run."""

    @dataclass
    class Seeded(RemoteCopy):
        x: int
        seed: InitVar[int]

        def __post_init__(self, seed: int) -> None:
            self.x += seed

    with pytest.raises(ConfigError, match="has the InitVar 'seed', which does not cross"):
        register(Seeded)


def test_an_object_that_is_sent_on() -> None:
    """A cache that is sent on with all its attributes leaves its connection's behind."""

    class Both(Cacheable, RemoteCache):
        pass

    tag = f"{__name__}.Both".encode()
    defaults.published.add_class(tag, Both)
    try:
        pair = BrokerPair(policy=PUBLISHED)
        state = attributes((text("broker"), 5), (text("luid"), 9), (text("x"), 1))
        made = pair.client.unserialize([tag, 1, state])
        assert (made.x, made.broker, made.luid) == (1, pair.client, 1)
    finally:
        del defaults.published.classes[tag]


@dataclass
class Pair(Copyable):
    """A copy whose fields are its state."""

    x: Any = 0
    y: Any = None


ONE_STATE = {"x": 1}


class Keeper(Copyable):
    """A copy of a class that gives all its instances one state."""

    def getStateFor(self, jellier: Any) -> Any:
        """Return the state."""
        return ONE_STATE


class Bare(Copyable):
    """A copy whose attributes are its state."""

    def __init__(self, x: Any):
        self.x = x


def test_fields_are_not_shared() -> None:
    """Each copy has a state of its own, also where one has the address that another had."""
    expression = Jellier().jelly([Pair(n, [n]) for n in range(200)])
    assert tags(expression) == []
    assert [each[1][1][1] for each in expression[1:]] == list(range(200))


def test_what_a_field_holds_is_shared() -> None:
    """A list that two copies hold is one list."""
    held: list[int] = [1]
    expression = Jellier().jelly([Pair(held), Pair(held)])
    assert tags(expression) == [b"reference", b"dereference"]


def test_a_copy_in_itself() -> None:
    """A copy whose field is itself is written once."""
    pair = Pair()
    pair.x = pair
    assert tags(Jellier().jelly(pair)) == [b"reference", b"dereference"]


def test_a_state_of_the_application_is_shared() -> None:
    """A dict that a hook gives for two copies is one dict."""
    assert tags(Jellier().jelly([Keeper(), Keeper()])) == [b"reference", b"dereference"]


def test_attributes_are_shared() -> None:
    """The dict of attributes can be in the graph itself."""
    bare = Bare(1)
    assert tags(Jellier().jelly([bare, vars(bare)])) == [b"reference", b"dereference"]


def test_names_are_written_alike() -> None:
    """A key that is met again is written as the first time; a number that equals it is not it."""
    graph = [{"1": True, 1: "a"}, {1.0: "1", "1": 2}, {True: 1}]
    found = jelly.unjelly(Jellier().jelly(graph))
    assert repr(found) == repr(graph)
    made = Jellier().jelly([{"a": 1}, {"a": 2}, "a"])
    assert made == [
        b"list",
        [b"dictionary", [[b"unicode", b"a"], 1]],
        [b"dictionary", [[b"unicode", b"a"], 2]],
        [b"unicode", b"a"],
    ]

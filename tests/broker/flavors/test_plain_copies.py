"""Registered dataclasses and Structs cross by themselves; their constructor makes them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar

import msgspec
import pytest
from support.copied_classes import attributes, tags, text
from support.memory import BrokerPair

import broker
import jelly
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import ConfigError
from jelly.errors import CannotJelly, InsecureJelly, LimitExceeded, MalformedJelly
from jelly.registry import defaults

POLICIES = [
    policy.but(dialects=dialects)
    for policy in (STRICT, PUBLISHED)
    for dialects in (("pb",), ("msgpack/1",))
]
WITH_ZONES = {("msgpack/1",)}


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Forget what a test has registered."""
    declared = defaults.declared
    kept = dict(declared.forms), dict(declared.factories), dict(declared.types)
    yield
    declared.forms, declared.factories, declared.types = kept


@broker.register("plain.Message")
@dataclass(frozen=True, slots=True)
class Message:
    """As in the page on copies."""

    room: str
    text: str
    at: datetime.datetime | None = None
    LIMIT: ClassVar[int] = 10


@broker.register("plain.Point")
class Point(msgspec.Struct, frozen=True):
    """A Struct."""

    x: int
    y: int = 5
    tags: list[str] = msgspec.field(default_factory=list)


@broker.register("plain.Node")
@dataclass
class Node:
    """One that may hold anything."""

    parts: Any = None
    length: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.parts == "secret":
            raise ValueError(self.parts)
        self.length = len(self.parts or ())


class Echo(broker.Root):
    """Returns what it gets."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


@pytest.mark.parametrize("policy", POLICIES)
def test_they_cross(policy: Policy) -> None:
    """An instance goes out by itself, under its name, and arrives equal and of its class."""
    pair = BrokerPair(Echo(), policy=policy)
    for value in (Message("a", "b"), Point(1), Point(1, 2, ["a"]), Node([1]), Node([Point(2)])):
        came = pair.call("echo", [value])
        assert (came, type(came[0])) == ([value], type(value))
    wire = b"".join(pair.transport(pair.client).writes)
    assert b"plain.Message" in wire
    assert b"LIMIT" not in wire
    assert b"length" not in wire


@pytest.mark.parametrize("policy", POLICIES)
def test_the_zone(policy: Policy) -> None:
    """A field that is a datetime keeps its zone where the dialect has zones."""
    sent = Message("a", "b", datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC))
    came = BrokerPair(Echo(), policy=policy).call("echo", sent)
    if policy.dialects in WITH_ZONES:
        assert (came, came.at.utcoffset()) == (sent, datetime.timedelta(0))
    elif policy.send_unpersistable:
        assert came.check(MalformedJelly)
    else:
        assert came.check(CannotJelly)


@pytest.mark.parametrize("policy", POLICIES)
def test_shared(policy: Policy) -> None:
    """One that occurs twice is one at the receiver, and may be a key."""
    message = Message("a", "b")
    pair = BrokerPair(Echo(), policy=policy)
    one, other, table = pair.call("echo", [message, message, {message: message}])
    assert one is other
    assert table[one] is one
    assert next(iter(table)) is one


@pytest.mark.parametrize("policy", POLICIES)
def test_containing_itself(policy: Policy) -> None:
    """It cannot contain itself, since its constructor needs all fields."""
    for parts in ([], {}):
        node = Node(parts)
        node.parts = [node] if parts == [] else {"a": (node,)}
        failure = BrokerPair(Echo(), policy=policy).call("echo", node)
        assert failure.check(MalformedJelly)
        assert failure.value == "plain.Node contains itself"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("state", "error", "told"),
    [
        ((("room", 5), ("text", 5)), MalformedJelly,
         "plain.Message: room: Expected `str`, got `int`"),
        ((("text", "a"),), MalformedJelly, "field 'room' of plain.Message is missing"),
        ((("room", "a"), ("text", "a"), ("LIMIT", 5)), InsecureJelly,
         "field 'LIMIT' is not declared by plain.Message"),
        ((("room", "a"), ("text", "a"), ("other", 5)), InsecureJelly,
         "field 'other' is not declared by plain.Message"),
        ((("__class__", 5),), InsecureJelly, "field '__class__' is not declared by plain.Message"),
    ],
)  # fmt: skip
def test_states(policy: Policy, state: Any, error: Any, told: str) -> None:
    """A mistyped, a missing and an unknown field are refused, and a ClassVar is unknown."""
    pair = BrokerPair(policy=policy)
    pairs = [(text(name), text(item) if type(item) is str else item) for name, item in state]
    with pytest.raises(error) as caught:
        pair.client.unserialize([b"plain.Message", attributes(*pairs)])
    assert str(caught.value) == told


@pytest.mark.parametrize("policy", POLICIES)
def test_other_states(policy: Policy) -> None:
    """A state that is no dict of text, and what ``__post_init__`` refuses, fails the call."""
    client = BrokerPair(policy=policy).client
    for state, told in (
        ([b"list"], "state of plain.Node is not a dictionary"),
        (attributes((5, 5)), "state of plain.Node with a key of int"),
        (attributes((text("parts"), text("secret"))),
         "the fields of plain.Node are refused: ValueError"),
        (attributes((text("parts"), 5)), "the fields of plain.Node are refused: TypeError"),
    ):  # fmt: skip
        with pytest.raises(MalformedJelly) as caught:
            client.unserialize([b"plain.Node", state])
        assert str(caught.value) == told
    with pytest.raises(InsecureJelly, match="field 'length' is not declared by"):
        client.unserialize([b"plain.Node", attributes((text("length"), 5))])
    with pytest.raises(MalformedJelly):
        client.unserialize([b"plain.Node"])


def test_init_vars() -> None:
    """An InitVar does not cross, so a class that has one is refused."""

    @dataclass
    class Made:
        x: int
        hint: InitVar[int] = 5

    with pytest.raises(ConfigError) as caught:
        broker.register(Made, "chat.Message")
    assert str(caught.value) == "chat.Message has an InitVar, which does not cross"


def test_other_constructors() -> None:
    """A class whose constructor takes other arguments is refused."""

    @dataclass(init=False)
    class Made:
        x: int

        def __init__(self, other: int):
            self.x = other

    with pytest.raises(ConfigError, match=r"^the constructor of chat.Made must take its fields; "):
        broker.register(Made, "chat.Made")


def test_what_register_takes() -> None:
    """A class of annotations is told of its decorator, another one what may be registered."""

    class Message:
        text: str

    with pytest.raises(TypeError) as caught:
        broker.register(Message, "chat.Message")
    assert str(caught.value) == (
        "Message is not a dataclass yet: put @broker.register above @dataclass"
    )
    with pytest.raises(
        TypeError, match=r"^builtins\.int is not a dataclass, a msgspec\.Struct, an"
    ):
        broker.register(int, "chat.Number")
    referenceable = dataclasses.make_dataclass("Made", ["x"], bases=(broker.Referenceable,))
    with pytest.raises(TypeError, match="is sent as a reference, which needs no name"):
        broker.register(referenceable, "chat.Reference")


def test_names_are_taken_once() -> None:
    """A name of a plain class cannot be that of another class."""
    broker.register(Message, "plain.Message")
    with pytest.raises(ConfigError, match=r"^'plain.Message' is registered for .*Message;"):
        broker.register(type("Other", (broker.Error,), {}), "plain.Message")
    with pytest.raises(ConfigError, match=r"whose name differs from program to program"):
        broker.register(dataclass(type("Other", (), {"__module__": "__main__"})))


@pytest.mark.parametrize("policy", POLICIES)
def test_subclasses(policy: Policy) -> None:
    """A subclass that is not registered is refused at the sender, of a Copyable too."""

    @dataclass
    class Sub(Node):
        pass

    failure = BrokerPair(Echo(), policy=policy).call("echo", Sub())
    assert failure.check(CannotJelly)
    assert failure.value.args[0].startswith(
        f"{__name__}.Sub cannot be sent: register it with @broker.register"
    )

    @broker.register("plain.Base")
    @dataclass
    class Base(broker.Copyable, broker.RemoteCopy):
        x: int = 1

    class Other(Base):
        pass

    failure = BrokerPair(Echo(), policy=policy).call("echo", Other())
    assert failure.check(CannotJelly)
    assert "only its base plain.Base is registered; register it" in failure.value.args[0]
    del defaults.declared.classes[b"plain.Base"]


@pytest.mark.parametrize("policy", POLICIES)
def test_a_copyable_that_is_not_a_remote_copy(policy: Policy) -> None:
    """Its hooks say what goes out, and its constructor takes it."""

    @broker.register("plain.Half")
    @dataclass
    class Half(broker.Copyable):
        x: int

    assert BrokerPair(Echo(), policy=policy).call("echo", Half(5)) == Half(5)


def test_without_a_connection() -> None:
    """In an expression without a connection the classes have their names, too."""
    expression: Any = jelly.jelly([Point(1)])
    assert expression[1][0] == b"plain.Point"
    assert tags(expression) == []


def test_a_key_that_is_slow_to_hash() -> None:
    """The fields of a key that is a Struct count as what hashing walks."""

    @broker.register("plain.Key")
    class Key(msgspec.Struct, frozen=True):
        value: Any

    deep: Any = ()
    for _ in range(20):
        deep = (deep, deep)
    pair = BrokerPair(Echo(), policy=STRICT.but(limits=STRICT.limits.but(max_expanded=10**8)))
    key: list[Any] = [b"plain.Key", attributes((text("value"), pair.client.serialize(deep)))]
    with pytest.raises(LimitExceeded, match="max_key_nodes"):
        pair.client.unserialize([b"dictionary", [key, 1]])

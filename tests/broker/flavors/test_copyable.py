"""Copies: what goes out, and what may come in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from support.copied_classes import Annotated, Echo, attributes, echoed, text
from support.memory import BrokerPair

import jelly
from broker.core.policy import PUBLISHED
from broker.flavors.copyable import Copyable, RemoteCopy, register, set_fields
from broker.flavors.referenceable import Referenceable
from jelly.errors import InsecureJelly, MalformedJelly
from jelly.registry import defaults


@register
@dataclass
class Point(Copyable, RemoteCopy):
    """A dataclass that is both ends of a copy."""

    x: int
    y: int = 5
    tags: list[Any] = field(default_factory=list)

    def length(self) -> int:
        """Be a method that no field may hide."""
        return self.x + self.y


@register
@dataclass(frozen=True)
class Frozen(Copyable, RemoteCopy):
    """A frozen one."""

    x: Any


@register
@dataclass(slots=True)
class Slotted(Copyable, RemoteCopy):
    """One with slots."""

    x: int
    y: int = 7


class Sender(Copyable):
    """What the peer knows under another name."""

    def __init__(self, state: Any):
        self.state = state

    def getStateToCopy(self) -> Any:
        """Return what the test wants to be sent."""
        return self.state

    def getTypeToCopy(self) -> str:
        """Be called as the receiving class is."""
        return f"{__name__}.Receiver"


@register
class Receiver(RemoteCopy):
    """Takes the state in its own way."""

    def setCopyableState(self, state: Any) -> None:
        """Keep it as it came."""
        self.seen = state


@pytest.mark.parametrize(
    "value",
    [
        Point(1, 2, ["a"]),
        Point(1),
        Frozen((1, "x")),
        Slotted(1),
        Slotted(1, 2),
        [Frozen(1), {Frozen(2): Point(3)}],
    ],
)
def test_dataclasses(value: Any) -> None:
    """A dataclass arrives as an equal object of the same class."""
    made = echoed(value)
    assert made == value
    assert made is not value


def test_an_ordinary_class() -> None:
    """A class with annotations arrives with the attributes that it was sent with."""
    made = echoed(Annotated(name="a"))
    assert (type(made), made.name, made.limit) == (Annotated, "a", 10)


def test_references_inside_copies() -> None:
    """A copy may hold references, which come home as what they are."""
    mine = Referenceable()
    assert echoed(Frozen(mine)).x is mine


def test_cycles_through_copies() -> None:
    """A copy that holds itself does so at the other end."""
    point = Point(1)
    point.tags = [point]
    made = echoed(point)
    assert made.tags[0] is made


def test_published_hooks() -> None:
    """``getStateToCopy`` and ``getTypeToCopy`` say what goes out, ``setCopyableState`` takes it."""
    root = Echo()
    pair = BrokerPair(root)
    failure = pair.call("echo", Sender({"a": (1,)}))
    assert root.seen[0].seen == {"a": (1,)}
    assert "CannotJelly" in failure.type


def test_hooks_for_a_perspective() -> None:
    """The hooks with a perspective are asked first, and get the one of the message."""
    asked: list[Any] = []

    class For(Copyable):
        def getStateToCopyFor(self, perspective: Any) -> Any:
            asked.append(perspective)
            return 5

        def getTypeToCopyFor(self, perspective: Any) -> bytes:
            asked.append(perspective)
            return f"{__name__}.Receiver".encode()

    root = Echo()
    pair = BrokerPair(root)
    pair.root.perspective = "eyes"
    pair.call("echo", For())
    assert root.seen[0].seen == 5
    assert asked == ["eyes", "eyes"]


def test_get_state_for() -> None:
    """Where no connection is involved the state is the same."""
    point = Point(1)
    name = f"{__name__}.Point".encode()
    expression: Any = jelly.jelly(point)
    assert expression[0] == name
    assert [pair[0][1] for pair in expression[1][1:]] == [b"x", b"y", b"tags"]


def test_an_overridden_unjelly_for() -> None:
    """A class's own ``unjellyFor`` makes the object, or another."""

    class Special(RemoteCopy):
        def unjellyFor(self, unjellier: Any, jellyList: Any) -> Any:
            return ("special", unjellier.unjelly(jellyList[1]), unjellier.invoker)

    defaults.published.add_class(b"there.Special", Special)
    try:
        pair = BrokerPair(policy=PUBLISHED)
        made = pair.client.unserialize([b"there.Special", [b"tuple", 1]])
        assert made == ("special", (1,), pair.client)
    finally:
        del defaults.published.classes[b"there.Special"]


# What may come in.


def received(cls: type, state: Any) -> Any:
    """What one expression of a class becomes."""
    pair = BrokerPair()
    return pair.client.unserialize([f"{cls.__module__}.{cls.__name__}".encode(), state])


@pytest.mark.parametrize("cls", [Point, Annotated, Frozen, Slotted])
@pytest.mark.parametrize(
    "name", ["isAdmin", "length", "__class__", "__dict__", "", "a\nb", "x" * 99]
)
def test_fields_that_are_not_declared(cls: type, name: str) -> None:
    """A field that the class does not declare does not come in, and its name is told escaped."""
    with pytest.raises(InsecureJelly, match=r"^field '[ -~]{0,64}' is not declared by [\w.]+$"):
        received(cls, attributes((text("x"), 1), (text(name), 1)))


def test_fields_that_hide_methods() -> None:
    """Without a list of fields any may come in, but none that hides what the class defines."""

    class Loose(RemoteCopy):
        def is_admin(self) -> bool:
            return False

    loose = Loose()
    set_fields(loose, {"anything": 1})
    assert vars(loose) == {"anything": 1}
    for name in ("is_admin", "setCopyableState", "__class__", "__anything"):
        with pytest.raises(InsecureJelly, match=r"hides what .*Loose defines"):
            set_fields(loose, {name: 1})
    assert vars(loose) == {"anything": 1}


def test_a_missing_field() -> None:
    """A declared field without a default must come; one with a default is filled in."""
    with pytest.raises(MalformedJelly, match=r"^field 'x' of .*Point is missing$"):
        received(Point, attributes((text("y"), 1)))
    made = received(Point, attributes((text("x"), 1)))
    assert made == Point(1)
    assert made.tags is not received(Point, attributes((text("x"), 1))).tags


@pytest.mark.parametrize("state", [5, [b"list"], [b"None"], [b"tuple"]])
def test_a_state_that_is_no_dictionary(state: Any) -> None:
    """A state is a dictionary."""
    with pytest.raises(MalformedJelly, match="state of Point is not a dictionary"):
        received(Point, state)


def test_keys_that_are_no_names() -> None:
    """The keys of a state are str."""
    for key in (5, b"x"):
        with pytest.raises(MalformedJelly, match="with a key of"):
            received(Point, attributes((key, 1)))


def test_classes_that_are_not_registered() -> None:
    """A copy of a class that this side does not know is refused, by name."""

    class Unknown(Copyable):
        pass

    failure = BrokerPair(Echo()).call("echo", Unknown())
    assert "InsecureJelly" in failure.type
    assert "Unknown' is not registered" in failure.value

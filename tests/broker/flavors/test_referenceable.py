"""Objects that stay where they are, and roots."""

from __future__ import annotations

from typing import Any

from support.memory import BrokerPair

from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Referenceable, Root, Serializable
from broker.interfaces import IPBRoot
from jelly.interfaces import IJellyable


class Child(Referenceable):
    """Something handed over."""

    def remote_name(self) -> str:
        """Say who it is."""
        return "child"


class House(Root):
    """Hands out, and takes back."""

    def __init__(self) -> None:
        self.child = Child()
        self.seen: list[Any] = []

    def remote_child(self) -> Any:
        """Return the child."""
        return self.child

    def remote_is_child(self, value: Any) -> bool:
        """Tell whether it is the child that came home."""
        return value is self.child

    def remote_call_back(self, value: Any) -> Any:
        """Call what was handed over."""
        return value.callRemote("name")

    def remote_both(self, one: Any, other: Any) -> bool:
        """Tell whether both are one."""
        return one is other


class Raw(Referenceable):
    """Handles its calls by the published hook, and leads on to the default."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def remote_name(self, *parts: Any) -> Any:
        """Return what was sent."""
        return ["raw", *parts]

    def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
        """Note, and do as the default does."""
        self.names.append(message)
        return super().remoteMessageReceived(broker, message, args, kw)


def test_a_reference_can_be_called() -> None:
    """What was handed over is called at its owner."""
    pair = BrokerPair(House())
    child = pair.call("child")
    assert type(child) is RemoteReference
    assert pair.get(child.callRemote("name")) == "child"


def test_callbacks() -> None:
    """A server calls the object that a client handed over, and answers with the result."""
    assert BrokerPair(House()).call("call_back", Child()) == "child"


def test_coming_home() -> None:
    """A reference that is sent back is the object itself."""
    pair = BrokerPair(House())
    assert pair.call("is_child", pair.call("child")) is True


def test_the_same_object_twice() -> None:
    """An object that is sent twice in one message is one reference, and counted twice."""
    pair = BrokerPair(House())
    mine = Child()
    assert pair.call("both", mine, mine) is True
    assert pair.call("both", mine, Child()) is False
    assert len(pair.client.session.translator.exports) == 0


def test_an_overridden_hook_is_called() -> None:
    """``remoteMessageReceived`` of the class gets expressions; its default can be called."""
    raw = Raw()
    pair = BrokerPair(raw)
    assert pair.call("name", 1, k=2).type.endswith("WrongArguments")
    assert pair.call("name", 1, "two") == ["raw", 1, "two"]
    assert "NoSuchMethod" in pair.call("nothing").type
    assert raw.names == ["name", "name", "nothing"]


def test_root() -> None:
    """A root is what every peer starts from, unless it says another."""
    root = Root()
    assert IPBRoot.providedBy(root)
    assert root.rootObject("broker") is root
    assert IJellyable.providedBy(root)


def test_process_unique_id() -> None:
    """An object is told from all others by its id."""
    one, two = Serializable(), Serializable()
    assert one.processUniqueID() == one.processUniqueID() != two.processUniqueID()

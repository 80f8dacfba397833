"""Adapters, and objects of many components."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface import Interface, implementer

from broker import pb
from broker.interfaces import IPBRoot
from broker.reactor import components


class IPrice(Interface):
    """Has a price."""


class IName(Interface):
    """Has a name."""


class IThing(Interface):
    """Is a thing."""


class Thing:
    """Anything."""


@implementer(IThing)
class Declared:
    """Declares that it is a thing."""


@implementer(IPrice, IName)
class Tag(components.Adapter):
    """Adapts anything."""


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove adapters that a test registers."""
    monkeypatch.setattr(components, "_registry", type(components._registry)())


def test_class_and_interface() -> None:
    """An adapter is found from a class, from its subclasses, and from an interface."""
    with pytest.raises(TypeError):
        IPrice(Thing())
    components.registerAdapter(Tag, Thing, IPrice, IName)
    components.registerAdapter(Tag, IThing, IPrice)
    thing = type("Sub", (Thing,), {})()
    tag = IPrice(thing)
    assert (type(tag), tag.original) == (Tag, thing)
    assert type(IName(thing)) is Tag
    assert type(IPrice(Declared())) is Tag
    assert IName(Declared(), "none") == "none"


def test_adapter_shows_its_original() -> None:
    """An adapter provides the other interfaces of its original."""
    components.registerAdapter(Tag, Thing, IPrice)
    components.registerAdapter(lambda original: ("named", original), Thing, IName)
    thing = Thing()
    plain = components.Adapter(thing)
    assert IName(plain) == ("named", thing)
    assert IThing(plain, None) is None


def test_misuse() -> None:
    """A missing interface, and a second adapter for the same one, are errors."""
    with pytest.raises(ValueError, match="at least one interface"):
        components.registerAdapter(Tag, Thing)
    components.registerAdapter(Tag, Thing, IPrice)
    with pytest.raises(ValueError, match="registered already"):
        components.registerAdapter(Tag, Thing, IName, IPrice)
    assert components.getAdapterFactory(Thing, IName, None) is None


def test_factory() -> None:
    """getAdapterFactory returns the factory, or the default."""
    components.registerAdapter(Tag, IThing, IPrice)
    assert components.getAdapterFactory(IThing, IPrice, None) is Tag
    assert components.getAdapterFactory(Declared, IPrice, None) is Tag
    assert components.getAdapterFactory(Thing, IPrice, 5) == 5


def test_an_adapter_that_refuses() -> None:
    """A factory that returns None does not adapt."""
    components.registerAdapter(lambda original: None, Thing, IPrice)
    assert IPrice(Thing(), "none") == "none"


def test_root_of_a_server() -> None:
    """The use in PB: a server of an object that adapts to IPBRoot."""

    class Rooted:
        def __init__(self, original: Any):
            self.original = original

        def rootObject(self, broker: Any) -> Any:
            return self.original.root

    thing = Thing()
    thing.root = pb.Root()  # type: ignore[attr-defined]
    components.registerAdapter(Rooted, Thing, IPBRoot)
    factory = pb.PBServerFactory(thing)
    assert factory.root.rootObject(None) is thing.root  # type: ignore[attr-defined]


def test_componentized() -> None:
    """A Componentized has a component for each interface, set one by one or by what it provides."""
    whole = components.Componentized()
    tag = Tag(None)
    assert whole.getComponent(IPrice) is None
    assert whole.getComponent(IPrice, 3) == 3
    whole.setComponent(IThing, "thing")
    assert sorted(whole.addComponent(tag), key=str) == sorted([IPrice, IName], key=str)
    assert (IThing(whole), IPrice(whole), IName(whole)) == ("thing", tag, tag)
    whole.unsetComponent(IThing)
    assert IThing(whole, None) is None
    with pytest.raises(KeyError):
        whole.unsetComponent(IThing)
    assert sorted(whole.removeComponent(tag), key=str) == sorted([IPrice, IName], key=str)
    assert whole.removeComponent(tag) == []
    assert IName(whole, None) is None

"""Objects that jelly and unjelly themselves, by the published hooks."""

from __future__ import annotations

from typing import Any

import pytest

import jelly
from jelly.bases import (
    Jellyable,
    Unjellyable,
    Unpersistable,
    getInstanceState,
    setInstanceState,
)
from jelly.errors import MalformedJelly
from jelly.interfaces import IJellyable, IUnjellyable
from jelly.jellier import Jellier
from jelly.registry import Registry
from jelly.unjellier import Unjellier


class Both(Jellyable, Unjellyable):
    """Both ends of a copy."""


class Edited(Both):
    """Both ends, with hooks for the state."""

    def getStateFor(self, jellier: Any) -> Any:
        """Send a number."""
        return {"number": 5, "jellier": jellier is not None}

    def setStateFor(self, unjellier: Any, state: Any) -> None:
        """Keep the state as it came."""
        self.seen = (unjellier, state)


class Own(Unjellyable):
    """Fills itself, by the published method for that."""

    def unjellyFor(self, unjellier: Any, jellyList: list[Any]) -> Any:
        """Do what the default does."""
        return setInstanceState(self, unjellier, jellyList)


def unjelly(expression: Any, *classes: type) -> Any:
    """Unjelly with some classes registered."""
    registry = Registry()
    for cls in classes:
        registry.add_class(f"{__name__}.{cls.__name__}".encode(), cls)
    return Unjellier(registry=registry).unjellyFull(expression)


def tag(cls: type) -> bytes:
    """The wire name of a class of this file."""
    return f"{__name__}.{cls.__name__}".encode()


def test_the_interfaces_are_provided() -> None:
    """Instances provide the published interfaces; classes themselves do not."""
    assert IJellyable.providedBy(Both())
    assert IUnjellyable.providedBy(Both())
    assert not IJellyable.providedBy(Both)


def test_there_and_back() -> None:
    """A copy has the attributes of the original, cycles among them."""
    original = Both()
    original.parts = [original, 1]
    made = unjelly(jelly.jelly(original), Both)
    assert type(made) is Both
    assert made.parts == [made, 1]


def test_state_hooks() -> None:
    """``getStateFor`` gives the state, ``setStateFor`` takes it, each with who is at work."""
    expression = jelly.jelly(Edited())
    assert expression[0] == tag(Edited)
    unjellier, state = unjelly(expression, Edited).seen
    assert isinstance(unjellier, Unjellier)
    assert state == {"number": 5, "jellier": True}


def test_get_instance_state() -> None:
    """Any instance's state can be written, by ``getStateFor`` or its attributes."""

    class Plain:
        pass

    plain = Plain()
    plain.__dict__["a"] = 1
    jellier = Jellier()
    name = f"{__name__}.Plain".encode()
    assert getInstanceState(plain, jellier) == [name, [b"dictionary", [[b"unicode", b"a"], 1]]]


@pytest.mark.parametrize("cls", [Both, Own])
def test_no_dictionary(cls: type) -> None:
    """The default takes a dictionary, and nothing else."""
    assert vars(unjelly([tag(cls), [b"dictionary"]], cls)) == {}
    for state in (5, [b"list"], [b"None"], [b"tuple"]):
        with pytest.raises(MalformedJelly, match=f"state of {cls.__name__} is not a dictionary"):
            unjelly([tag(cls), state], cls)


@pytest.mark.parametrize("cls", [Both, Own])
@pytest.mark.parametrize("fields", [[], [[b"dictionary"], [b"dictionary"]]])
def test_wrong_number_of_fields(cls: type, fields: list[Any]) -> None:
    """A tag and a state, no less and no more."""
    with pytest.raises(MalformedJelly, match=f"{cls.__name__} of {len(fields)} fields"):
        unjelly([tag(cls), *fields], cls)


def test_unpersistable() -> None:
    """What could not be sent says why, at bounded length."""
    assert repr(Unpersistable("because")) == "Unpersistable('because')"
    assert len(repr(Unpersistable("x" * 10_000))) < 250

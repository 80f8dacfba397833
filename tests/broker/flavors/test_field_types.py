"""The checks of a class are made when its first state arrives, and are then kept."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

import broker
from broker.errors import ConfigError
from broker.flavors import field_checks
from broker.flavors.field_types import FieldTypes, check_state
from jelly.errors import MalformedJelly
from jelly.registry import defaults

Typed: TypeAlias = Callable[[Any], type]


class Colour(enum.Enum):
    """A class that a field may hold."""

    RED = "red"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Make a registered class with one field of a type."""

    def make(annotation: Any) -> type:
        names = {"__annotations__": {"value": annotation}, "__module__": __name__}
        cls = type("Made", (broker.RemoteCopy,), names)
        monkeypatch.setitem(defaults.declared.types, cls, FieldTypes(cls))
        return cls

    return make


def test_annotations_are_evaluated_late(typed: Typed) -> None:
    """A class may be registered before the classes exist that its annotations name."""
    cls = typed("datetme")
    for _ in range(2):
        with pytest.raises(ConfigError, match="'datetme' is not defined"):
            check_state(cls, {"value": 5})


def test_the_checks_are_made_once(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second state is checked by the same checks."""
    cls = typed("Colour")
    assert check_state(cls, {"value": "red"}) == {"value": Colour.RED}
    monkeypatch.setattr(field_checks, "FieldChecks", None)
    with pytest.raises(MalformedJelly, match="value: Invalid enum value"):
        check_state(cls, {"value": "secret"})


def test_a_class_without_types(typed: Typed) -> None:
    """A class that was not registered is not checked, nor a state that is no dict."""
    assert check_state(Colour, {"row": 5}) == {"row": 5}
    assert check_state(typed(int), ["x"]) == ["x"]

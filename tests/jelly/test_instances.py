"""Instances: registered classes, factories, functions, and the hooks of classes."""

from __future__ import annotations

from typing import Any

import pytest

from jelly.bases import Unjellyable
from jelly.errors import InsecureJelly
from jelly.registry import Registry
from jelly.unjellier import Unjellier


class Point(Unjellyable):
    """A copy that takes any state."""


class Counted(Unjellyable):
    """A copy with a hook for when all is there."""

    calls: list[Any]

    def postUnjelly(self) -> None:
        """Note what is there by now."""
        type(self).calls.append(dict(vars(self)))


class Wrapped(Unjellyable):
    """A copy with an unjellyFor of its own."""

    def unjellyFor(self, unjellier: Any, jellyList: list[Any]) -> Any:
        """Take the part, and return something else where that says so."""
        self.part = unjellier.unjelly(jellyList[1])
        return "other" if self.part == "other" else self


def unjelly(expression: Any, registry: Registry | None = None) -> Any:
    """The graph of an expression, made by an unjellier that knows the classes of this file."""
    if registry is None:
        registry = Registry()
        for cls in (Point, Counted, Wrapped):
            registry.add_class(cls.__name__.encode(), cls)
        registry.add_factory(b"factory", lambda state: ("made", state))
        registry.add_class(b"callable", lambda unjellier, parts: ("called", parts[1:]))
    return Unjellier(registry=registry).unjellyFull(expression)


def text(word: str) -> list[Any]:
    """The expression of a str."""
    return [b"unicode", word.encode()]


def ref(number: int, expression: Any) -> list[Any]:
    """A value that is referred to."""
    return [b"reference", number, expression]


def deref(number: int) -> list[Any]:
    """A reference to a value."""
    return [b"dereference", number]


def attributes(**state: Any) -> list[Any]:
    """The expression of a state."""
    return [b"dictionary", *([text(name), value] for name, value in state.items())]


def test_factories_and_callables() -> None:
    """A factory gets the state, a registered function the unjellier and the expression."""
    assert unjelly([b"factory", attributes(a=1)]) == ("made", {"a": 1})
    assert unjelly([b"callable", 1, b"x"]) == ("called", [1, b"x"])


def test_a_registered_class_without_the_hook() -> None:
    """A class that cannot fill itself is not made."""
    registry = Registry()
    registry.add_class(b"plain", type("Plain", (), {}))
    with pytest.raises(InsecureJelly, match="Plain is registered but has no unjellyFor"):
        unjelly([b"plain", 1], registry=registry)


def test_a_hook_of_its_own() -> None:
    """An overridden unjellyFor gets the whole expression; what it returns is the value."""
    made = unjelly([b"list", ref(1, [b"Wrapped", [b"tuple", 1]]), deref(1)])
    assert type(made[0]) is Wrapped
    assert made[0].part == (1,)
    assert made[0] is made[1]
    assert unjelly([b"list", ref(1, [b"Wrapped", text("other")]), deref(1)]) == ["other"] * 2


def test_post_unjelly() -> None:
    """``postUnjelly`` of the class is called once, at the end; a state brings none."""
    Counted.calls = []
    made = unjelly(ref(1, [b"tuple", [b"Counted", attributes(home=deref(1))], [b"list"]]))
    assert Counted.calls == [{"home": made}]
    with pytest.raises(InsecureJelly, match="'postUnjelly' hides what"):
        unjelly([b"Counted", attributes(postUnjelly=5)])
    unjelly([b"Point", attributes(postUnjelly=5)])


def test_a_factory_after_a_cycle() -> None:
    """In a message with a tuple in a cycle, a factory is called at the end; then the hooks are."""
    cycle = ref(1, [b"tuple", [b"list", deref(1)]])
    Counted.calls = []
    made = unjelly([b"list", cycle, [b"factory", 5], [b"Counted", attributes(a=5)]])
    assert made[0][0][0] is made[0]
    assert made[1] == ("made", 5)
    assert Counted.calls == [{"a": 5}]


def test_a_named_class_gets_its_state() -> None:
    """A class that is named, and not registered, is made blank and gets the state."""
    made = unjelly([f"{__name__}.Point".encode(), attributes(x=1)])
    assert type(made) is Point
    assert vars(made) == {"x": 1}


class Known(Unjellyable):
    """A copy whose state may belong to an instance that is there already."""

    earlier: Any = None

    def set_unjellied_state(self, unjellier: Any, state: Any) -> object:
        """Return the earlier instance, with the state."""
        vars(type(self).earlier)["state"] = state
        return type(self).earlier  # type: ignore[no-any-return]

    def postUnjelly(self) -> None:
        """Note it."""
        self.is_complete = True


def test_an_instance_that_is_there_already() -> None:
    """It is the value, wherever the message refers to it, and gets the hook."""
    registry = Registry()
    registry.add_class(b"Known", Known)
    Known.earlier = earlier = Known()
    known = ref(1, [b"Known", [b"list", 5]])
    made = unjelly([b"list", known, deref(1), [b"tuple", deref(1)]], registry)
    assert made == [earlier, earlier, (earlier,)]
    assert vars(earlier) == {"state": [5], "is_complete": True}

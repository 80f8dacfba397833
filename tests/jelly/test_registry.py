"""Which class a tag becomes: registries upon registries, and the published family."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import pytest

import jelly
from jelly.bases import Unjellyable
from jelly.errors import InsecureJelly
from jelly.registry import (
    Defaults,
    Registry,
    defaults,
    load_module,
    named_class,
    setUnjellyableFactoryForClass,
    setUnjellyableForClass,
    setUnjellyableForClassTree,
)
from jelly.security import SecurityOptions


class Taken(Unjellyable):
    """What comes in."""


class Sub(Taken):
    """A subclass of it."""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave the module-level settings as they were."""
    classes, factories = dict(defaults.published.classes), dict(defaults.published.factories)
    types_ = dict(defaults.security.allowedTypes)
    yield
    # In place: other published names are names of these very dicts.
    for registry, kept in (
        (defaults.published.classes, classes),
        (defaults.published.factories, factories),
    ):
        registry.clear()
        registry.update(kept)
    defaults.security.allowedTypes.clear()
    defaults.security.allowedTypes.update(types_)


def test_bases_are_asked_in_order() -> None:
    """A registry answers itself first, then its bases, however deep."""
    one, two = Registry(), Registry()
    both = Registry(one, two)
    top = Registry(both)
    two.add_class(b"a", "two")
    assert top.class_for(b"a") == "two"
    one.add_class(b"a", "one")
    assert top.class_for(b"a") == "one"
    top.add_class(b"a", "top")
    assert top.class_for(b"a") == "top"
    assert both.class_for(b"b") is None
    two.add_factory(b"f", str)
    assert top.factory_for(b"f") is str
    assert top.factory_for(b"a") is None


STATE = [b"dictionary", [[b"unicode", b"a"], 1]]


@pytest.mark.parametrize("name", ["there.Thing", b"there.Thing", "Thing"])
def test_set_unjellyable_for_class(name: str | bytes) -> None:
    """A peer's class becomes ours, by str, bytes or the class that has the name."""
    tag = name.encode() if isinstance(name, str) else name
    with pytest.raises(InsecureJelly):
        jelly.unjelly([tag, STATE])
    setUnjellyableForClass(name, Taken)
    made = jelly.unjelly([tag, STATE])
    assert (type(made), made.a) == (Taken, 1)


def test_by_the_class_itself() -> None:
    """A class stands for its own dotted name."""
    setUnjellyableForClass(Taken, Taken)
    assert type(jelly.unjelly([f"{__name__}.Taken".encode(), STATE])) is Taken


def test_set_unjellyable_factory_for_class() -> None:
    """A factory gets the state and makes what it likes."""
    setUnjellyableFactoryForClass("there.Made", lambda state: sorted(state.items()))
    assert jelly.unjelly([b"there.Made", STATE]) == [("a", 1)]


@pytest.mark.parametrize(
    ("prefix", "tags"),
    [(None, ["shapes.Taken", "shapes.Sub"]), ("p", ["p.Taken", "p.Sub"]), ("", ["Taken", "Sub"])],
)
def test_set_unjellyable_for_class_tree(prefix: str | None, tags: list[str]) -> None:
    """Every subclass in a module is registered under the prefix, and nothing else."""
    module = types.ModuleType("shapes")
    others: dict[str, Any] = {"Taken": Taken, "Sub": Sub, "Else": dict, "value": 5}
    vars(module).update(others)
    setUnjellyableForClassTree(module, Taken, prefix)
    found = {tag.decode(): cls for tag, cls in defaults.published.classes.items()}
    assert found.items() >= {tags[0]: Taken, tags[1]: Sub}.items()
    assert not any("Else" in tag or "value" in tag for tag in found)


def test_named_class() -> None:
    """A class is found by name only where module and class are allowed."""
    security = SecurityOptions()
    security.allowInstancesOf(Taken)
    assert named_class(f"{__name__}.Taken", security) is Taken
    for name in (f"{__name__}.Sub", f"{__name__}.none", "os.path", "Taken", "", ".", "x" * 500):
        with pytest.raises(InsecureJelly) as caught:
            named_class(name, security)
        assert len(str(caught.value)) < 250


def test_load_module() -> None:
    """A module is imported only where it is listed."""
    with pytest.raises(InsecureJelly, match="module 'os' is not allowed"):
        load_module("os", SecurityOptions())


def test_defaults() -> None:
    """What the published names start from, one object for all of them."""
    fresh = Defaults()
    assert (fresh.size_limit, fresh.prefix_limit, fresh.max_broker_refs) == (655_360, 64, 1024)
    assert fresh.security.isTypeAllowed("list")
    assert jelly.globalSecurity is defaults.security
    assert fresh.published is not fresh.declared


def test_classes_that_are_loaded_when_they_are_needed() -> None:
    """A loader runs once, at the first use of its tag, unless a class has the tag already."""
    loaded: list[str] = []

    def load() -> type:
        loaded.append("now")
        return Taken

    base = Registry()
    base.loaders[b"late"] = load
    above = Registry(base)
    assert above.class_for(b"other") is None
    assert loaded == []
    assert above.knows(b"late")
    assert base.class_for(b"late") is above.class_for(b"late") is Taken
    assert loaded == ["now"]
    other = Registry(base)
    other.add_class(b"late", Sub)
    assert other.class_for(b"late") is Sub
    taken = Registry()
    taken.loaders[b"late"] = load
    taken.add_class(b"late", Sub)
    assert taken.class_for(b"late") is Sub
    assert loaded == ["now"]

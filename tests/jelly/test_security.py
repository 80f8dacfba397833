"""The allow-lists: what SecurityOptions lets in, and DummySecurityOptions."""

from __future__ import annotations

import types

import pytest

from jelly.security import DummySecurityOptions, SecurityOptions, class_name


class Thing:
    """A class to allow."""


def test_class_names() -> None:
    """A class is called by its module and name."""
    assert class_name(Thing) == f"{__name__}.Thing"


def test_what_is_allowed_at_first() -> None:
    """Values that hold no other are allowed, and sets; lists, dicts and references are not yet."""
    options = SecurityOptions()
    for tag in ("None", "boolean", "unicode", "datetime", "decimal", "set", "frozenset"):
        assert options.isTypeAllowed(tag)
        assert options.isTypeAllowed(tag.encode())
    for tag in ("list", "dictionary", "reference", "class", "instance", "module", "function"):
        assert not options.isTypeAllowed(tag)
    assert not options.isModuleAllowed("os")
    assert not options.isClassAllowed(Thing)


def test_basic_types() -> None:
    """The basic types are the containers and the references."""
    options = SecurityOptions()
    options.allowBasicTypes()
    for tag in SecurityOptions.basicTypes:
        assert options.isTypeAllowed(tag)
    assert not options.isTypeAllowed("class")


def test_dotted_tags() -> None:
    """A tag with a dot is a class name: module and class are asked about next."""
    assert SecurityOptions().isTypeAllowed(b"os.path")


def test_instances() -> None:
    """Allowing instances allows their class, its module, and names of classes."""
    options = SecurityOptions()
    options.allowInstancesOf(Thing)
    assert options.isClassAllowed(Thing)
    assert not options.isClassAllowed(object)
    assert options.isModuleAllowed(__name__)
    assert options.isModuleAllowed(__name__.encode())
    assert options.isTypeAllowed(f"{__name__}.Thing")
    for tag in ("instance", "class", "classobj", "module", "list"):
        assert options.isTypeAllowed(tag)
    assert not options.isTypeAllowed("function")


@pytest.mark.parametrize("module", [types, "types", b"types"])
def test_modules(module: types.ModuleType | str | bytes) -> None:
    """A module is allowed by itself or by name."""
    options = SecurityOptions()
    options.allowModules(module)
    assert options.isModuleAllowed("types")
    assert not options.isModuleAllowed("types.x")


def test_options_are_independent() -> None:
    """What one allows, another does not."""
    SecurityOptions().allowTypes("mine")
    assert not SecurityOptions().isTypeAllowed("mine")


def test_dummy() -> None:
    """The dummy allows everything."""
    dummy = DummySecurityOptions()
    assert dummy.isTypeAllowed("x")
    assert dummy.isModuleAllowed("x")
    assert dummy.isClassAllowed(Thing)


def test_several_tags() -> None:
    """All of several tags are allowed if each of them is."""
    options = SecurityOptions()
    assert options.allows_all({b"unicode", b"None"})
    assert not options.allows_all({b"unicode", b"list"})
    options.allowBasicTypes()
    assert options.allows_all({b"unicode", b"list"})

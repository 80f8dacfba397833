"""Published names that are only another way to something: they lead where they should."""

from __future__ import annotations

import pytest
from twisted.spread import flavors as twisted_flavors
from twisted.spread import jelly as twisted_jelly

import jelly
from broker import pb
from jelly import banana
from jelly.registry import defaults

ATOMS = [n for n in vars(twisted_jelly) if n.endswith("_atom")]


@pytest.mark.parametrize("name", ATOMS)
def test_tags_of_jelly(name: str) -> None:
    """The tags have the bytes that Twisted's have, whatever name they go by."""
    assert getattr(jelly, name) == vars(twisted_jelly)[name]
    assert name in jelly.__all__


@pytest.mark.parametrize("name", ["remote_atom", "copy_atom", "cache_atom", "cached_atom"])
def test_tags_of_pb(name: str) -> None:
    """The tags of references, copies and caches have the bytes that Twisted's have."""
    assert getattr(pb, name) == getattr(twisted_flavors, name)
    assert name in pb.__all__


def test_registries() -> None:
    """A class that is registered stands in both published registries, by its tag."""
    jelly.setUnjellyableForClass("a.class", jelly.Unjellyable)
    try:
        for registry in (jelly.unjellyableRegistry, pb.copyTags):
            assert registry[b"a.class"] is jelly.Unjellyable
    finally:
        del jelly.unjellyableRegistry[b"a.class"]
        defaults.security.allowedTypes.pop(b"a.class", None)


def test_factories() -> None:
    """A factory that is registered stands in the published registry, by its tag."""
    jelly.setUnjellyableFactoryForClass("a.made", dict)
    try:
        assert jelly.unjellyableFactoryRegistry[b"a.made"] is dict
    finally:
        del jelly.unjellyableFactoryRegistry[b"a.made"]
        defaults.security.allowedTypes.pop(b"a.made", None)


def test_brokers_read_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Broker has the limits that the published names were set to when it was made."""
    for name in ("size_limit", "prefix_limit", "max_broker_refs"):
        monkeypatch.setattr(defaults, name, getattr(defaults, name))
    early = pb.Broker().policy
    banana.SIZE_LIMIT = 1000
    banana.setPrefixLimit(10)
    pb.MAX_BROKER_REFS = 5
    late = pb.Broker().policy
    assert (early.limits.max_string, early.limits.max_list) == (655_360, 655_360)
    assert (early.limits.max_prefix, early.max_refs) == (64, 1024)
    assert (late.limits.max_string, late.limits.max_list) == (1000, 1000)
    assert (late.limits.max_prefix, late.max_refs) == (10, 5)

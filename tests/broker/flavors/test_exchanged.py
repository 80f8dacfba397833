"""References in a received value are replaced, wherever they are."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from support.memory import BrokerPair

import broker
from broker.flavors.cacheable import RemoteCache
from broker.flavors.exchanged import exchanged
from broker.flavors.reference import RemoteReference


@broker.register(name="test.exchanged.Record")
@dataclasses.dataclass(frozen=True)
class Record:
    """A frozen dataclass."""

    owner: Any


@broker.register(name="test.exchanged.Struct")
class AStruct(msgspec.Struct, frozen=True):
    """A frozen Struct."""

    owner: Any


class Published(broker.RemoteCopy):
    """A copy of the published kind, without declared fields."""


class Mirror(RemoteCache):
    """A cache."""


@pytest.fixture
def reference() -> RemoteReference:
    """A reference of a connection in memory."""
    return BrokerPair(broker.Root()).client.remoteForName("root")


def replaced(value: Any) -> Any:
    """Return the value with "new" for each reference."""
    return exchanged(value, (RemoteReference,), lambda found: "new", {})


def published(**fields: Any) -> Published:
    """Make a copy with fields."""
    made = Published()
    made.__dict__.update(fields)
    return made


def test_containers(reference: RemoteReference) -> None:
    """A reference is replaced in each kind of container, in keys as well."""
    assert replaced(reference) == "new"
    value = [reference, (1, reference), {reference: reference}, {reference}, frozenset({reference})]
    assert replaced(value) == ["new", (1, "new"), {"new": "new"}, {"new"}, frozenset({"new"})]
    assert replaced((1, "a", None, b"b", 2.5)) == (1, "a", None, b"b", 2.5)


@pytest.mark.parametrize("make", [Record, AStruct, lambda owner: published(owner=owner)])
def test_copies(reference: RemoteReference, make: Any) -> None:
    """A reference is replaced in the fields of copies of each kind, also of frozen ones."""
    value = [make(reference), make([reference])]
    assert [one.owner for one in replaced(value)] == ["new", ["new"]]


def test_what_is_shared_stays_shared(reference: RemoteReference) -> None:
    """A value that occurs twice is one value, and a cycle is a cycle."""
    inner = [reference]
    one, two = replaced([inner, inner])
    assert one is two
    assert one == ["new"]
    cycle: list[Any] = [reference]
    cycle.append(cycle)
    assert replaced(cycle)[1] is cycle
    assert cycle[0] == "new"


def test_what_is_left_alone(reference: RemoteReference) -> None:
    """A cache lives longer than the call, and another object is the program's own."""
    cache = Mirror()
    cache.owner = reference  # type: ignore[attr-defined]
    own = broker.Referenceable()
    own.owner = reference  # type: ignore[attr-defined]
    assert replaced([cache, own]) == [cache, own]
    assert cache.owner is own.owner is reference  # type: ignore[attr-defined]

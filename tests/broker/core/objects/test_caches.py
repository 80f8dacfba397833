"""Caches both ways: published ones that we own, held ones of the peer's."""

from __future__ import annotations

from typing import Any

import pytest
from support.cache_observer import FakeObserver

from broker.core.objects.caches import CacheableTable, RemoteCacheTable
from broker.core.objects.tables import Numbers
from broker.errors import NoSuchObject
from jelly.errors import LimitExceeded, MalformedJelly, ProtocolError


class Thing:
    """Something that can be collected."""

    def _note_dropped(self, is_dropped: bool) -> None:
        """Do nothing."""


class Log:
    """Collections as the tables tell them."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, int]] = []

    def __call__(self, object_id: Any, count: int) -> None:
        """Note a collection."""
        self.entries.append((object_id, count))


# Published caches.


class Observed:
    """A cache that notes who stopped."""

    def __init__(self) -> None:
        self.stopped: list[tuple[Any, Any]] = []

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Note."""
        self.stopped.append((perspective, observer))


def test_published_caches() -> None:
    """A cache is counted, and handed back for ``stop`` at the last decache."""
    table = CacheableTable(Numbers(), 10)
    value = Observed()
    assert table.id_of("identity") is None
    cache_id = table.add(value, "identity", "perspective")
    assert table.id_of("identity") == cache_id == 1
    entry: Any = table.get(cache_id)
    entry.observer = observer = FakeObserver()
    entry.count += 1
    assert table.release(1) is None
    assert table.release(1) is entry
    assert table.get(1) is None
    assert table.id_of("identity") is None
    with pytest.raises(ProtocolError, match=r"decache of cache 1 by 1 \(held 0\)"):
        table.release(1)
    entry.stop()
    entry.stop()
    assert value.stopped == [("perspective", observer)]
    assert observer.has_ended


def test_a_cache_without_observer() -> None:
    """A cache that nobody observes yet has nobody to tell."""
    table = CacheableTable(Numbers(), 10)
    value = Observed()
    table.add(value, "identity", None)
    for entry in table.clear():
        entry.stop()
    assert value.stopped == []
    assert len(table) == 0
    assert table.id_of("identity") is None


@pytest.mark.parametrize("cache_id", [0, 2, b"1", 1.0, True, None, []])
def test_ids_of_no_cache(cache_id: Any) -> None:
    """Anything else than an int that was handed out is no id."""
    table = CacheableTable(Numbers(), 10)
    table.add("value", "identity", None)
    assert table.get(cache_id) is None


def test_published_caches_have_a_limit() -> None:
    """More caches than max_refs are refused."""
    table = CacheableTable(Numbers(), 1)
    table.add("a", "a", None)
    with pytest.raises(LimitExceeded, match=r"^more than 1 live caches \(max_refs\)$"):
        table.add("b", "b", None)


# Held caches.


def held(table: RemoteCacheTable, cache_id: int, **state: Any) -> Any:
    """Hold a new cache."""
    value = Thing()
    value.__dict__.update(state)
    table.add(cache_id, value)
    return value


def test_held_caches_are_counted() -> None:
    """One object stands for a cache; when it is collected its receptions are told."""
    log = Log()
    table = RemoteCacheTable(log, 10)
    value = held(table, 5, a=1)
    assert table.receive(5) is value
    assert table.observer_of(5) is value
    del value
    assert log.entries == [(5, 2)]
    assert len(table) == 1


def test_a_cache_comes_again_after_it_was_dropped() -> None:
    """Until the owner says uncache, the state is kept, and a new object is put around it."""
    log = Log()
    table = RemoteCacheTable(log, 10)
    held(table, 5, a=1)
    assert log.entries == [(5, 1)]
    passing = table.observer_of(5)
    assert passing.a == 1
    passing.a = 2
    del passing
    assert log.entries == [(5, 1)]
    again = table.receive(5)
    assert type(again) is Thing
    assert again.a == 2
    assert table.receive(5) is again
    del again
    assert log.entries == [(5, 1), (5, 2)]
    assert table.remove(5) is None
    with pytest.raises(MalformedJelly, match="cache 5 is not held"):
        table.receive(5)


def test_a_state_that_was_replaced() -> None:
    """An object that got another dict keeps that one."""
    table = RemoteCacheTable(Log(), 10)
    value = held(table, 5, a=1)
    value.__dict__ = {"b": 2}
    table.refresh(5, value)
    table.refresh(6, value)
    del value
    assert table.receive(5).b == 2


@pytest.mark.parametrize("cache_id", [5, b"5", 5.0, None, []])
def test_caches_that_are_not_held(cache_id: Any) -> None:
    """What was never sent can be neither received nor observed, nor sent under a strange id."""
    table = RemoteCacheTable(Log(), 10)
    with pytest.raises(MalformedJelly, match="is not held"):
        table.receive(cache_id)
    for ask in (table.observer_of, table.principal_of):
        with pytest.raises(NoSuchObject, match="is not held"):
            ask(cache_id)
    if cache_id != 5:
        with pytest.raises(MalformedJelly):
            table.add(cache_id, Thing())


def test_a_cache_that_is_sent_twice() -> None:
    """An id that is held cannot be defined again; the first stays."""
    table = RemoteCacheTable(Log(), 10)
    value = held(table, 5)
    with pytest.raises(MalformedJelly, match="cache 5 defined twice"):
        table.add(5, Thing())
    assert table.receive(5) is value


def test_removing() -> None:
    """After uncache nothing is told of the object any more."""
    log = Log()
    table = RemoteCacheTable(log, 10)
    value = held(table, 5)
    assert table.remove(5) is value
    del value
    assert log.entries == []
    with pytest.raises(ProtocolError, match="uncache of cache 5 that is not held"):
        table.remove(5)


def test_held_caches_have_a_limit() -> None:
    """More caches than max_refs are refused."""
    table = RemoteCacheTable(Log(), 1)
    held(table, 1)
    with pytest.raises(LimitExceeded, match=r"^more than 1 live caches \(max_refs\)$"):
        held(table, 2)


def test_clearing_held_caches() -> None:
    """At the end the objects that are in use are handed out, and nothing is due for them."""
    log = Log()
    table = RemoteCacheTable(log, 10)
    kept = held(table, 1)
    held(table, 2)
    assert log.entries == [(2, 1)]
    assert list(table.clear()) == [kept]
    assert len(table) == 0
    del kept
    assert log.entries == [(2, 1)]


def test_a_cache_that_was_never_read_is_not_there_to_be_changed() -> None:
    """Its number is known, so that the peer's uncache is none too many; there is no object."""
    log = Log()
    table = RemoteCacheTable(log, 10)
    table.let_go(7)
    assert log.entries == [(7, 1)]
    assert table.get(7) is None
    with pytest.raises(NoSuchObject, match="cache 7 is not held"):
        table.observer_of(7)
    assert table.remove(7) is None


def test_another_object_for_a_cache() -> None:
    """It has the receptions of the former one, which is collected without a note."""
    log = Log()
    table = RemoteCacheTable(log, 10)
    value = held(table, 5, a=1)
    table.receive(5)
    other = Thing()
    other.a = 2
    table.replace(5, other)
    del value
    assert log.entries == []
    assert table.receive(5) is other
    assert table.observer_of(5) is other
    del other
    assert log.entries == [(5, 3)]
    assert table.observer_of(5).a == 2
    table.replace(6, Thing())
    assert 6 not in table.by_id

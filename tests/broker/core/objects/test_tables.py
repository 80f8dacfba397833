"""The tables of a connection: counts, ids that are never used again, limits, and letting go."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from broker.core.objects.caches import CacheableTable
from broker.core.objects.tables import ExportTable, ImportTable, Numbers, OpenCalls, shown
from jelly.errors import LimitExceeded, ProtocolError


class Thing:
    """Something that can be collected."""


class Log:
    """Collections as the tables tell them."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, int]] = []

    def reference(self, object_id: Any, count: int) -> None:
        """Note a collection."""
        self.entries.append((object_id, count))


def test_shown() -> None:
    """Ids are shown as they are, names escaped and cut."""
    assert shown(7) == "7"
    assert shown(b"a\n") == "'a\\n'"
    assert len(shown(b"x" * 1000)) < 70


# Exports.


def test_exports_count_each_sending() -> None:
    """An object has one id while it is held, and goes at the last decref."""
    table = ExportTable(Numbers(), 10)
    thing = Thing()
    watch = weakref.ref(thing)
    assert [table.add(thing, id(thing)) for _ in range(3)] == [1, 1, 1]
    del thing
    entry: Any = table.get(1)
    assert entry.count == 3
    del entry
    table.release(1)
    table.release(1)
    assert watch() is not None
    table.release(1)
    assert table.get(1) is None
    assert watch() is None
    assert len(table) == 0
    with pytest.raises(ProtocolError, match=r"decref of object 1 by 1 \(held 0\)"):
        table.release(1)


def test_ids_are_never_used_again() -> None:
    """An object that was let go and is sent again has a new id, also across tables."""
    numbers = Numbers()
    exports, published = ExportTable(numbers, 10), CacheableTable(numbers, 10)
    assert exports.add("a", "a") == 1
    assert published.add("b", "b", None) == 2
    exports.release(1)
    assert exports.add("a", "a") == 3
    published.release(2)
    assert published.add("b", "b", None) == 4


def test_names_are_not_counted() -> None:
    """What has a name stays, and cannot be decref'd; it is not among the references."""
    table = ExportTable(Numbers(), 1)
    table.name(b"root", "the root")
    entry: Any = table.get(b"root")
    assert entry.value == "the root"
    assert len(table) == 0
    with pytest.raises(ProtocolError, match=r"decref of object 'root' by 1 \(held 0\)"):
        table.release(b"root")
    assert table.add("other", "other") == 1
    assert table.names() == {b"root": "the root", 1: "other"}


def test_names_are_text_too() -> None:
    """A name is found as bytes and as text, as the one entry; it is listed once."""
    exports = ExportTable(Numbers(), 10)
    value, other = object(), object()
    exports.name(b"root", value)
    exports.name(b"\xff", other)
    entry = exports.get(b"root")
    assert entry is not None
    assert entry.value is value
    assert exports.get("root") is entry
    assert exports.get("\\xff") is exports.get(b"\xff") is not None
    assert exports.names() == {b"root": value, b"\xff": other}
    assert len(exports) == 0
    exports.name(b"root", other)
    for name in (b"root", "root"):
        entry = exports.get(name)
        assert entry is not None
        assert entry.value is other
    for name in (b"root", "root"):
        with pytest.raises(ProtocolError, match=r"decref of object 'root' by 1 \(held 0\)"):
            exports.release(name)  # type: ignore[arg-type]
    exports.clear()
    assert exports.get("root") is None


def test_a_named_object_can_be_sent_too() -> None:
    """The same object may have a name and, when it is handed over, an id."""
    table = ExportTable(Numbers(), 10)
    thing = Thing()
    table.name(b"root", thing)
    assert table.add(thing, id(thing)) == 1
    table.release(1)
    assert table.get(b"root") is not None


def test_exports_have_a_limit() -> None:
    """More objects than max_refs are refused; those that are held may be sent again."""
    table = ExportTable(Numbers(), 2)
    table.add("a", "a")
    table.add("b", "b")
    with pytest.raises(LimitExceeded, match=r"^more than 2 live references \(max_refs\)$"):
        table.add("c", "c")
    assert table.add("a", "a") == 1
    table.release(2)
    assert table.add("c", "c") == 3


def test_on_release() -> None:
    """What is due at the release of an object is done once, whether it was sent before or after."""
    table = ExportTable(Numbers(), 10)
    done: list[str] = []
    table.when_released("later", lambda: done.append("later"))
    table.add("now", "now")
    table.when_released("now", lambda: done.append("now"))
    table.add("later", "later")
    table.add("later", "later")
    table.release(1)
    table.release(2)
    assert done == ["now"]
    table.release(2)
    assert done == ["now", "later"]
    table.add("later", "later")
    table.release(3)
    assert done == ["now", "later"]


def test_entry_of() -> None:
    """An object's entry is found by what identifies it, while it is held."""
    table = ExportTable(Numbers(), 10)
    assert table.entry_of("a") is None
    table.add("value", "a")
    entry: Any = table.entry_of("a")
    assert entry.value == "value"


def test_clearing_exports() -> None:
    """At the end everything is let go, and nobody is told of releases."""
    table = ExportTable(Numbers(), 10)
    table.name(b"root", "root")
    table.add("a", "a")
    table.when_released("a", lambda: pytest.fail("released"))
    table.clear()
    assert len(table) == 0
    assert table.names() == {}


# Imports.


def make_reference(perspective: Any, object_id: Any) -> Any:
    """A new reference."""
    made = Thing()
    made.__dict__.update(perspective=perspective, object_id=object_id)
    return made


def test_imports_are_one_each() -> None:
    """One reference stands for an object and perspective, and counts its receptions."""
    log = Log()
    table = ImportTable(log, 10)
    first = table.receive(7, None, make_reference)
    assert table.receive(7, None, make_reference) is first
    assert table.receive(7, None, make_reference) is first
    assert (first.object_id, first.perspective) == (7, None)
    seen = Thing()
    other = table.receive(7, seen, make_reference)
    assert other is not first
    assert other.perspective is seen
    assert len(table) == 2
    assert set(table.references()) == {first, other}
    assert log.entries == []
    del first
    assert log.entries == [(7, 3)]
    del other
    assert log.entries == [(7, 3), (7, 1)]
    assert len(table) == 0


def test_an_object_that_comes_again() -> None:
    """After its reference was collected an object gets a new one, counted afresh."""
    log = Log()
    table = ImportTable(log, 10)
    table.receive(7, None, make_reference)
    again = table.receive(7, None, make_reference)
    assert log.entries == [(7, 1)]
    del again
    assert log.entries == [(7, 1), (7, 1)]


def test_a_reference_in_a_cycle() -> None:
    """A reference that the garbage collector takes is told of as well."""
    log = Log()
    table = ImportTable(log, 10)
    thing = table.receive(7, None, make_reference)
    thing.me = thing
    del thing
    assert log.entries == []
    gc.collect()
    assert log.entries == [(7, 1)]


def test_imports_have_a_limit() -> None:
    """More live references than max_refs are refused; those that are held may come again."""
    table = ImportTable(Log(), 2)
    kept = [table.receive(number, None, make_reference) for number in (1, 2)]
    with pytest.raises(LimitExceeded, match=r"^more than 2 live references \(max_refs\)$"):
        table.receive(3, None, make_reference)
    assert table.receive(1, None, make_reference) is kept[0]
    del kept[1]
    kept.append(table.receive(3, None, make_reference))


def test_clearing_imports() -> None:
    """At the end nothing more is due for references that are still in use."""
    log = Log()
    table = ImportTable(log, 10)
    kept = table.receive(7, None, make_reference)
    table.clear()
    assert table.references() == []
    del kept
    assert log.entries == []


# Questions.


def test_questions() -> None:
    """Each call has a new id; its answer is taken once, for the perspective that asked."""
    table = OpenCalls()
    assert [table.ask("one", True), table.ask("two", True)] == [1, 2]
    assert len(table) == 2
    assert table.take(2) == (True, "two")
    assert table.take(1) == (True, "one")
    for request_id in (1, 2, 3, 0):
        with pytest.raises(ProtocolError, match=f"^answer to unknown request {request_id}$"):
            table.take(request_id)


def test_a_call_without_answer() -> None:
    """A call that wants no answer has an id, and no answer may come."""
    table = OpenCalls()
    request_id = table.ask(None, False)
    assert len(table) == 0
    with pytest.raises(ProtocolError):
        table.take(request_id)


def test_a_call_that_was_not_sent() -> None:
    """A call that is taken back was never made, and its id is not used again."""
    table = OpenCalls()
    request_id = table.ask(None, True)
    table.forget(request_id)
    assert len(table) == 0
    assert table.ask(None, True) == request_id + 1
    with pytest.raises(ProtocolError):
        table.take(request_id)


def test_a_call_that_nobody_waits_for() -> None:
    """The answer to an abandoned call may come, once, and is for nobody."""
    table = OpenCalls()
    request_id = table.ask("one", True)
    table.abandon(request_id)
    table.abandon(request_id)
    assert len(table) == 0
    assert table.take(request_id) == (False, None)
    with pytest.raises(ProtocolError):
        table.take(request_id)


def test_abandoning_what_was_answered() -> None:
    """Giving up after the answer changes nothing."""
    table = OpenCalls()
    request_id = table.ask("one", True)
    table.take(request_id)
    table.abandon(request_id)
    with pytest.raises(ProtocolError):
        table.take(request_id)


def test_clearing_questions() -> None:
    """At the end the calls that will have no answer are handed out; abandoned ones are not."""
    table = OpenCalls()
    ids = [table.ask(None, True) for _ in range(3)]
    table.abandon(ids[1])
    assert table.clear() == [ids[0], ids[2]]
    assert table.clear() == []

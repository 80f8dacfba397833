"""Graphs into and out of a connection: the four tags, their counts, and transactions."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from support.cache_observer import FakeObserver
from support.memory import ROOT, FakeHost, Reference, SessionPair, make_end

from broker.core.objects.releases import PendingReleases
from broker.core.policy import STRICT
from broker.errors import NoSuchObject
from broker.flavors.cacheable import Cacheable
from broker.flavors.referenceable import Referenceable
from jelly.errors import CannotJelly, InsecureJelly, LimitExceeded, MalformedJelly
from jelly.jellier import Jellier
from jelly.registry import Registry
from jelly.security import SecurityOptions
from jelly.unjellier import Unjellier


def translator(**policy: Any) -> Any:
    """The translator of one session."""
    return make_end(STRICT.but(**policy), True).translator


VALUES: list[Any] = [
    (),
    {},
    "",
    "ü",
    b"x",
    5,
    1.5,
    None,
    True,
    (1, "a", b"b", 2.5),
    (1, None),
    ("a", True),
    ((),),
    ([],),
    ({},),
    {"a": 1},
    [],
    set(),
    Decimal(1),
    datetime.date(2020, 1, 1),
    ("a", ("b",)),
]


@pytest.mark.parametrize("value", VALUES)
def test_short_cuts_make_no_difference(value: Any) -> None:
    """What is made quickly is what jellier and unjellier make."""
    one = translator()
    expression = Jellier(STRICT.security).jelly(value)
    assert one.jelly(value) == expression
    made = one.unjelly(expression)
    assert (type(made), made) == (type(value), value)
    assert made == Unjellier(STRICT.security).unjellyFull(expression)


@pytest.mark.parametrize("value", ["\ud800", ("\ud800",), 1j, (1j,), (object(),)])
def test_what_cannot_go_out(value: Any) -> None:
    """What has no expression is refused, in a short form as in a long one."""
    with pytest.raises(CannotJelly):
        translator().jelly(value)


@pytest.mark.parametrize(
    "expression",
    [
        [b"unicode"],
        [b"unicode", b"\xff"],
        [b"unicode", 5],
        [b"tuple", [b"unicode", b"\xff"]],
        [b"tuple", [b"unicode", b"a", b"b"]],
        [b"tuple", []],
        [b"tuple", "str"],
        [b"dictionary", 5],
        "str",
        None,
        [],
    ],
)
def test_malformed_short_forms(expression: Any) -> None:
    """A malformed expression is malformed in its short form too."""
    with pytest.raises(MalformedJelly):
        translator().unjelly(expression)


@pytest.mark.parametrize("expression", [[b"unicode", b"a"], [b"tuple", 1], [b"dictionary"]])
def test_short_forms_ask_the_policy(expression: Any) -> None:
    """A policy that does not allow a type refuses its short form."""
    security = SecurityOptions()
    security.allowedTypes = {}
    with pytest.raises(InsecureJelly):
        translator(security=security).unjelly(expression)


def test_subclasses_are_no_short_forms() -> None:
    """A str or tuple of another class is no plain one, and does not pass for it."""
    for value in (type("S", (str,), {})("a"), type("T", (tuple,), {})((1,))):
        with pytest.raises(CannotJelly):
            translator().jelly(value)


def test_remote() -> None:
    """``[remote id]`` becomes one reference, for the perspective through which it is seen."""
    one = translator()
    first, second = one.unjelly([b"list", [b"remote", 5], [b"remote", 5]], "eyes")
    assert type(first) is Reference
    assert first is second
    assert (first.object_id, first.perspective) == (5, "eyes")
    assert one.perspective is None


@pytest.mark.parametrize("tag", [b"remote", b"local", b"cached", b"lcache"])
@pytest.mark.parametrize("fields", [[], [1, 2], [b"root"], [1.5], [[b"list"]], [-1], [10**30]])
def test_malformed_tags(tag: bytes, fields: list[Any]) -> None:
    """An id that cannot be, or is not known, is an error of that value."""
    one = translator()
    if tag == b"remote" and fields in ([-1], [10**30]):
        return
    with pytest.raises((MalformedJelly, NoSuchObject)):
        one.unjelly([tag, *fields])


@pytest.mark.parametrize("object_id", [1.5, [b"list"], True, None, "root"])
def test_a_local_whose_id_is_not_an_int(object_id: Any) -> None:
    """It is malformed, whatever the receiver has exported."""
    one = translator()
    one.exports.name(ROOT, Referenceable())
    with pytest.raises(MalformedJelly, match=r"^local whose id is not an int$"):
        one.unjelly([b"local", object_id])


def test_local() -> None:
    """``[local id]`` is our own object coming home, and so is the name of one that we publish."""
    one = translator()
    thing = Referenceable()
    object_id = one.export(thing, id(thing))
    one.exports.name(ROOT, thing)
    assert one.unjelly([b"local", object_id]) is thing
    assert one.unjelly([b"local", ROOT]) is thing
    assert one.unjelly([b"list", [b"local", ROOT]]) == [thing]
    with pytest.raises(NoSuchObject, match="object 'admin' is not exported to this connection"):
        one.unjelly([b"local", b"admin"])
    one.exports.release(object_id)
    with pytest.raises(NoSuchObject, match="object 1 is not exported to this connection"):
        one.unjelly([b"local", object_id])


def test_cached_and_lcache() -> None:
    """``[lcache id]`` is our own cache coming home, ``[cached id]`` one of the peer's again."""
    one = translator()
    mine = Cacheable()
    assert one.publish(mine, id(mine)) == (1, True)
    assert one.publish(mine, id(mine)) == (1, False)
    assert one.unjelly([b"lcache", 1]) is mine
    with pytest.raises(NoSuchObject, match="cache 2 is not published to this connection"):
        one.unjelly([b"lcache", 2])
    with pytest.raises(NoSuchObject):
        one.observe(2, FakeObserver())
    theirs = Cacheable()
    one.remote_caches.add(7, theirs)
    assert one.unjelly([b"cached", 7]) is theirs
    with pytest.raises(MalformedJelly, match="cache 8 is not held"):
        one.unjelly([b"cached", 8])


def test_references_have_a_limit_both_ways() -> None:
    """Above max_refs neither more goes out nor comes in; that is an error of the value."""
    one = translator(max_refs=2)
    kept = one.unjelly([b"list", [b"remote", 1], [b"remote", 2]])
    with pytest.raises(LimitExceeded, match="max_refs"):
        one.unjelly([b"remote", 3])
    assert one.unjelly([b"remote", 1]) is kept[0]
    things = [Referenceable() for _ in range(3)]
    with pytest.raises(LimitExceeded, match="max_refs"):
        for thing in things:
            one.export(thing, id(thing))


def test_a_scope_takes_back_what_was_exported() -> None:
    """What was counted while a message was made is uncounted when it is not sent."""
    one = translator()
    before, inside = Referenceable(), Referenceable()
    one.export(before, id(before))
    transaction = one.open("eyes")
    assert one.transaction is transaction
    one.export(before, id(before))
    one.export(inside, id(inside))
    cache = Cacheable()
    one.publish(cache, id(cache))
    one.publish(cache, id(cache))
    one.close(transaction)
    assert transaction.roll_back() == []
    assert one.transaction is None
    assert one.exports.entry_of(id(before)).count == 1
    assert one.exports.entry_of(id(inside)) is None
    assert one.cacheables.id_of(id(cache)) is None


def test_observers_are_told_when_it_is_taken_back() -> None:
    """A cache that is not sent after all has no observer any more, and knows for whom."""
    stopped: list[Any] = []

    class Watched(Cacheable):
        def stoppedObserving(self, perspective: Any, observer: Any) -> None:
            stopped.append((perspective, observer))

    one = translator()
    cache = Watched()
    transaction = one.open("eyes")
    cache_id, _ = one.publish(cache, id(cache))
    observer = FakeObserver()
    one.observe(cache_id, observer)
    one.close(transaction)
    transaction.roll_back()
    assert stopped == [("eyes", observer)]
    assert observer.has_ended


def test_scopes_nest() -> None:
    """Closing an inner transaction returns to the outer one."""
    one = translator()
    outer = one.open("outer")
    inner = one.open("inner")
    assert inner.outer is outer
    one.close(inner)
    assert one.transaction is outer


def test_the_perspective_is_restored() -> None:
    """Also where unjellying fails, and where a hook unjellies on the way."""
    one = translator()
    one.perspective = "before"
    with pytest.raises(InsecureJelly):
        one.unjelly([b"list", [b"os.path"]], "inside")
    assert one.perspective == "before"


def test_rows_of_the_host() -> None:
    """The host adds its own tags."""
    pair = SessionPair()
    host = pair.client_host
    host.rows = {b"mine": lambda unjellier, expression: expression[1]}
    one = make_end(STRICT, True)
    fresh = type(one.translator)(STRICT, host, PendingReleases(FakeHost()))
    assert fresh.unjelly([b"mine", 5]) == 5
    with pytest.raises(InsecureJelly):
        one.translator.unjelly([b"mine", 5])


def test_a_lone_reference_is_counted_like_any_other() -> None:
    """A reference that is the whole value is one reference with that in a list, counted twice."""
    one = translator()
    lone = one.unjelly([b"remote", 7])
    (same,) = one.unjelly([b"list", [b"remote", 7]])
    assert lone is same
    assert [entry.count for entry in one.imports._entries.values()] == [2]
    assert one.perspective is None


@pytest.mark.parametrize(
    "expression", [[b"remote"], [b"remote", b"x"], [b"remote", -1], [b"remote", 1, 2]]
)
def test_a_lone_reference_that_is_malformed(expression: Any) -> None:
    """It is refused as it would be inside a list."""
    texts = []
    for given in (expression, [b"list", expression]):
        with pytest.raises(MalformedJelly) as caught:
            translator().unjelly(given)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]


class OwnReference:
    """The application's own class for references."""

    def unjellyFor(self, unjellier: Any, expression: Any) -> Any:
        """Keep the id."""
        self.object_id = expression[1]
        return self


def test_a_class_of_its_own_for_references() -> None:
    """A class that is registered for all references reads a lone one too."""
    registry = Registry()
    registry.add_class(b"remote", OwnReference)
    lone = translator(registry=registry).unjelly([b"remote", 7])
    assert (type(lone), lone.object_id) == (OwnReference, 7)

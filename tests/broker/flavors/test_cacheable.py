"""Caches: followed, and changed by one-way calls."""

from __future__ import annotations

from typing import Any

import pytest
from support.cached_models import House, Mirror, Model, served, tables
from support.memory import BrokerPair

from broker.flavors.cacheable import Cacheable, RemoteCacheObserver
from broker.flavors.copyable import register
from jelly.errors import CannotJelly


@register
class Second(Mirror):
    """Another class of followers."""


# Following.


def test_following() -> None:
    """A cache arrives with its state, and follows the changes."""
    pair, model = served(Model(1))
    mirror = pair.call("get")
    assert (type(mirror), mirror.value) == (Mirror, 1)
    assert mirror.broker is pair.client
    (answer,) = model.change(2)
    assert pair.get(answer) == ["seen", 2]
    assert mirror.value == 2


def test_one_cache_for_one_object() -> None:
    """However often it is sent, its state goes once, and one object stands for it."""
    pair, model = served()
    first, second = pair.call("get"), pair.call("get")
    one, other = pair.call("all")
    assert first is second is one is other
    assert len(model.observers) == 1
    assert first == second
    assert first in {second}
    assert tables(pair) == (1, 1)


def test_two_peers_have_two_observers() -> None:
    """Each connection has an observer of its own."""
    model = Model()
    pairs = [BrokerPair(House(model)) for _ in range(2)]
    mirrors = [pair.call("get") for pair in pairs]
    assert len(set(model.observers)) == 2
    for pair, answer in zip(pairs, model.change(7), strict=True):
        assert pair.get(answer) == ["seen", 7]
    assert [mirror.value for mirror in mirrors] == [7, 7]
    pairs[0].cut()
    assert len(model.observers) == 1


def test_coming_home() -> None:
    """A cache that is sent back to its owner is the object itself."""
    pair, _model = served()
    assert pair.call("give_back", pair.call("get")) is True


def test_another_owner() -> None:
    """A cache goes nowhere but home; nothing is written for one that cannot."""
    pair, _ = served()
    other, _ = served()
    mirror = pair.call("get")
    other.exchange()
    before = len(other.transport(other.client).writes)
    failure = other.call("give_back", mirror)
    assert failure.check(CannotJelly)
    assert "it can be sent only to its owner" in failure.getErrorMessage()
    assert len(other.transport(other.client).writes) == before


def test_observed_methods_only() -> None:
    """An owner calls ``observe_`` methods, and no others."""
    pair, model = served()
    mirror = pair.call("get")
    for name in ("not_this", "value", "nothing"):
        failure = pair.get(model.observers[0].callRemote(name))
        assert "NoSuchMethod" in failure.type
    assert mirror.value == 0


def test_published_hook() -> None:
    """A ``remoteMessageReceived`` of the cache's own handles the owner's calls."""
    names = []

    @register
    class Own(Mirror):
        def remoteMessageReceived(self, broker: Any, message: str, args: Any, kw: Any) -> Any:
            names.append(message)
            return super().remoteMessageReceived(broker, message, args, kw)

    class OwnModel(Model):
        def getTypeToCopy(self) -> str:
            return f"{__name__}.Own"

    pair, model = served(OwnModel(1))
    mirror = pair.call("get")
    assert pair.get(model.observers[0].callRemote("changed", 5)) == ["seen", 5]
    assert names == ["changed"]
    assert mirror.value == 5


def test_remote_method() -> None:
    """A method of an observer can be kept, compared and called."""
    pair, model = served()
    mirror = pair.call("get")
    (observer,) = model.observers
    method = observer.remoteMethod("changed")
    assert method == observer.remoteMethod("changed") != observer.remoteMethod("other")
    assert hash(method) == hash(observer.remoteMethod("changed"))
    assert pair.get(method(3)) == ["seen", 3]
    assert mirror.value == 3


def test_observers_are_told_apart() -> None:
    """Observers are equal for the same cache, connection and perspective."""
    model, other = Model(), Model()
    one = RemoteCacheObserver("broker", model, "eyes")
    assert one == RemoteCacheObserver("broker", model, "eyes")
    assert hash(one) == hash(RemoteCacheObserver("broker", model, "eyes"))
    assert one != RemoteCacheObserver("broker", other, "eyes")
    assert one != RemoteCacheObserver("broker", model, "others")
    assert "Model" in repr(one)


def test_the_default_state() -> None:
    """A Cacheable without hooks of its own sends what a Copyable would."""

    class Plain(Cacheable):
        def __init__(self) -> None:
            self.value = 5

        def getTypeToCopy(self) -> str:
            return f"{Mirror.__module__}.Mirror"

    pair, _ = served(Plain())
    assert pair.call("get").value == 5
    pair.cut()


# One-way calls.


BOTH = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])


@BOTH
def test_a_change_is_sent_one_way(dialect: str) -> None:
    """An observer's send calls the method, in order with other calls, and waits for nothing."""
    pair, model = served(Model(1), dialects=(dialect,))
    mirror = pair.call("get")
    (observer,) = model.observers
    assert observer.send("changed", 2) is None
    answer = observer.callRemote("changed", [3])
    observer.send("changed", value=model)
    assert len(pair.server.session.outgoing.open_calls) == 1
    assert pair.get(answer) == ["seen", [3]]
    assert mirror.value is mirror


@BOTH
def test_nobody_to_send_to(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """A follower that has dropped the cache, or has gone, is no error and makes no record."""
    pair, model = served(dialects=(dialect,))
    pair.call("get")
    (first,) = model.observers
    pair.collect()
    first.send("changed", 1)
    mirror = pair.call("get")
    (second,) = model.observers
    first.send("changed", 2)
    pair.exchange()
    assert mirror.value == 0
    pair.cut()
    for observer in (first, second):
        observer.send("changed", 3)
        observer.send("changed", object())
    assert (first.is_over, second.is_over) == (True, True)
    assert caplog.records == []


def test_a_change_that_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """What an observer cannot send is logged, and the next change arrives."""
    pair, model = served()
    mirror = pair.call("get")
    model.observers[0].send("changed", object())
    model.observers[0].send("changed", 2)
    pair.exchange()
    assert mirror.value == 2
    (record,) = caplog.records
    assert record.getMessage() == "call of 'changed' without answer was not sent"


@BOTH
def test_a_method_that_the_follower_has_not(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """One-way calls of it make one record for each class and method, and end nothing."""

    class Other(Model):
        def getTypeToCopy(self) -> str:
            return f"{__name__}.Second"

    pair, model = served(Model(), Other(), dialects=(dialect,))
    kept = pair.call("all")
    for _ in range(50):
        for each in (model, pair.server.localObjectForID("root").models[1]):
            each.observers[0].send("renamed", 1)
            each.observers[0].send("moved", 1)
    pair.exchange()
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"the server: call of '{name}' without an answer was not run: no remote method '{name}'"
        f" (a {cls}; the next are not logged)"
        for name in ("moved", "renamed")
        for cls in ("Mirror", "Second")
    ]
    assert pair.get(model.observers[0].callRemote("changed", 5)) == ["seen", 5]
    assert len(kept) == 4


@register
class Moody(Mirror):
    """Has methods that fail, that take long, and that return something."""

    def observe_fail(self) -> None:
        """Raise."""
        raise ValueError("moody")

    async def observe_later(self, value: Any) -> None:
        """Follow, in a while."""
        self.value = value


@BOTH
def test_one_way_calls_that_fail(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    """A change that fails at the follower is logged there, and those after it arrive."""

    class MoodyModel(Model):
        def getTypeToCopy(self) -> str:
            return f"{__name__}.Moody"

    pair, model = served(MoodyModel(), dialects=(dialect,))
    mirror = pair.call("get")
    (observer,) = model.observers
    observer.send("fail")
    observer.send("changed")
    observer.send("later", 1)
    pair.exchange()
    assert mirror.value == 1
    observer.send("changed", 2)
    pair.exchange()
    assert mirror.value == 2
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert messages[0].startswith("remote method 'fail' raised")
    assert "changed: " in messages[1]
    assert pair.client.session.running == 0


@pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])
def test_a_change_for_an_object_that_was_dropped(dialect: str) -> None:
    """One-way changes that cross the decache are made to the state that is kept."""
    pair, model = served(Model(1), dialects=(dialect,))
    pair.call("get")
    again = pair.root.callRemote("get")
    for value in (2, 3):
        model.observers[0].send("changed", value)
    pair.server.flush()
    mirror = pair.get(again)
    assert mirror.value == 3


@BOTH
def test_calls_that_nobody_handles_end_with_one_record(
    dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that ends while 1,000 answers are due makes one record of those unhandled."""
    pair, model = served(dialects=(dialect,))
    mirror = pair.call("get")
    handled: list[Any] = []
    for number in range(1000):
        for answer in model.change(number):
            if number % 2:
                answer.addErrback(handled.append)
    del answer
    pair.cut()
    assert len(handled) == 500
    assert [record.getMessage() for record in caplog.records] == [
        "500 calls without a handler: connection lost"
    ]
    assert mirror.value == 0

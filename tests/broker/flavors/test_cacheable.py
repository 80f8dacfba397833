"""Caches: followed, dropped, crossing each other on the wire, and told of the end exactly once."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.memory import BrokerPair

import jelly
from broker.core.policy import STRICT
from broker.errors import ProtocolError
from broker.flavors.cacheable import Cacheable, RemoteCache, RemoteCacheObserver
from broker.flavors.copyable import register
from broker.flavors.referenceable import Root
from jelly.errors import CannotJelly, InsecureJelly, MalformedJelly
from jelly.registry import defaults


class Model(Cacheable):
    """What is followed."""

    def __init__(self, value: Any = 0):
        self.value = value
        self.observers: list[RemoteCacheObserver] = []
        self.stopped: list[tuple[Any, Any]] = []

    def getTypeToCopy(self) -> str:
        """Be called as the receiving class is."""
        return f"{__name__}.Mirror"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
        """Keep the observer."""
        self.observers.append(observer)
        return {"value": self.value}

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget the observer."""
        self.observers.remove(observer)
        self.stopped.append((perspective, observer))

    def change(self, value: Any) -> list[Any]:
        """Tell every observer."""
        self.value = value
        return [observer.callRemote("changed", value) for observer in self.observers]


@register
class Mirror(RemoteCache):
    """What the follower has."""

    value: Any

    def observe_changed(self, value: Any) -> Any:
        """Follow."""
        self.value = value
        return ["seen", value]

    def remote_not_this(self) -> None:
        """Have a prefix that owners do not call."""


@register
class Second(Mirror):
    """Another class of followers."""


class House(Root):
    """Hands out models."""

    def __init__(self, *models: Any):
        self.models = list(models) or [Model()]
        self.returned: list[Any] = []

    def remote_get(self) -> Any:
        """Return the first."""
        return self.models[0]

    def remote_all(self) -> Any:
        """Return all of them, twice."""
        return self.models * 2

    def remote_give_back(self, value: Any) -> bool:
        """Take one home."""
        self.returned.append(value)
        return value is self.models[0]

    def remote_bad(self) -> Any:
        """Return a model beside something that cannot be sent."""
        return [*self.models, object()]


def served(*models: Any, **policy: Any) -> tuple[BrokerPair, Any]:
    """A pair whose server has models, and the first of these."""
    house = House(*models)
    return BrokerPair(house, policy=STRICT.but(**policy)), house.models[0]


def tables(pair: BrokerPair) -> tuple[int, int]:
    """How many caches the server has published and the client holds."""
    return (
        len(pair.server.session.translator.published),
        len(pair.client.session.translator.held),
    )


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
            return f"{__name__}.Mirror"

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
    assert pair.server.session.waiting == 1
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


# Dropping.


def test_dropping() -> None:
    """When the last reception is dropped the owner is told once, and both forget."""
    pair, model = served()
    mirror = pair.call("get")
    pair.call("all")
    (observer,) = model.observers
    pair.collect()
    assert model.stopped == []
    assert tables(pair) == (1, 1)
    del mirror
    pair.collect()
    assert model.stopped == [(None, observer)]
    assert tables(pair) == (0, 0)
    pair.cut()
    assert len(model.stopped) == 1


def test_after_dropping() -> None:
    """An observer that is over leads nowhere; sent again, the cache has another."""
    pair, model = served()
    pair.call("get")
    pair.collect()
    ((_, observer),) = model.stopped
    with pytest.raises(ProtocolError, match="the peer does not hold this cache"):
        observer.callRemote("changed", 1)
    mirror = pair.call("get")
    assert len(model.observers) == 1
    pair.get(model.change(9)[0])
    assert mirror.value == 9


@pytest.mark.parametrize("who", ["server", "client"])
def test_the_end_of_the_connection(who: str) -> None:
    """Each observer is told once; the cache keeps its last state, and no connection."""
    pair, model = served(Model(1))
    mirror = pair.call("get")
    if who == "server":
        pair.server.connectionLost(None)
    pair.cut()
    pair.cut()
    assert len(model.stopped) == 1
    assert model.observers == []
    assert mirror.value == 1
    assert mirror.broker is None
    assert tables(pair) == (0, 0)


def test_a_hook_that_raises_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A stoppedObserving that raises is logged, and the others are told all the same."""

    class Broken(Model):
        def stoppedObserving(self, perspective: Any, observer: Any) -> None:
            raise ValueError("hook")

    model = Model()
    pair, _ = served(Broken(), model)
    kept = pair.call("all")
    with caplog.at_level(logging.ERROR, "broker"):
        pair.cut()
    assert len(model.stopped) == 1
    assert "a callback of the application raised" in caplog.text
    assert len(kept) == 4


def test_a_hook_that_raises_at_decache(caplog: pytest.LogCaptureFixture) -> None:
    """The peer is told uncache all the same, and the connection goes on."""

    class Broken(Model):
        def stoppedObserving(self, perspective: Any, observer: Any) -> None:
            raise ValueError("hook")

    pair, _ = served(Broken())
    with caplog.at_level(logging.ERROR, "broker"):
        pair.call("get")
        pair.collect()
    assert "stoppedObserving" in caplog.text
    assert tables(pair) == (0, 0)
    assert type(pair.call("get")) is Mirror
    caplog.clear()
    pair.collect()


# Rolling back.


def test_an_answer_that_cannot_be_sent() -> None:
    """The observer that was handed out for it is told once that it is over."""
    pair, model = served()
    assert "CannotJelly" in pair.call("bad").type
    assert len(model.stopped) == 1
    assert model.observers == []
    assert tables(pair) == (0, 0)
    pair.cut()
    assert len(model.stopped) == 1


def test_a_cache_that_is_held_survives_a_rollback() -> None:
    """Only the sending that failed is taken back."""
    pair, model = served()
    mirror = pair.call("get")
    pair.call("bad")
    assert model.stopped == []
    pair.get(model.change(5)[0])
    assert mirror.value == 5
    del mirror
    pair.collect()
    assert len(model.stopped) == 1


def test_a_state_hook_that_raises() -> None:
    """An observer that was handed out before the hook raised is told that it is over."""

    class Failing(Model):
        def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
            super().getStateToCacheAndObserveFor(perspective, observer)
            raise ValueError("no state today")

    pair, model = served(Failing())
    pair.call("get")
    assert len(model.stopped) == 1
    assert tables(pair) == (0, 0)


def test_a_change_while_it_is_sent() -> None:
    """A call to the observer made inside the hook goes out behind the state."""

    class Eager(Model):
        def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> Any:
            state = super().getStateToCacheAndObserveFor(perspective, observer)
            self.answer = observer.callRemote("changed", "newer")
            return state

    pair, model = served(Eager("old"))
    mirror = pair.call("get")
    assert mirror.value == "newer"
    assert pair.get(model.answer) == ["seen", "newer"]


def test_cycles() -> None:
    """A cache may hold itself, and another that holds it."""
    one, other = Model(), Model()
    one.value, other.value = [one, other], one
    pair, _ = served(one)
    mirror = pair.call("get")
    assert mirror.value[0] is mirror
    assert mirror.value[1].value is mirror


# Crossing.


def test_sent_again_while_it_is_let_go() -> None:
    """``[cached id]`` that crosses a decache finds the state that was kept."""
    pair, model = served(Model(1))
    pair.call("get")
    # The client has dropped it and will say so; the server sends it again meanwhile.
    again = pair.root.callRemote("get")
    server, client = pair.server, pair.client
    pair.scheduler.run()
    request = pair.transport(client).take()
    assert request
    server.dataReceived(request)
    pair.scheduler.run()
    mirror = pair.get(again)
    assert (type(mirror), mirror.value) == (Mirror, 1)
    pair.get(model.change(2)[0])
    assert mirror.value == 2
    del mirror, again
    pair.collect()
    assert tables(pair) == (0, 0)


def test_changed_while_it_is_let_go() -> None:
    """A change that crosses the decache is answered, for an object that nobody has any more."""
    pair, model = served(Model(1))
    mirror = pair.call("get")
    del mirror
    (answer,) = model.change(2)
    pair.scheduler.run()
    change = pair.transport(pair.server).take()
    pair.client.dataReceived(change)
    assert pair.get(answer) == ["seen", 2]
    pair.collect()
    assert tables(pair) == (0, 0)
    assert len(model.stopped) == 1


def test_revived_with_its_changes() -> None:
    """A cache that comes again has the state as it was changed while nobody held it."""
    pair, model = served(Model(1))
    pair.call("get")
    held = pair.client.session.translator.held
    observer = held.observer_of(1) if len(held) else None
    assert observer is None or observer.value == 1
    mirror = pair.call("get")
    pair.get(model.change(3)[0])
    assert mirror.value == 3


# What a peer may send wrongly.


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ([], MalformedJelly),
        ([1], MalformedJelly),
        ([1, [b"dictionary"], 3], MalformedJelly),
        ([b"1", [b"dictionary"]], MalformedJelly),
        ([1, [b"list"]], MalformedJelly),
        ([1, [b"dictionary", [[b"unicode", b"broker"], 5]]], InsecureJelly),
        ([1, [b"dictionary", [[b"unicode", b"observe_changed"], 5]]], InsecureJelly),
    ],
)
def test_malformed(fields: list[Any], error: type) -> None:
    """A cache of the wrong form, or with fields that are not declared, does not come in."""
    pair, _ = served()
    with pytest.raises(error):
        pair.client.unserialize([f"{__name__}.Mirror".encode(), *fields])


def test_an_id_twice() -> None:
    """A peer cannot give an id that is held to another cache."""
    pair, _ = served()
    mirror = pair.call("get")
    state = [b"dictionary", [[b"unicode", b"value"], 5]]
    with pytest.raises(MalformedJelly, match=f"cache {mirror.luid} defined twice"):
        pair.client.unserialize([f"{__name__}.Mirror".encode(), mirror.luid, state])
    assert mirror.value == 0


def test_a_state_that_replaces_attributes() -> None:
    """A setCopyableState that puts a new dict in place keeps connection and id."""

    class Replacing(RemoteCache):
        def setCopyableState(self, state: Any) -> None:
            self.__dict__ = dict(state)

    defaults.declared.add_class(b"replacing", Replacing)
    try:
        pair, _ = served()
        state = [b"dictionary", [[b"unicode", b"value"], 5]]
        made = pair.client.unserialize([b"replacing", 77, state])
        assert (made.value, made.luid, made.broker) == (5, 77, pair.client)
        del made
        assert pair.client.session.translator.held.receive(77).value == 5
    finally:
        del defaults.declared.classes[b"replacing"]


def test_without_a_connection() -> None:
    """Where no connection is involved caches are copies of their state."""
    model = Model(1)
    expression: Any = jelly.jelly(model)
    assert expression[0] == f"{__name__}.Model".encode()

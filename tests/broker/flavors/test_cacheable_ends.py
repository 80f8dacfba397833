"""Caches: dropped, rolled back, crossing each other on the wire, and what is sent wrongly."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.cached_models import Mirror, Model, served, tables

import jelly
from broker.errors import ProtocolError
from broker.flavors.cacheable import RemoteCache
from jelly.errors import InsecureJelly, MalformedJelly
from jelly.registry import defaults

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
    held = pair.client.session.translator.remote_caches
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
        pair.client.unserialize([f"{Mirror.__module__}.Mirror".encode(), *fields])


def test_an_id_twice() -> None:
    """A peer cannot give an id that is held to another cache."""
    pair, _ = served()
    mirror = pair.call("get")
    state = [b"dictionary", [[b"unicode", b"value"], 5]]
    with pytest.raises(MalformedJelly, match=f"cache {mirror.luid} defined twice"):
        pair.client.unserialize([f"{Mirror.__module__}.Mirror".encode(), mirror.luid, state])
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
        assert pair.client.session.translator.remote_caches.receive(77).value == 5
    finally:
        del defaults.declared.classes[b"replacing"]


def test_without_a_connection() -> None:
    """Where no connection is involved caches are copies of their state."""
    model = Model(1)
    expression: Any = jelly.jelly(model)
    assert expression[0] == f"{Model.__module__}.Model".encode()

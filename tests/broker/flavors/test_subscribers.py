"""Subscribers: who is told of events, and who is forgotten."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from memory import BrokerPair

from broker.flavors.referenceable import Referenceable, Root
from broker.flavors.subscribers import Subscribers


class Listener(Referenceable):
    """Hears events."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def remote_event(self, *args: Any, **kw: Any) -> None:
        """Note."""
        self.heard.append((args, kw))


class Hub(Root):
    """Keeps subscribers."""

    def __init__(self, subscribers: Subscribers | None = None) -> None:
        self.subscribers = subscribers or Subscribers()
        self.last: Any = None

    def remote_subscribe(self, listener: Any) -> None:
        """Add one."""
        self.last = listener
        self.subscribers.add(listener)

    def remote_unsubscribe(self, listener: Any) -> None:
        """Take one out."""
        self.subscribers.discard(listener)


def test_events_reach_all() -> None:
    """Each subscriber of each connection is told once, in order."""
    hub = Hub()
    pairs = [BrokerPair(hub), BrokerPair(hub)]
    listeners = [Listener(), Listener()]
    for pair, listener in zip(pairs, listeners, strict=True):
        pair.call("subscribe", listener)
        pair.call("subscribe", listener)
    assert len(hub.subscribers) == 2
    assert {reference.broker for reference in hub.subscribers} == {p.server for p in pairs}
    hub.subscribers.send("event", 1, k=2)
    hub.subscribers.send("event", 3)
    for pair, listener in zip(pairs, listeners, strict=True):
        pair.exchange()
        assert listener.heard == [((1,), {"k": 2}), ((3,), {})]
        assert pair.server.session.waiting == 0


def test_those_who_left_are_forgotten() -> None:
    """A subscriber whose connection ended, or who was taken out, is told nothing more."""
    hub = Hub()
    pair, other = BrokerPair(hub), BrokerPair(hub)
    stays, leaves = Listener(), Listener()
    pair.call("subscribe", stays)
    other.call("subscribe", leaves)
    other.cut()
    assert len(hub.subscribers) == 1
    hub.subscribers.send("event")
    pair.exchange()
    assert len(stays.heard) == 1
    pair.call("unsubscribe", stays)
    pair.call("unsubscribe", stays)
    assert len(hub.subscribers) == 0
    hub.last = None
    pair.collect()
    assert len(pair.client.session.translator.exports) == 0


def test_one_who_has_left_already() -> None:
    """A reference whose connection has ended is not added: nobody would ever forget it."""
    hub = Hub()
    pair = BrokerPair(hub)
    pair.call("subscribe", Listener())
    gone = hub.last
    pair.cut()
    hub.subscribers.add(gone)
    assert len(hub.subscribers) == 0


def test_an_argument_that_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    """It is a fault of ours, which is logged; the subscribers stay."""
    hub = Hub()
    pair = BrokerPair(hub)
    pair.call("subscribe", Listener())
    with caplog.at_level(logging.ERROR, "broker"):
        hub.subscribers.send("event", object())
    assert "was not sent" in caplog.text
    assert len(hub.subscribers) == 1

"""The reception: both kinds of server let connections wait for their login, and not too many."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
from attacker import portal
from memory import BrokerPair, FakeTransport, ManualScheduler

import broker
from broker import pb
from broker.admission import root_of
from broker.connection import Broker
from broker.core.policy import PUBLISHED, STRICT
from broker.errors import ConnectionDone
from broker.failure import Failure
from broker.login import login
from broker.net.addresses import IPv4Address
from broker.reception import Reception
from cred.credentials import Anonymous

HERE = IPv4Address("TCP", "198.51.100.7", 1000)


def received(reception: Reception, target: Any) -> BrokerPair | None:
    """Let a connection arrive; None if it was refused."""
    pair = BrokerPair(connect=False, policy=STRICT)
    if not reception.receive(pair.server, root_of(target).rootObject(pair.server), HERE):
        return None
    pair.connect()
    return pair


def test_too_many_from_one_address(caplog: pytest.LogCaptureFixture) -> None:
    """The seventeenth is refused with one line, and counted."""
    reception = Reception(STRICT, Counter())
    pairs = [received(reception, portal()) for _ in range(16)]
    with caplog.at_level(logging.WARNING):
        assert received(reception, portal()) is None
    assert [r.getMessage() for r in caplog.records] == [
        "refused 198.51.100.7: 16 connections waiting for login"
    ]
    assert reception.limits == {"max_waiting_each": 1}
    assert all(pairs)


def test_who_logs_in_waits_no_longer() -> None:
    """A login that is accepted makes room, and so does the end of a connection."""
    reception = Reception(STRICT, Counter())
    first, second = received(reception, portal()), received(reception, portal())
    assert first is not None
    assert second is not None
    assert reception.waiting == 2
    first.get(login(first.client, Anonymous()))
    assert reception.waiting == 1
    second.cut()
    first.cut()
    assert reception.waiting == 0


def test_a_refused_login_still_waits() -> None:
    """Who gets the password wrong has not logged in."""
    reception = Reception(STRICT, Counter())
    pair = received(reception, portal())
    assert pair is not None
    assert pair.call("frobnicate").check("broker.errors.NoSuchMethod", "cred.error.LoginFailed")
    assert reception.waiting == 1


def test_a_root_has_no_login() -> None:
    """Where there is nothing to log in to, nobody waits, and no timer runs."""
    reception = Reception(STRICT, Counter())
    pairs = [received(reception, broker.Root()) for _ in range(20)]
    assert all(pairs)
    assert reception.waiting == 0


def test_the_published_factory_has_one() -> None:
    """PBServerFactory makes no Broker for a connection beyond the limit, and times the others."""
    factory = pb.PBServerFactory(portal())
    brokers = [factory.buildProtocol(HERE) for _ in range(16)]
    assert factory.buildProtocol(HERE) is None
    scheduler = ManualScheduler()
    transport = FakeTransport(scheduler, HERE)
    brokers[0].makeConnection(transport)
    brokers[0].expectations.met("offer")
    scheduler.advance(PUBLISHED.login_timeout)
    assert transport.is_aborted
    brokers[0].connectionLost(Failure(ConnectionDone()))
    assert isinstance(factory.buildProtocol(HERE), Broker)


def test_counters_of_a_whole_server() -> None:
    """What bites on one connection is counted for the server, and outlives the connection."""
    reception = Reception(STRICT, Counter())
    pair = received(reception, broker.Root())
    assert pair is not None
    pair.server.session.stats.count("max_string")
    assert pair.server.session.stats.limits == {"max_string": 1}
    pair.cut()
    assert reception.limits == {"max_string": 1}

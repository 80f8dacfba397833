"""The reception: both kinds of server let connections wait for their login, and not too many."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

import pytest
from attacks.attacker import portal
from support.memory import BrokerPair, FakeTransport, ManualScheduler

import broker
import cred
from broker import pb
from broker.connection.broker import Broker
from broker.core.policy import PUBLISHED, STRICT
from broker.defer import Deferred
from broker.errors import ConnectionDone
from broker.failure import Failure
from broker.login.accept import Acceptor
from broker.login.client import login
from broker.login.server import root_of
from broker.net.socket_addresses import IPv4Address
from cred.credentials import Anonymous, IAnonymous

HERE = IPv4Address("TCP", "198.51.100.7", 1000)


def received(reception: Acceptor, target: Any, address: Any = HERE) -> BrokerPair | None:
    """Let a connection arrive; None if it was refused."""
    pair = BrokerPair(connect=False, policy=STRICT)
    if not reception.receive(pair.server, root_of(target).rootObject(pair.server), address):
        return None
    pair.connect()
    return pair


def test_too_many_from_one_address(caplog: pytest.LogCaptureFixture) -> None:
    """The seventeenth is refused with one line, and counted."""
    reception = Acceptor(STRICT, Counter())
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
    reception = Acceptor(STRICT, Counter())
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
    reception = Acceptor(STRICT, Counter())
    pair = received(reception, portal())
    assert pair is not None
    assert pair.call("frobnicate").check("broker.errors.NoSuchMethod", "cred.error.LoginFailed")
    assert reception.waiting == 1


def test_one_makes_room_for_another(caplog: pytest.LogCaptureFixture) -> None:
    """In a full lobby one of the source with the most is closed: one line, counted once."""
    reception = Acceptor(STRICT.but(max_waiting=3), Counter())
    crowd = [received(reception, portal()) for _ in range(3)]
    with caplog.at_level(logging.WARNING):
        late = received(reception, portal(), IPv4Address("TCP", "203.0.113.9", 1000))
    assert late is not None
    assert [r.getMessage() for r in caplog.records] == [
        "refused 198.51.100.7: 3 connections waiting for login"
    ]
    assert reception.limits == {"max_waiting": 1}
    assert reception.waiting == 3
    closed = [pair for pair in crowd if pair and pair.transport(pair.server).is_aborted]
    assert len(closed) == 1
    (pair,) = closed
    pair.exchange()
    pair.cut()
    assert reception.waiting == 3
    if pair.client.dialect == "msgpack/1":
        assert "3 connections waiting for login" in str(pair.client.reason)
    late.get(login(late.client, Anonymous()))
    assert reception.waiting == 2


def test_a_login_that_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A login that is being checked when its connection makes room yields no avatar."""
    reception = Acceptor(STRICT.but(max_waiting=1), Counter())
    made: list[Any] = []
    asked: Deferred[Any] = Deferred()

    class Slow:
        """A checker that takes its time."""

        credentialInterfaces = (IAnonymous,)

        def requestAvatarId(self, credentials: Any) -> Any:
            return asked

    slow = cred.Portal(
        broker.realm(lambda avatar_id, mind: made.append(Gone()) or made[-1]), [Slow()]
    )
    pair = received(reception, slow)
    assert pair is not None
    login(pair.client, Anonymous()).addErrback(lambda failure: None)
    pair.exchange()
    while received(reception, slow, IPv4Address("TCP", "203.0.113.9", 1000)) is None:
        pass
    assert pair.transport(pair.server).is_aborted
    pair.cut()
    asked.callback("alice")
    assert [avatar.logouts for avatar in made] == [1]
    assert reception.waiting == 1


class Gone(broker.Avatar):
    """Counts its logouts."""

    logouts = 0

    def logout(self) -> None:
        """Count."""
        self.logouts += 1


def test_a_root_has_no_login() -> None:
    """Where there is nothing to log in to, nobody waits, and no timer runs."""
    reception = Acceptor(STRICT, Counter())
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
    brokers[0].setup_timeouts.done("offer")
    scheduler.advance(PUBLISHED.login_timeout)
    assert transport.is_aborted
    brokers[0].connectionLost(Failure(ConnectionDone()))
    assert isinstance(factory.buildProtocol(HERE), Broker)


def test_counters_of_a_whole_server() -> None:
    """What bites on one connection is counted for the server, and outlives the connection."""
    reception = Acceptor(STRICT, Counter())
    pair = received(reception, broker.Root())
    assert pair is not None
    pair.server.session.stats.count("max_string")
    assert pair.server.session.stats.limits == {"max_string": 1}
    pair.cut()
    assert reception.limits == {"max_string": 1}

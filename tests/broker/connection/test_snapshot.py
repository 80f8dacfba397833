"""The snapshot of a connection, in each of its states."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import PUBLISHED_WIRE, BrokerPair

from broker.connection.broker import Broker
from broker.connection.snapshot import State
from broker.core.policy import STRICT
from broker.defer import Deferred
from broker.errors import ConnectionDone
from broker.failure import Failure
from broker.flavors.referenceable import Referenceable


class Server(Referenceable):
    """One method that answers at once, and one that does not."""

    def remote_echo(self, value: Any = None) -> Any:
        """Return the value."""
        return value

    def remote_wait(self) -> Any:
        """Return what never fires."""
        return Deferred()


def test_before_a_transport() -> None:
    """A Broker without a transport is connecting."""
    shown = Broker(True, policy=STRICT).snapshot()
    assert (shown.state, shown.address, shown.unsent, shown.is_client) == (
        State.CONNECTING,
        "",
        0,
        True,
    )
    assert shown.session.dialect is None


@pytest.mark.parametrize(("policy", "has_pings"), [(STRICT, True), (PUBLISHED_WIRE, False)])
def test_a_quiet_connection(policy: Any, has_pings: bool) -> None:
    """It flows, knows its peer, and has no calls; the dialect decides whether it notes bytes."""
    pair = BrokerPair(Server(), policy=policy)
    shown = pair.server.snapshot()
    assert (shown.state, shown.is_client, shown.is_reading) == (State.FLOWING, False, True)
    assert (shown.avatar_id, shown.mechanism, shown.is_secure) == (None, None, False)
    assert shown.address == str(pair.server.peer.address)
    assert (shown.last_heard is not None) == has_pings
    assert shown.open_calls == ()


def test_open_calls() -> None:
    """The methods of the open calls are shown, oldest first, and at the other end the running."""
    pair = BrokerPair(Server(), policy=STRICT)
    for name in ("wait", "echo", "wait"):
        pair.root.callRemote(name).addErrback(lambda _: None)
    assert pair.client.snapshot().open_calls == ("wait", "echo", "wait")
    pair.exchange()
    assert pair.client.snapshot().open_calls == ("wait", "wait")
    assert [call.name for call in pair.server.snapshot().session.running] == ["wait", "wait"]


def test_unsent_bytes() -> None:
    """A connection whose peer does not read is slow; it holds the peer's calls, or is full."""
    pair = BrokerPair(Server(), policy=STRICT)
    pair.transport(pair.client).unsent = STRICT.high_water + 1
    shown = pair.client.snapshot()
    assert (shown.unsent, shown.state) == (STRICT.high_water + 1, State.SLOW)
    pair.client.session.inbox.hold_calls(True)
    assert pair.client.snapshot().state is State.HELD


def test_the_end() -> None:
    """A connection that closes says so, and one that has ended, too."""
    pair = BrokerPair(Server(), policy=STRICT)
    pair.transport(pair.client).is_closing = True
    assert pair.client.snapshot().state is State.CLOSING
    pair.client.connectionLost(Failure(ConnectionDone()))
    assert pair.client.snapshot().state is State.CLOSED

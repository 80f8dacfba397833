"""The handlers: one row for each message in each state, and what the short ones do."""

from __future__ import annotations

from typing import Any

import pytest
from support.memory import SessionPair, make_end

from broker.core.calls.handlers import BEFORE_VERSION, GATED, GATED_BEFORE_VERSION, OPEN
from broker.core.events import CallCancelled, Misunderstood, PeerLeaves
from broker.core.policy import STRICT
from broker.core.queued import CALLS
from broker.core.wire import messages
from jelly.errors import ProtocolError


def handle(session: Any, message: Any) -> list[Any]:
    """Let a session handle a message; return the events."""
    OPEN[type(message)](session, message)
    return list(session.host.events)


def test_no_state_lacks_a_row() -> None:
    """Each table has all messages."""
    assert set(OPEN) == set(BEFORE_VERSION) == set(GATED) == set(GATED_BEFORE_VERSION)


@pytest.mark.parametrize("table", [BEFORE_VERSION, GATED_BEFORE_VERSION])
@pytest.mark.parametrize("kind", sorted(CALLS, key=lambda kind: kind.__name__))
def test_calls_before_the_version(table: Any, kind: type) -> None:
    """A peer tells its version first."""
    with pytest.raises(ProtocolError, match=r"^a call before the version$"):
        table[kind](None, None)


def test_the_version() -> None:
    """The right one opens the table of all messages, with a gate that of a login; others none."""
    session = make_end(STRICT, False)
    handle(session, messages.Version(6))
    assert session.inbox.handlers is OPEN
    session = make_end(STRICT, False)
    session.shut_gate({})
    handle(session, messages.Version(6))
    assert session.inbox.handlers is GATED
    with pytest.raises(ProtocolError, match=r"^the peer speaks version 5, not 6$"):
        handle(session, messages.Version(5))


def test_what_becomes_an_event() -> None:
    """Some messages are events for the host."""
    session = SessionPair().client
    assert handle(session, messages.DidNotUnderstand(b"fly\n")) == [Misunderstood("fly\\n")]
    assert handle(session, messages.Goodbye("x", "y"))[-1] == PeerLeaves("x", "y")
    handle(session, messages.Cancel(5))
    assert len(session.host.events) == 2
    running = object()
    session.incoming.running[5] = running  # type: ignore[assignment]
    assert handle(session, messages.Cancel(5))[-1] == CallCancelled(running)  # type: ignore[arg-type]


def test_an_unknown_command_is_answered() -> None:
    """It is no fault: the peer is told that it is not understood."""
    pair = SessionPair()
    handle(pair.server, messages.UnknownCommand(b"fly"))
    pair.exchange()
    assert pair.client_host.of(Misunderstood) == [Misunderstood("fly")]


def test_pings_are_counted() -> None:
    """So many are answered until they are forgotten; one more is a fault."""
    session = make_end(STRICT.but(max_pings=2), False)
    for _ in range(3):
        session.forget_pings()
        handle(session, messages.Ping(1))
        handle(session, messages.Ping(2))
    with pytest.raises(ProtocolError, match=r"^too many pings$"):
        handle(session, messages.Ping(3))
    assert session.stats.limits == {"max_pings": 1}
    assert handle(session, messages.Pong(1)) == []

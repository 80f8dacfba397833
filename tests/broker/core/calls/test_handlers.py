"""The handlers: one row for each message in each state, and what the short ones do."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw
from support.memory import SessionPair, make_end

from broker.core.calls.handlers import BEFORE_VERSION, GATED, GATED_BEFORE_VERSION, OPEN
from broker.core.calls.incoming_call import IncomingCall
from broker.core.events import CallCancelled, Misunderstood, PeerDrains, PeerLeaves
from broker.core.policy import STRICT
from broker.core.wire import messages
from broker.core.wire.commands import COMMANDS
from jelly.errors import ProtocolError


def handle(session: Any, message: Any) -> list[Any]:
    """Let a session handle a message; return the events."""
    OPEN[type(message)](session, message)
    return list(session.host.events)


def test_no_state_lacks_a_row() -> None:
    """Each table has all messages."""
    assert set(OPEN) == set(BEFORE_VERSION) == set(GATED) == set(GATED_BEFORE_VERSION)


@pytest.mark.parametrize("table", [BEFORE_VERSION, GATED_BEFORE_VERSION])
@pytest.mark.parametrize("kind", [*COMMANDS, messages.UnknownCommand])
def test_before_the_version(table: Any, kind: type) -> None:
    """The first message of a peer is its version."""
    if kind is not messages.Version:
        with pytest.raises(ProtocolError, match=r"^the first frame is not the version$"):
            table[kind](None, None)


def test_the_version() -> None:
    """The right one opens the table of all messages, with a gate that of a login; others none."""
    session = make_end(STRICT, False)
    with pytest.raises(ProtocolError, match=r"^the peer speaks version 5, not 6$"):
        BEFORE_VERSION[messages.Version](session, messages.Version(5))
    BEFORE_VERSION[messages.Version](session, messages.Version(6))
    assert session.inbox.handlers is OPEN
    session = make_end(STRICT, False)
    session.shut_gate({})
    GATED_BEFORE_VERSION[messages.Version](session, messages.Version(6))
    assert session.inbox.handlers is GATED
    for table in (OPEN, GATED):
        with pytest.raises(ProtocolError, match=r"^a second version$"):
            table[messages.Version](session, messages.Version(6))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (messages.Credit(7, 1, 0), "stream 7 is not open"),
        (messages.Credit(7, 0, 0), "malformed message: a credit of nothing"),
        (messages.Items(7, Raw(b"\x91\x01")), "stream 7 is not open"),
        (messages.ItemGraph(7, Raw(b"\x92\xc4\x04list\x01")), "stream 7 is not open"),
        (messages.Piece(7, b"x"), "stream 7 is not open"),
        (messages.End(7), "stream 7 is not open"),
        (messages.Stop(7), "stream 7 is not open"),
        (messages.Home(5), "request 5 did not come home"),
    ],
)
def test_what_was_not_opened(message: messages.Record, text: str) -> None:
    """A message about a stream or a promise that does not exist ends the connection."""
    session = make_end(STRICT, False)
    with pytest.raises(ProtocolError, match=f"^{text}$"):
        OPEN[type(message)](session, message)


def test_draining() -> None:
    """The host is told when the peer takes calls again, and where else."""
    session = SessionPair().client
    told = handle(session, messages.Draining(2000, ("pbs://b:1",)))
    assert told == [PeerDrains(2000, ("pbs://b:1",))]


def test_what_becomes_an_event() -> None:
    """Some messages are events for the host."""
    session = SessionPair().client
    assert handle(session, messages.DidNotUnderstand(b"fly\n")) == [Misunderstood("fly\\n")]
    handle(session, messages.Cancel(5))
    assert len(session.host.events) == 1
    running = session.incoming.running[5] = IncomingCall(5, "fly", True)
    assert handle(session, messages.Cancel(5))[-1] == CallCancelled(running)
    assert handle(session, messages.Goodbye("x", "y"))[-1] == PeerLeaves("x", "y")
    assert session.inbox.is_closed


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

"""The snapshot of a session, compared with what a test has done."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory import ROOT, SessionPair

from broker.core.events import CallPending
from broker.core.policy import STRICT
from broker.core.snapshot import RunningCall
from broker.flavors.referenceable import Referenceable


class Server(Referenceable):
    """The methods that are called."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def remote_echo(self, value: Any = None) -> Any:
        """Return the value."""
        return value

    def remote_keep(self, value: Any) -> None:
        """Keep a reference."""
        self.kept.append(value)

    def remote_drop(self) -> None:
        """Drop all references."""
        self.kept.clear()

    async def remote_wait(self) -> Any:
        """Wait."""


STEP = st.sampled_from(["echo", "keep", "drop", "wait", "send", "finish"])


@settings(deadline=None, max_examples=60)
@given(st.lists(STEP, max_size=12))
def test_a_model(steps: list[str]) -> None:
    """Counters, calls and tables are those of a simple model, at both ends."""
    pair = SessionPair(Server())
    waiting: list[Any] = []
    kept = calls = sends = 0
    for number, step in enumerate(steps):
        pair.server.incoming.runner.now = lambda number=number: float(number)
        if step == "finish":
            if waiting:
                pair.server.finish(waiting.pop(0).ticket, None)
                pair.exchange()
            continue
        calls += 1
        sends += step == "send"
        args = (Referenceable(),) if step == "keep" else ()
        name = "echo" if step == "send" else step
        pair.client.outgoing.call(ROOT, name, args, {}, wants_answer=step != "send")
        pair.exchange()
        kept = {"keep": kept + 1, "drop": 0}.get(step, kept)
        if step == "wait":
            waiting.append(pair.server_host.of(CallPending)[-1])
            waiting[-1].result.close()
    here, there = pair.client.snapshot(), pair.server.snapshot()
    assert (here.calls_made, there.calls_received) == (calls, calls)
    assert (here.open_calls, len(there.running)) == (len(waiting), len(waiting))
    assert [call.name for call in there.running] == ["wait"] * len(waiting)
    assert (here.exports, there.imports) == (kept, kept)
    assert (here.bytes_sent, there.bytes_sent) == (there.bytes_received, here.bytes_received)
    assert (there.queued, there.queued_bytes, there.waiting_bytes) == (0, 0, 0)


def test_running_calls() -> None:
    """A running call has its name and the time at which it started, and no values."""
    pair = SessionPair(Server())
    pair.server.incoming.runner.now = lambda: 5.0
    pair.client.outgoing.call(ROOT, "wait", (), {})
    pair.client.outgoing.call(ROOT, "wait", (), {}, wants_answer=False)
    pair.exchange()
    for event in pair.server_host.of(CallPending):
        event.result.close()
    assert pair.server.snapshot().running == (
        RunningCall("wait", 5.0, wants_answer=True),
        RunningCall("wait", 5.0, wants_answer=False),
    )


def test_states() -> None:
    """The dialect, the login, draining and waiting calls are shown."""
    pair = SessionPair(Server(), policy=STRICT.but(max_calls=1), shake_hands=False)
    assert pair.server.snapshot().dialect is None
    pair.server.shut_gate({"echo": None})
    pair.exchange()
    assert pair.server.snapshot().dialect == "pb"
    assert not pair.server.snapshot().is_logged_in
    pair.server.open_gate()
    pair.server.inbox.hold_calls(True)
    pair.client.outgoing.call(ROOT, "echo", (), {})
    pair.exchange()
    shown = pair.server.snapshot()
    assert (shown.is_logged_in, shown.holds_calls, shown.is_draining) == (True, True, False)
    assert shown.waiting_bytes > 0
    pair.server.inbox.hold_calls(False)
    pair.server.drain()
    pair.client.outgoing.call(ROOT, "echo", (), {})
    assert pair.client.snapshot().queued == 1
    assert pair.client.snapshot().queued_bytes > 10
    pair.exchange()
    assert pair.server.snapshot().is_draining


def test_it_does_not_change() -> None:
    """A snapshot is a value: what happens later does not show in it."""
    pair = SessionPair(Server())
    before = pair.server.snapshot()
    pair.call("echo", 5)
    assert before.calls_received == 0
    with pytest.raises(AttributeError):
        before.calls_received = 5  # type: ignore[misc]

"""Messages that wait: what overtakes a call that is held, and what does not."""

from __future__ import annotations

from typing import Any

from memory import ROOT, SessionPair

from broker.core.dialects import MSGPACK
from broker.core.events import CallCancelled
from broker.flavors.referenceable import Root


class Pending:
    """An awaitable that nobody steps."""

    def __await__(self) -> Any:
        """Have the shape of an awaitable."""
        yield


class Later(Root):
    """Answers later."""

    def remote_later(self) -> Any:
        """Return an awaitable."""
        return Pending()


def test_what_cancels_a_held_call_waits_behind_it() -> None:
    """A cancel reaches a call that runs at once, and one that is held once that has begun."""
    pair = SessionPair(Later(), offered=(MSGPACK,))
    runs = pair.client.call(b"message", ROOT, "later", (), {})
    pair.exchange()
    pair.server.inbox.holds_calls = True
    held = pair.client.call(b"message", ROOT, "later", (), {})
    pair.client.abandon(held)
    pair.client.abandon(runs)
    pair.exchange()
    assert [event.ticket.request_id for event in pair.server_host.of(CallCancelled)] == [runs]
    pair.server.inbox.holds_calls = False
    pair.server.pump()
    assert [event.ticket.request_id for event in pair.server_host.of(CallCancelled)] == [runs, held]

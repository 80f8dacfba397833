"""Incoming calls; the rest of a call is told in ``test_session`` and ``test_promised_calls``."""

from __future__ import annotations

from contextvars import ContextVar

from support.memory import SessionPair

from broker.core.calls.incoming import DRAINING
from broker.core.policy import STRICT
from broker.errors import ServerBusy, ServerDraining
from broker.flavors.referenceable import Root


def test_methods_run_in_the_connections_context() -> None:
    """Plain methods see what the connection's context holds, and change no other."""
    variable: ContextVar[int] = ContextVar("variable", default=0)

    class Counting(Root):
        def remote_count(self) -> int:
            variable.set(variable.get() + 1)
            return variable.get()

    pair = SessionPair(Counting())
    assert [pair.call("count"), pair.call("count")] == [1, 2]
    assert variable.get() == 0
    assert SessionPair(Counting()).call("count") == 1


def test_refusals() -> None:
    """A server that drains refuses calls, and then one-way calls; one that is busy refuses both."""
    incoming = SessionPair(Root(), policy=STRICT.but(max_calls=0)).server.incoming
    busy = incoming.refusal(True)
    assert isinstance(busy, ServerBusy)
    assert (str(busy), busy.limit) == ("0 calls in flight (max_calls)", "max_calls")
    incoming.is_draining, incoming.come_again = True, (2.5, ("pb://a",))
    draining = incoming.refusal(True)
    assert isinstance(draining, ServerDraining)
    assert (str(draining), draining.after, draining.elsewhere) == (DRAINING, 2.5, ("pb://a",))
    assert isinstance(incoming.refusal(False), ServerBusy)
    incoming.refuses_sends = True
    assert isinstance(incoming.refusal(False), ServerDraining)

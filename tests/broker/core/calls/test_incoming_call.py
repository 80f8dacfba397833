"""One incoming call: its key, and its deadline."""

from __future__ import annotations

import pytest

from broker.core.calls.incoming_call import IncomingCall
from broker.errors import CallTimeout


def test_the_key_of_a_call() -> None:
    """A call with an answer has its id; one-way calls all have the id 0, so each is its own key."""
    assert IncomingCall(5, "name", True).key == 5
    call = IncomingCall(0, "name", False)
    assert call.key is call


def test_a_deadline() -> None:
    """A call is late from its deadline on; a call without one is never late."""
    call = IncomingCall(5, "name", True, due=10.0)
    call.check_due(lambda: 9.9)
    with pytest.raises(CallTimeout, match="'name' was not run: its caller's time was up"):
        call.check_due(lambda: 10.0)
    IncomingCall(5, "name", True).check_due(lambda: 1e9)

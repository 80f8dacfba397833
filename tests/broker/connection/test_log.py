"""The records of one-way calls that were not run: one a minute for each connection."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from broker.connection.log import call_raised
from broker.connection.peer import Peer
from broker.core.events import CallRaised
from broker.errors import ServerBusy
from broker.net.log_throttle import LogThrottle


def test_one_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The first is logged at once, the next a minute later, and so for each connection."""
    caplog.set_level(logging.WARNING)

    def connection() -> Any:
        return SimpleNamespace(
            peer=Peer("PEER"),
            missing=None,
            refusals_told=None,
            log_throttle=LogThrottle(),
            now=1000.0,
        )

    one, other = connection(), connection()
    refused = 0

    def refuse(owner: Any) -> int:
        nonlocal refused
        refused += 1
        call_raised(owner, CallRaised("note", ServerBusy("full"), None, None, refused))
        return len(caplog.records)

    assert [refuse(one), refuse(one), refuse(other)] == [1, 1, 2]
    one.now += 59.9
    assert refuse(one) == 2
    one.now += 0.2
    assert [refuse(one), refuse(one)] == [3, 3]
    text = (
        "PEER: call of 'note' without an answer was not run: full (sends_refused counts the next)"
    )
    assert {record.getMessage() for record in caplog.records} == {text}

"""The options of a server: what it is made of."""

from __future__ import annotations

import pytest

import broker
from broker.commands.settings import Settings


@pytest.mark.parametrize(
    ("http", "log_calls", "kinds"),
    [
        (None, False, []),
        ("http://127.0.0.1:0", False, [broker.SlowCalls]),
        (None, True, [broker.SlowCalls, broker.LogCalls]),
    ],
)
def test_observers(http: str | None, log_calls: bool, kinds: list[type]) -> None:
    """Without a reason for it, calls have no observer, and so take the quick path."""
    found = Settings((), http=http, log_calls=log_calls)._observers()
    assert [type(each) for each in found] == kinds

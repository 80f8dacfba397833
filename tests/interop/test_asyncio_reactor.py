"""Deferreds of this library on Twisted's asyncio reactor, awaited by asyncio tasks and Twisted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.peers import Peer

SEEN: dict[str, Any] = {
    "by_task": [1, 2, 3, [4, 5], 6, 7, 8, True, "timed out"],
    "by_twisted": [1, 2, 9, [3, 4]],
    "by_both": ["shared"] * 3,
    # Twisted's coroutine ends, the call continues; then the task is the last awaiter.
    "one_of_both_cancelled": [True, False, True, "task cancelled", True],
}


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, Any]]:
    """The results of each scenario."""
    with Peer(Path(__file__).with_name("on_asyncio_reactor.py")) as program:
        return {line["scenario"]: line for line in program.read_all()}


@pytest.mark.parametrize("scenario", SEEN)
def test_on_the_asyncio_reactor(seen: dict[str, dict[str, Any]], scenario: str) -> None:
    """A call can be awaited by either, and by both."""
    assert "failed" not in seen[scenario], seen[scenario]["failed"]
    assert SEEN[scenario] == seen[scenario]["seen"]
    assert set(SEEN) == set(seen)

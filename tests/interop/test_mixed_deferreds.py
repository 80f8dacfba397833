"""Deferreds of this library in each place where Twisted's code may get one, on Twisted's reactor.

One program runs all cases. Each is a use in Twisted, a kind of Deferred of this library, and a
state of it. It ends a case that spins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.peers import Peer

HERE = Path(__file__).parent

KINDS = [
    "plain",
    "before",
    "subclass",
    "subclass_before",
    "chained",
    "on_twisted",
    "generator",
    "coroutine",
    "coroutine_on_twisted",
    "gathered",
    "locked",
]
# In these, another Deferred is cancelled than the one that waits for ours.
NOT_CANCELLED = [
    "listed",
    "gathered_by_twisted",
    "deferred_later",
    "cooperating",
    "looping",
    "from_thread",
    "service_stopped",
    "event_trigger",
]
WAYS = [
    "yielded",
    "yielded_from",
    "yielded_and_caught",
    "awaited",
    "awaited_and_caught",
    "awaited_deep",
    "ensured",
    "as_coroutine",
    "maybe",
    "of_callback",
    "of_errback",
    "of_later_callback",
    "of_two_callbacks",
    "paused",
    "raced",
    "chain_deferred",
    "chained_to_ours",
    "with_timeout",
    "in_lock",
    "in_semaphore",
    "by_checker",
    "by_realm",
    "as_twisted",
    *NOT_CANCELLED,
]
ENDS: dict[str, Any] = {
    "fired": ["a value"],
    "later": ["a value"],
    "failed": ["KeyError"],
    "fails later": ["KeyError"],
    "cancelled": ["Twisted's CancelledError", "our CancelledError"],
}
"""The result by the state of ours: the value, or how the failure is caught and trapped."""

CASES = [
    (way, state)
    for way in WAYS
    for state in ENDS
    if state != "cancelled" or way not in NOT_CANCELLED
]


@pytest.fixture(scope="module")
def lines() -> list[list[Any]]:
    """The results of each case."""
    with Peer(HERE / "mixed_deferreds.py", path=[HERE]) as program:
        return program.read_all()


@pytest.mark.parametrize(("way", "state"), CASES)
def test_in_twisted_s_code(lines: list[list[Any]], way: str, state: str) -> None:
    """A Deferred of this library behaves as one of Twisted's; nothing is logged for it."""
    seen = {kind: rest for a_way, kind, a_state, rest in lines if (a_way, a_state) == (way, state)}
    assert seen == {kind: [ENDS[state], []] for kind in KINDS}


@pytest.mark.parametrize("way", WAYS)
def test_ended_before_twisted_was_loaded(lines: list[list[Any]], way: str) -> None:
    """A Deferred with its result before Twisted was loaded is not treated as a plain value."""
    seen = {state: rest for a_way, _, state, rest in lines if a_way == way and "before" in state}
    assert seen == {"fired before": [ENDS["fired"], []], "failed before": [ENDS["failed"], []]}


def test_nothing_is_logged_in_the_end(lines: list[list[Any]]) -> None:
    """No failure is unhandled; and the program ran exactly these cases."""
    assert lines[-1] == ["logged", "in", "the end", []]
    assert len(lines) == 1 + len(CASES) * len(KINDS) + 2 * len(WAYS)

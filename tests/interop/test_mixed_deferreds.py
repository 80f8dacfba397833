"""Deferreds of ours in each place where Twisted's code meets one, on Twisted's reactor.

One program runs all cases, each of a way of Twisted's, a kind of Deferred of ours, and a state of
it. It ends a case that spins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from peers import Peer

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
# Of what waits for ours in these, something else is cancelled.
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
"""What comes out by the state of ours: the value, or by what the failure is caught and trapped."""

CASES = [
    (way, state)
    for way in WAYS
    for state in ENDS
    if state != "cancelled" or way not in NOT_CANCELLED
]


@pytest.fixture(scope="module")
def lines() -> list[list[Any]]:
    """Give what each case has seen."""
    with Peer(HERE / "mixed_deferreds.py") as program:
        return program.read_all()


@pytest.mark.parametrize(("way", "state"), CASES)
def test_in_twisted_s_code(lines: list[list[Any]], way: str, state: str) -> None:
    """A Deferred of ours of any kind does what one of Twisted's does; nothing is logged for it."""
    seen = {kind: rest for a_way, kind, a_state, rest in lines if (a_way, a_state) == (way, state)}
    assert seen == {kind: [ENDS[state], []] for kind in KINDS}


@pytest.mark.parametrize("way", WAYS)
def test_ended_before_twisted_was_loaded(lines: list[list[Any]], way: str) -> None:
    """A Deferred that had its result before Twisted was loaded is no plain value either."""
    seen = {state: rest for a_way, _, state, rest in lines if a_way == way and "before" in state}
    assert seen == {"fired before": [ENDS["fired"], []], "failed before": [ENDS["failed"], []]}


def test_nothing_is_logged_in_the_end(lines: list[list[Any]]) -> None:
    """No failure is left over; and the program ran these cases and no others."""
    assert lines[-1] == ["logged", "in", "the end", []]
    assert len(lines) == 1 + len(CASES) * len(KINDS) + 2 * len(WAYS)

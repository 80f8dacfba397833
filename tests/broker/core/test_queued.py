"""The kinds of messages in an inbox."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.queued import CALLS, Barrier, is_call, outlives, waits, wants_answer
from broker.core.wire import messages

PLAIN = (1, 5, "name", (), {})
GRAPH = (1, 5, "name", True, [b"tuple"], [b"dictionary"])
KINDS: list[Any] = [
    messages.PlainCall(*PLAIN), messages.PlainSend(*PLAIN), messages.PlainCallToCache(*PLAIN),
    messages.PlainSendToCache(*PLAIN), messages.GraphCall(*GRAPH),
    messages.GraphCallToCache(*GRAPH),
]  # fmt: skip
OTHERS: list[Any] = [
    messages.PlainAnswer(1, None), messages.Decref(5), messages.Ping(1), Barrier(),
]  # fmt: skip


def test_calls() -> None:
    """All messages that call a local method are calls, and nothing else."""
    assert {type(each) for each in KINDS} == CALLS
    assert all(map(is_call, KINDS))
    assert not any(map(is_call, OTHERS))


def test_who_wants_an_answer() -> None:
    """The type tells it, or the field of a graph."""
    assert [wants_answer(each) for each in KINDS] == [True, False, True, False, True, True]
    assert not wants_answer(messages.GraphCall(1, 5, "name", False, [b"tuple"], [b"dictionary"]))


def test_what_waits() -> None:
    """Calls and releases wait; answers do not; a Cancel waits if its call does."""
    assert all(waits(each, {}, bool) for each in [*KINDS, messages.Decref(5), Barrier()])
    assert not waits(messages.PlainAnswer(1, None), {}, bool)
    assert not waits(messages.Ping(1), {}, bool)
    assert waits(messages.Cancel(7), {8}, bool)
    assert not waits(messages.Cancel(7), {7}, bool)


@pytest.mark.parametrize("message", [
    messages.Items(7, b""), messages.ItemGraph(7, b""), messages.Piece(7, b""), messages.End(7),
])  # fmt: skip
def test_items_wait_with_the_call_that_opens_their_stream(message: Any) -> None:
    """They wait until their stream is open; the messages of a reader do not wait."""
    assert waits(message, {}, {8}.__contains__)
    assert not waits(message, {}, {7}.__contains__)
    assert not waits(messages.Credit(7, 1, 1), {}, {8}.__contains__)
    assert not waits(messages.Stop(7), {}, {8}.__contains__)


ANSWER: Any = [b"answer", 1, 5]


@pytest.mark.parametrize(("message", "expected"), [
    (messages.PlainAnswer(1, 5), True), (messages.GraphError(1, [b"None"]), True),
    (messages.Goodbye("closing", ""), True), (messages.PlainCall(*PLAIN), False),
    (messages.Raw(ANSWER), True), (messages.Raw([b"decref", 5]), False),
    (messages.Raw(b"answer"), False), (messages.Raw([]), False), (Barrier(), False),
])  # fmt: skip
def test_what_outlives_the_peer(message: Any, expected: bool) -> None:
    """Answers and a goodbye are handled after the peer has gone, also as expressions."""
    assert outlives(message) is expected

"""The last messages of a peer that has gone: which are handled, and in which order."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from broker.core.last_words import last_words
from broker.core.queued import Queued
from broker.core.wire import messages
from broker.core.work import PUT_OFF, Work
from jelly.errors import ProtocolError

CALL = messages.PlainCall(1, 5, "name", (), {})
ANSWER, LATER = messages.PlainAnswer(1, "first"), messages.PlainAnswer(2, "second")
BYE = messages.Goodbye("closing", "bye")


def heard(*given: Any, works: list[Work] | None = None, more: list[list[Any]] | None = None) -> Any:
    """Return the messages that are handled, and the number of steps."""
    handled: list[Any] = []
    batches = deque(more or [])

    def decode(found: deque[Queued]) -> bool:
        batch = batches.popleft()
        if isinstance(batch, ProtocolError):
            raise batch
        found.extend(batch)
        return bool(batches)

    def handle(message: Queued) -> Any:
        handled.append(message)

    steps = len(list(last_words(works or [], deque(given), bool(batches), decode, handle)))
    return handled, steps


def test_calls_are_dropped() -> None:
    """Answers and a goodbye are handled, in their order; each message before it is a step."""
    assert heard(CALL, ANSWER, messages.Decref(5), LATER, BYE) == ([ANSWER, LATER, BYE], 4)
    assert heard() == ([], 0)


def test_bytes_are_decoded() -> None:
    """What is not decoded yet is decoded; a large message takes steps of its own."""
    assert heard(ANSWER, more=[[], [CALL, LATER]]) == ([ANSWER, LATER], 4)


def test_a_goodbye_ends_it() -> None:
    """Nothing is handled after it, and nothing is decoded."""
    assert heard(ANSWER, BYE, LATER, more=[[LATER]]) == ([ANSWER, BYE], 1)


def test_a_fault_ends_it() -> None:
    """A fault of the peer ends it, without an error: the peer has gone."""
    fault: Any = ProtocolError("wrong")
    assert heard(ANSWER, more=[[LATER], fault, [BYE]]) == ([ANSWER, LATER], 2)


def test_work_that_was_begun_is_done_first() -> None:
    """Each slice of it is a step."""
    done: list[str] = []

    def work() -> Work:
        yield None
        done.append("work")

    assert heard(ANSWER, works=[work()]) == ([ANSWER], 2)
    assert done == ["work"]


@pytest.mark.parametrize("is_put_off", [True, False])
def test_work_of_a_message(is_put_off: bool) -> None:
    """The rest of the work of a message is done; a message that must wait is dropped."""
    done: list[str] = []

    def rest() -> Work:
        yield None
        done.append("rest")

    def handle(message: Queued) -> Any:
        return PUT_OFF if is_put_off else rest()

    assert len(list(last_words([], deque([ANSWER]), False, bool, handle))) == 2 - is_put_off
    assert done == ([] if is_put_off else ["rest"])

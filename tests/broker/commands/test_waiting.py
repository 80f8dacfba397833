"""Work in a thread: what it yields, what it raises, and that nobody waits for it too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from broker.commands import waiting
from broker.commands.waiting import OutOfTime, is_left_behind, pieces_within


def test_what_is_yielded() -> None:
    """The text comes whole and in order, in few pieces."""
    texts = [f"{number} " for number in range(100_000)]
    pieces = list(pieces_within(30.0, lambda: texts))
    assert "".join(pieces) == "".join(texts)
    assert len(pieces) < 100
    assert not is_left_behind()


def test_what_is_raised() -> None:
    """An error comes out where the text is waited for, after the text that came before it."""

    def work() -> Iterator[str]:
        yield "x" * 100_000
        raise KeyError("bread")

    pieces = pieces_within(30.0, work)
    assert next(pieces) == "x" * 100_000
    with pytest.raises(KeyError, match="bread"):
        next(pieces)


@pytest.mark.parametrize("begins", [True, False])
def test_out_of_time(begins: bool) -> None:
    """Work that does not end is left behind when its time is over."""
    end = threading.Event()

    def work() -> Iterator[str]:
        if begins:
            yield "x" * 100_000
        end.wait(30)
        yield ""

    try:
        with pytest.raises(OutOfTime):
            list(pieces_within(0.05, work))
        assert is_left_behind()
    finally:
        end.set()
    while is_left_behind():
        time.sleep(0.01)


class Clock:
    """Stands in for the module time: it goes on when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.seconds


def test_the_time_of_the_caller_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads slowly gets all of it: only waiting for the work counts."""
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    count = 0
    for piece in pieces_within(30.0, lambda: ["x" * 20_000] * 30):
        assert piece
        clock.seconds += 100.0
        count += 1
    assert count == 30


def test_work_that_nobody_reads_ends() -> None:
    """Work stops soon after its reader has gone away."""

    def work() -> Iterator[str]:
        while True:
            yield "x" * 20_000

    pieces = pieces_within(30.0, work)
    assert next(pieces) == "x" * 20_000
    pieces.close()  # type: ignore[attr-defined]
    while is_left_behind():
        time.sleep(0.01)
    assert list(pieces) == []

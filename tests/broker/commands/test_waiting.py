"""Work in a thread: what it yields, what it raises, and that nobody waits for it too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from broker.commands import waiting
from broker.commands.waiting import Outlet, OutOfTime, is_left_behind, pieces_within


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
    pieces.close()
    while is_left_behind():
        time.sleep(0.01)
    assert list(pieces) == []


@pytest.mark.parametrize("how", ["close", "raise"])
def test_work_that_is_stopped(how: str) -> None:
    """If the reader ends first, the work is told to stop, and has ended when the reader goes on."""
    stopped = threading.Event()
    ended: list[bool] = []

    def work() -> Iterator[str]:
        yield "x" * 20_000
        ended.append(stopped.wait(30))

    pieces = pieces_within(30.0, work, None, stopped.set)
    assert next(pieces) == "x" * 20_000
    if how == "close":
        pieces.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            pieces.throw(KeyboardInterrupt)
    assert ended == [True]


def test_work_that_has_ended_is_not_stopped() -> None:
    """Work that returns, or raises, needs no stop."""

    def stop() -> None:
        raise AssertionError("stopped")

    def failing() -> Iterator[str]:
        yield ""
        raise KeyError

    assert list(pieces_within(30.0, lambda: ["a"], None, stop)) == ["a"]
    with pytest.raises(KeyError):
        list(pieces_within(30.0, failing, None, stop))


def test_an_outlet() -> None:
    """Text that is put at once is yielded as it is; the time limit may be lifted."""
    outlet = Outlet()
    seen = threading.Event()

    def work() -> Iterator[str]:
        assert outlet.lift_limit()
        assert outlet.put_at_once("one")
        seen.wait(30)
        assert outlet.put_at_once("two")
        return iter(())

    pieces = pieces_within(0.2, work, outlet)
    assert next(pieces) == "one"
    threading.Timer(0.4, seen.set).start()
    assert list(pieces) == ["two"]


def test_an_outlet_that_is_full() -> None:
    """A full outlet takes no more at once, until a text was taken, or it was stopped."""
    outlet = Outlet()
    while outlet.put_at_once("x"):
        pass
    assert outlet.get(None) == "x"
    assert outlet.put_at_once("x")
    assert not outlet.put_at_once("x")
    outlet.stop()
    assert outlet.put_at_once("x")
    assert not outlet.put("x")
    assert not outlet.lift_limit()

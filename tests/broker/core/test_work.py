"""Work on one message in slices: begun, left for later, finished."""

from __future__ import annotations

from typing import Any

import pytest

from broker.core.work import Work, begun, finish


def steps(count: int, log: list[Any], fault: Exception | None = None) -> Work:
    """Return work of ``count`` slices and an end, which notes each; it may fail at the end."""
    for number in range(count):
        log.append(number)
        yield object()
    log.append("end")
    if fault is not None:
        raise fault


@pytest.mark.parametrize(("count", "done"), [(1, [0]), (2, [0]), (100, [0])])
def test_work_that_is_begun(count: int, done: list[Any]) -> None:
    """The first slice is done at once, the others are not; what is left is handed out."""
    log: list[Any] = []
    work = steps(count, log)
    assert begun(work) is work
    assert log == done


def test_work_of_no_slices() -> None:
    """What ends in its first slice leaves nothing."""
    log: list[Any] = []
    assert begun(steps(0, log)) is None
    assert log == ["end"]


@pytest.mark.parametrize("value", [None, False, 0])
def test_what_a_slice_yields_does_not_matter(value: Any) -> None:
    """Only the end of the generator is the end of the work."""

    def work() -> Work:
        yield value

    one = work()
    assert begun(one) is one


@pytest.mark.parametrize("count", [0, 1, 5])
def test_work_that_is_finished(count: int) -> None:
    """All that is left is done, each slice once and in order, whether it was begun or not."""
    expected = [*range(count), "end"]
    log: list[Any] = []
    finish(steps(count, log))
    assert log == expected
    log.clear()
    finish(begun(steps(count, log)))
    assert log == expected


def test_no_work_is_finished() -> None:
    """Where nothing is left, nothing is done."""
    finish(None)
    log: list[Any] = []
    work = steps(1, log)
    finish(work)
    finish(work)
    assert log == [0, "end"]


@pytest.mark.parametrize("count", [0, 2])
def test_what_a_slice_raises(count: int) -> None:
    """It passes, from the first slice and from later ones."""
    fault = ValueError("wrong")
    log: list[Any] = []
    with pytest.raises(ValueError, match="wrong") as caught:
        finish(begun(steps(count, log, fault)))
    assert caught.value is fault
    assert log == [*range(count), "end"]


def test_work_that_is_given_up() -> None:
    """Closed, it does no more slices, and what it has opened is closed."""
    log: list[Any] = []

    def work() -> Work:
        try:
            yield from steps(3, log)
        finally:
            log.append("closed")

    left = begun(work())
    assert left is not None
    left.close()
    finish(left)
    assert log == [0, "closed"]

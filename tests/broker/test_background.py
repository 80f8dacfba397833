"""Functions in threads: the outcome arrives where it is waited for, or nowhere."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from broker.background import run_and_deliver, run_in_thread, start_thread


def call_at_once(f: Callable[[Any], object], outcome: Any) -> None:
    """Deliver in the same thread."""
    f(outcome)


async def outcome_of(function: Callable[[], Any]) -> tuple[str, Any, bool]:
    """Run a function in a thread; return what came, and whether it came to the loop's thread."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[tuple[str, Any, bool]] = loop.create_future()
    here = threading.get_ident()

    def arrives(kind: str) -> Callable[[Any], None]:
        return lambda value: came.set_result((kind, value, threading.get_ident() == here))

    run_in_thread(
        function,
        loop.call_soon_threadsafe,
        arrives("result"),
        arrives("error"),
        name="a test",
    )
    return await came


async def test_a_result(each_loop: Any) -> None:
    """The function runs in a daemon thread of that name; its result comes to the loop's."""
    kind, thread, is_here = await outcome_of(threading.current_thread)
    assert (kind, is_here) == ("result", True)
    assert thread is not threading.current_thread()
    assert (thread.name, thread.daemon) == ("a test", True)


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
async def test_an_error(error: BaseException) -> None:
    """Whatever the function raises comes, too."""

    def fail() -> None:
        raise error

    assert await outcome_of(fail) == ("error", error, True)


def test_a_loop_that_has_been_closed() -> None:
    """Nobody waits any more: the outcome is dropped."""
    loop = asyncio.new_event_loop()
    loop.close()
    came: list[Any] = []
    run_and_deliver(int, loop.call_soon_threadsafe, came.append, came.append)
    run_and_deliver(
        lambda: 1 // 0,
        loop.call_soon_threadsafe,
        came.append,
        came.append,
    )
    assert came == []


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Only what nothing refers to is let go."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_nothing_is_kept_of_an_error() -> None:
    """An error is let go at once: it is in no cycle with the frame in its traceback."""

    class Fault(Exception):
        """Something whose end can be seen."""

    def fail() -> None:
        raise Fault

    kept: list[Any] = []
    run_and_deliver(
        fail,
        call_at_once,
        lambda result: None,
        lambda error: kept.append(weakref.ref(error)),
    )
    assert [each() for each in kept] == [None]


@pytest.mark.parametrize(
    ("given", "is_daemon"), [({}, True), ({"daemon": False}, False), ({"daemon": None}, False)]
)
def test_whether_the_process_waits(given: Any, is_daemon: bool) -> None:
    """A thread is a daemon unless told otherwise; None is as for who starts it."""
    begun: list[threading.Thread] = []
    thread = start_thread(lambda: begun.append(threading.current_thread()), "a test", **given)
    thread.join(10)
    assert begun == [thread]
    assert (thread.name, thread.daemon) == ("a test", is_daemon)

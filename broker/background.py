"""Runs one function in a thread, and delivers its outcome in the thread that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TypeVar

__all__ = ["run_and_deliver", "run_in_thread", "start_thread"]

T = TypeVar("T")


def start_thread(
    function: Callable[[], object], name: str, *, daemon: bool | None = True
) -> Thread:
    """Call a function in a thread of its own, and return that.

    Args:
        function: what it raises goes to `threading.excepthook`.
        name: of the thread.
        daemon: whether the process may end before the function does; None is as for the thread
            that starts it.

    Raises:
        RuntimeError: the system has no thread left.
    """
    thread = Thread(target=function, name=name, daemon=daemon)
    thread.start()
    return thread


def run_in_thread(
    function: Callable[[], T],
    call_soon: Callable[..., object],
    on_result: Callable[[T], object],
    on_error: Callable[[BaseException], object],
    *,
    name: str,
) -> None:
    """Do as `run_and_deliver` in a thread of its own, without which the process may end.

    Raises:
        RuntimeError: the system has no thread left.
    """
    start_thread(partial(run_and_deliver, function, call_soon, on_result, on_error), name)


def run_and_deliver(
    function: Callable[[], T],
    call_soon: Callable[..., object],
    on_result: Callable[[T], object],
    on_error: Callable[[BaseException], object],
) -> None:
    """Call a function in this thread, and have its outcome delivered in another.

    Args:
        function: may take long.
        call_soon: ``call_soon(f, outcome)`` has ``f(outcome)`` called in the thread that waits,
            such as a loop's ``call_soon_threadsafe``. It raises RuntimeError if the loop has been
            closed; then the outcome is dropped.
        on_result: gets what the function returned.
        on_error: gets what it raised, which may be any BaseException.
    """
    deliver: Callable[..., object] = on_result
    outcome: T | BaseException
    try:
        outcome = function()
    except BaseException as error:  # noqa: BLE001 - passed to on_error
        deliver, outcome = on_error, error
    with suppress(RuntimeError):
        call_soon(deliver, outcome)
    del outcome  # an error, whose traceback has this frame: a cycle

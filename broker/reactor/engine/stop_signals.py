"""The signals that ask a program to end, and their handler while a reactor runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["on_stop_signals"]

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
]


@contextmanager
def on_stop_signals(heard: Callable[[int], object]) -> Iterator[None]:
    """Call `heard(number)`, between two bytecodes of the main thread, for SIGINT and SIGTERM.

    A handler that the program set for SIGINT stays. The former handlers are restored at the end.
    This uses plain handlers because Windows does not have `loop.add_signal_handler`.

    Raises:
        ValueError: this is not the main thread.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        heard(number)

    previous = {}
    for number in SIGNALS:
        current = signal.getsignal(number)
        if number != signal.SIGINT or current is signal.default_int_handler:
            previous[number] = current
            signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

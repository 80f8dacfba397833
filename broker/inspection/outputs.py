"""Passes on what the code of one task prints, and leaves the output of all other tasks alone.

Theory of operation. ``sys.stdout``, ``sys.stderr`` and ``sys.displayhook`` are replaced once. Each
replacement looks into a context variable: where it has an `Output`, that gets the text; elsewhere
the stream that was there before gets it. A task inherits the variable, and so does a thread of
``asyncio.to_thread``.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from typing import TextIO

__all__ = ["CURRENT", "MOST", "Output", "install"]

MOST = 65_536
"""The most bytes of output of one line, in UTF-8."""

_CUT = f"\n[the output of a line is cut at {MOST // 1024} KiB]\n"


class Output:
    """The output of one line.

    Args:
        send: takes a text; None to keep the texts for `kept`.
        names: the namespace of the line, which gets the last value as ``_``.
    """

    def __init__(self, send: Callable[[str], object] | None, names: dict[str, object]):
        self._send = send
        self._names = names
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._left = MOST
        self._printed: list[str] = []
        self._kept: list[str] = []
        self._is_due = False

    def write(self, text: str) -> None:
        """Take printed text, from any thread."""
        if threading.get_ident() != self._thread:
            if self._left < 0:
                # A thread that prints without end must not fill the queue of the loop.
                return
            # The loop is closed if the server has ended.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.write, text)
            return
        text = self._bounded(text)
        if self._send is None:
            self._kept.append(text)
        elif text:
            self._printed.append(text)
            if not self._is_due:
                self._is_due = True
                self._loop.call_soon(self.flush)

    def keep(self, text: str) -> None:
        """Take text that the result of the line has."""
        self._kept.append(self._bounded(text))

    def display(self, value: object) -> None:
        """Take the value of an expression statement: ``sys.displayhook`` of the line."""
        if value is not None:
            self._names["_"] = value
            self.keep(f"{value!r}\n")

    def flush(self) -> None:
        """Send what was printed, and not sent yet."""
        self._is_due = False
        text = "".join(self._printed)
        self._printed.clear()
        if text and self._send is not None:
            self._send(text)

    def kept(self) -> str:
        """Return, and forget, the text of the result."""
        text = "".join(self._kept)
        self._kept.clear()
        return text

    def _bounded(self, text: str) -> str:
        if not text or self._left < 0:
            return ""
        # A text of Python may have surrogates, which UTF-8 has not.
        data = text[: self._left + 1].encode("utf-8", "backslashreplace")
        if len(data) <= self._left:
            self._left -= len(data)
            return data.decode()
        shown = data[: self._left].decode("utf-8", "ignore")
        self._left = -1
        return shown + _CUT


CURRENT: ContextVar[Output | None] = ContextVar("broker.inspection.output", default=None)
"""The output of the line that runs in this context; None outside of lines."""


class _Stream:
    """In place of a standard stream: gives text to the output of the line, or to that stream."""

    def __init__(self, stream: TextIO | None):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it."""
        output = CURRENT.get()
        if output is not None:
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            output.write(text)
        elif self._stream is not None:
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream; the output of a line needs none."""
        if CURRENT.get() is None and self._stream is not None:
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


class _Display:
    """In place of ``sys.displayhook``."""

    def __init__(self, before: Callable[[object], object]):
        self._before = before

    def __call__(self, value: object) -> None:
        output = CURRENT.get()
        if output is None:
            self._before(value)
        else:
            output.display(value)


def install() -> None:
    """Replace the standard streams and the displayhook, unless they are replaced already."""
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), _Stream):
            setattr(sys, name, _Stream(getattr(sys, name)))
    if not isinstance(sys.displayhook, _Display):
        sys.displayhook = _Display(sys.displayhook)

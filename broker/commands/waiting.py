"""Runs a command's work in a thread, so that a time limit and Ctrl-C always end the command.

The main thread only waits, and can always be interrupted. The work may block in a name lookup, or
in turning a large answer into text. When the main thread ends first, it tells the work to stop, and
waits for it a moment, so that a stream is stopped at the server.
"""

from __future__ import annotations

import enum
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Final, TypeAlias

from broker.background import start_thread

__all__ = ["NAME", "OutOfTime", "Outlet", "is_left_behind", "pieces_within"]

NAME: Final = "pb work"
"""The name of a thread for which the process does not wait at its end."""

# Limits of the texts that wait to be taken: at least so many characters each, and at most so many
# texts.
_CHUNK, _MOST_CHUNKS = 16_384, 16
_SECONDS_OF_A_TRY = 0.1
_SECONDS_TO_STOP = 2.0


class _Sign(enum.Enum):
    END = "end"
    NO_LIMIT = "no limit"


_Chunks: TypeAlias = "queue.Queue[str | BaseException | _Sign]"


class OutOfTime(Exception):
    """The work did not end in time."""


class Outlet:
    """Passes on text from a thread, piece by piece, to the one that prints it."""

    def __init__(self) -> None:
        self._chunks: _Chunks = queue.Queue(_MOST_CHUNKS)
        self._is_stopped = threading.Event()

    def lift_limit(self) -> bool:
        """Let the rest take as long as it does; return whether it is still wanted."""
        return self.put(_Sign.NO_LIMIT)

    def put(self, item: str | BaseException | _Sign) -> bool:
        """Wait until there is room, and pass on an item; return whether it is still wanted."""
        while not self._is_stopped.is_set():
            try:
                self._chunks.put(item, timeout=_SECONDS_OF_A_TRY)
            except queue.Full:
                continue
            return True
        return False

    def put_at_once(self, text: str) -> bool:
        """Pass on a text if there is room, or drop it if it is not wanted; else return False."""
        if self._is_stopped.is_set():
            return True
        try:
            self._chunks.put_nowait(text)
        except queue.Full:
            return False
        return True

    def get(self, timeout: float | None) -> str | BaseException | _Sign:
        """Return the next item; raise queue.Empty if none came in time."""
        return self._chunks.get(timeout=timeout)

    def stop(self) -> None:
        """Take no more items."""
        self._is_stopped.set()


def pieces_within(
    seconds: float,
    work: Callable[[], Iterable[str]],
    outlet: Outlet | None = None,
    stop: Callable[[], object] | None = None,
) -> Generator[str]:
    """Yield the text that ``work()`` yields, joined into larger pieces, as it is made.

    Args:
        seconds: the time limit for all of it, until the work lifts it; the caller's time for
            handling the yielded text does not count.
        work: called, and iterated, in its own thread.
        outlet: takes text beside that of ``work``, which is yielded at once.
        stop: is called, in this thread, if this ends before the work does. The work is then
            given 2 seconds to end, but none after its time limit.

    Raises:
        OutOfTime: it took longer; the thread is abandoned and continues.
        BaseException: an exception of the work.
    """
    outlet = outlet or Outlet()
    thread = start_thread(partial(_work, work, outlet), NAME)
    left: float | None = seconds
    patience = _SECONDS_TO_STOP
    is_over = False
    try:
        while True:
            begun = time.monotonic()
            try:
                chunk = outlet.get(None if left is None else max(0.0, left))
            except queue.Empty:
                patience = 0.0
                raise OutOfTime from None
            if left is not None:
                left -= time.monotonic() - begun
            if chunk is _Sign.END:
                is_over = True
                thread.join(_SECONDS_TO_STOP if left is None else max(0.0, left))
                return
            if chunk is _Sign.NO_LIMIT:
                left = None
                continue
            if isinstance(chunk, BaseException):
                is_over = True
                raise chunk
            yield chunk
    finally:
        outlet.stop()
        if not is_over and stop is not None:
            stop()
            thread.join(patience)


def is_left_behind() -> bool:
    """Whether an abandoned thread is still working: the process must end without waiting for it."""
    return any(thread.name == NAME for thread in threading.enumerate())


def _work(work: Callable[[], Iterable[str]], outlet: Outlet) -> None:
    end: BaseException | _Sign = _Sign.END
    try:
        for text in _joined(work()):
            if not outlet.put(text):
                return
    except BaseException as exc:  # noqa: BLE001 - raised in the waiting thread
        end = exc
    outlet.put(end)


def _joined(pieces: Iterable[str]) -> Iterator[str]:
    waiting: list[str] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield "".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield "".join(waiting)

"""Runs a command's work in a thread, so that a time limit and Ctrl-C always end the command.

The main thread only waits, and can always be interrupted. The work may block in a name lookup, or
in turning a large answer into text.
"""

from __future__ import annotations

import enum
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, TypeAlias

from broker.background import start_thread

__all__ = ["OutOfTime", "is_left_behind", "pieces_within"]

_NAME: Final = "pb work"
# Limits of the texts that wait to be taken: at least so many characters each, and at most so many
# texts.
_CHUNK, _MOST_CHUNKS = 16_384, 16
_SECONDS_OF_A_TRY = 0.1


class _End(enum.Enum):
    END = "end"


_END: Final = _End.END
_Chunks: TypeAlias = "queue.Queue[str | BaseException | _End]"


class OutOfTime(Exception):
    """The work did not end in time."""


def pieces_within(seconds: float, work: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Yield the text that ``work()`` yields, joined into larger pieces, as it is made.

    Args:
        seconds: the time limit for all of it; the caller's time for handling the yielded text does
            not count.
        work: called, and iterated, in its own thread.

    Raises:
        OutOfTime: it took longer; the thread is abandoned and continues.
        BaseException: an exception of the work.
    """
    chunks: _Chunks = queue.Queue(_MOST_CHUNKS)
    stopped = threading.Event()
    thread = start_thread(partial(_work, work, chunks, stopped), _NAME)
    try:
        while True:
            begun = time.monotonic()
            try:
                chunk = chunks.get(timeout=max(0.0, seconds))
            except queue.Empty:
                raise OutOfTime from None
            seconds -= time.monotonic() - begun
            if chunk is _END:
                thread.join(max(0.0, seconds))
                return
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk
    finally:
        stopped.set()


def is_left_behind() -> bool:
    """Whether an abandoned thread is still working: the process must end without waiting for it."""
    return any(thread.name == _NAME for thread in threading.enumerate())


def _work(work: Callable[[], Iterable[str]], chunks: _Chunks, stopped: threading.Event) -> None:
    end: BaseException | _End = _END
    try:
        for text in _joined(work()):
            if not _put(chunks, text, stopped):
                return
    except BaseException as exc:  # noqa: BLE001 - raised in the waiting thread
        end = exc
    _put(chunks, end, stopped)


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


def _put(chunks: _Chunks, item: str | BaseException | _End, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            chunks.put(item, timeout=_SECONDS_OF_A_TRY)
        except queue.Full:
            continue
        return True
    return False

"""Work of a command in a thread: a limit of time and Ctrl-C end the command whatever it does.

The main thread only waits, and can always be interrupted; the work may be stuck in a look-up of a
name, or in turning a large answer into text.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

from broker.background import start_thread

__all__ = ["OutOfTime", "is_left_behind", "pieces_within"]

_NAME: Final = "pb work"
# What waits to be taken: texts of at least so many characters, and at most so many texts.
_CHUNK, _MOST_CHUNKS = 16_384, 16
_SECONDS_OF_A_TRY = 0.1
_END = object()


class OutOfTime(Exception):
    """The work was not done in time."""


def pieces_within(seconds: float, work: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Yield the text that ``work()`` yields, joined to larger pieces, as it is made.

    Args:
        seconds: for all of it; the time in which the caller handles what was yielded does not
            count.
        work: called in a thread of its own, where it is iterated, too.

    Raises:
        OutOfTime: it took longer; the thread goes on, and is left behind.
        BaseException: what the work raised.
    """
    chunks: queue.Queue[Any] = queue.Queue(_MOST_CHUNKS)
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
    """Whether work goes on for which nobody waits: the process can only end without it."""
    return any(thread.name == _NAME for thread in threading.enumerate())


def _work(work: Callable[[], Iterable[str]], chunks: Any, stopped: threading.Event) -> None:
    end: Any = _END
    try:
        for text in _joined(work()):
            if not _put(chunks, text, stopped):
                return
    except BaseException as exc:  # noqa: BLE001 - raised where it is waited for
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


def _put(chunks: Any, item: Any, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            chunks.put(item, timeout=_SECONDS_OF_A_TRY)
        except queue.Full:
            continue
        return True
    return False

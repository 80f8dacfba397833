"""The buffer that incoming bytes are read into: one for each thread.

A loop fills and empties it before any other event, so an idle connection does not own a buffer.

A protocol gets at most `SLICE_SIZE` bytes at a time: the C library gets each larger block from the
system, page by page, which takes longer than to copy it. A protocol that allows it
(`TransportPort.reads_ahead`) gets several slices of one read, even if it pauses reading between
them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

__all__ = ["SLICE_SIZE", "own_buffer", "scratch"]

SLICE_SIZE = 64 * 1024
"""Most bytes that a protocol gets at a time."""

_SLICES = 4


class _Scratch(threading.local):
    """The buffer of a thread, made when it is first used.

    Attributes:
        large: for protocols that take several slices in a row.
        view: the first slice of it.
    """

    large: memoryview
    view: memoryview
    _spares: list[memoryview]

    def __getattr__(self, name: str) -> object:
        if name not in _Scratch.__annotations__:
            raise AttributeError(name)
        self._spares = []
        self._use(memoryview(bytearray(_SLICES * SLICE_SIZE)))
        return vars(self)[name]

    def _use(self, buffer: memoryview) -> None:
        self.large = buffer
        self.view = buffer[:SLICE_SIZE]

    def slices(self, size: int) -> Iterator[bytes]:
        """Yield what was read into the large buffer, in slices.

        Meanwhile a nested loop of this thread reads into another buffer.
        """
        full = self.large
        self._use(self._spares.pop() if self._spares else memoryview(bytearray(len(full))))
        try:
            for start in range(0, size, SLICE_SIZE):
                yield bytes(full[start : min(start + SLICE_SIZE, size)])
        finally:
            self._spares.append(self.large)
            self._use(full)


scratch = _Scratch()


def own_buffer() -> memoryview | None:
    """Return a buffer for one connection, if its loop needs one.

    A proactor loop gives the buffer to the kernel before there is data to read.
    """
    return memoryview(bytearray(SLICE_SIZE)) if sys.platform == "win32" else None

"""What the transfers of served files may use: open files, and room in the folder."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

from broker.connection.peer import current_call
from broker.defer import DeferredLock
from broker.errors import FileRefused
from broker.files import in_thread
from broker.folders.folder import Folder

__all__ = ["Room", "Slots"]

_MOST_OF_A_PEER = 32
_FRESH = 10.0
"""Seconds for which a count of the folder is used."""


class _Slot:
    """One open file of a connection."""

    __slots__ = ("who",)

    def __init__(self, who: object):
        self.who = who


class Slots:
    """The files that are open, for all connections and for each.

    Args:
        most: how many may be open.
    """

    def __init__(self, most: int):
        self._most = most
        # A set, from which a finalizer in any thread may remove a slot.
        self._taken: set[_Slot] = set()

    def __len__(self) -> int:
        return len(self._taken)

    def take(self) -> Callable[[], None]:
        """Count one more; return the function that counts it as closed, once.

        Raises:
            FileRefused: too many are open.
        """
        try:
            who: object = current_call().connection
        except LookupError:
            who = None
        its = sum(slot.who is who for slot in list(self._taken))
        if len(self._taken) >= self._most or its >= _MOST_OF_A_PEER:
            raise FileRefused("too many files are open; try again later")
        slot = _Slot(who)
        self._taken.add(slot)
        return partial(self._taken.discard, slot)

    @contextmanager
    def taken(self) -> Generator[None]:
        """Count one more during the block."""
        release = self.take()
        try:
            yield
        finally:
            release()


class Room:
    """How much may be written to a folder.

    The folder was counted some time ago, and all that was written since then is added. So the sum
    is never too low because of a transfer; it may be too high until the next count.

    Args:
        folder: the folder.
        most_files, most_bytes: what it may hold.
    """

    def __init__(self, folder: Folder, most_files: int, most_bytes: int):
        self._folder = folder
        self._most_files = most_files
        self._most_bytes = most_bytes
        self._lock = DeferredLock()
        self._counted_at = -math.inf
        self._files = self._bytes = 0

    async def measure(self) -> None:
        """Count what is there, unless that was done a moment ago.

        Raises:
            FileRefused: there are too many files.
        """
        await self._lock.acquire()
        try:
            now = asyncio.get_running_loop().time()
            if now - self._counted_at >= _FRESH:
                await self._count()
                self._counted_at = now
        finally:
            self._lock.release()
        if self._files > self._most_files:
            raise FileRefused(f"the folder has over {self._most_files} files (most_files)")

    async def _count(self) -> None:
        files, size = self._files, self._bytes
        usage = await in_thread(self._folder.usage, self._most_files)
        # What came meanwhile may be counted twice, and is counted once at least.
        self._files += usage.files - files
        self._bytes += usage.size - size

    def add_file(self) -> None:
        """Count a file that is added.

        Raises:
            FileRefused: it is one too many.
        """
        if self._files >= self._most_files:
            raise FileRefused(f"the folder has {self._most_files} files (most_files)")
        self._files += 1

    def check_bytes(self, count: int) -> None:
        """Look whether so many bytes may be written.

        Raises:
            FileRefused: they are too many.
        """
        if self._bytes + count > self._most_bytes:
            raise FileRefused(f"the folder would have over {self._most_bytes} bytes (most_bytes)")

    def add_bytes(self, count: int) -> None:
        """Count bytes that are written.

        Raises:
            FileRefused: they are too many.
        """
        self.check_bytes(count)
        self._bytes += count

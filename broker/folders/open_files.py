"""Files and folders that are open for a peer: to read, to write, and to list.

A new file has another name, with a dot in front, until it is complete. Names of peers have no such
dot. All methods block; they are called in worker threads.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import stat
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Final

from broker.errors import FileRefused, NoSuchFile
from broker.folders.names import is_servable
from broker.folders.places import APPEND, CREATE, Place
from broker.printable import printable

__all__ = ["NEW", "Listing", "NewFile", "OpenFile", "described", "partial_name", "told"]

logger = logging.getLogger("broker.folders")

NEW, _PARTIAL = ".tmp", ".part"
_MOST_LOGGED = 400

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})
_REASONS: Final = {
    errno.EACCES: "the server may not open it",
    errno.EPERM: "the server may not open it",
    errno.ENOSPC: "the disk of the server is full",
    errno.EDQUOT: "the disk of the server is full",
    errno.EROFS: "the disk of the server is read-only",
    errno.EISDIR: "it is a folder",
}


@contextmanager
def told() -> Generator[None]:
    """Turn an OSError of the block into an error for the peer, without a path of this machine."""
    try:
        yield
    except (NoSuchFile, FileRefused):
        raise
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise NoSuchFile("no such file") from error
        reason = _REASONS.get(error.errno or 0)
        if reason is None or error.errno in (errno.ENOSPC, errno.EDQUOT):
            # Its text has a name that a peer has sent.
            logger.debug("a served file cannot be used: %s", printable(str(error), _MOST_LOGGED))
        raise FileRefused(reason or "the server cannot use the file") from error


class _Held:
    """A resource of the system: closed once, and not while a thread uses it."""

    # Until ``__init__`` has run there is nothing to close.
    _lock = threading.Lock()
    _is_closed: bool = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._is_closed = False

    @contextmanager
    def _in_use(self) -> Generator[None]:
        with self._lock:
            if self._is_closed:
                raise FileRefused("the file was closed")
            self._users += 1
        try:
            with told():
                yield
        finally:
            if self._is_last():
                self._release()

    def _is_last(self) -> bool:
        """Count a use as ended; return whether it is to be closed now."""
        with self._lock:
            self._users -= 1
            return self._is_closed and not self._users

    def close(self) -> None:
        """Close it, now or when the thread that uses it is done; no effect the second time."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            is_free = not self._users
        if is_free:
            self._release()

    def __del__(self) -> None:
        self.close()

    def _release(self) -> None:
        raise NotImplementedError


class OpenFile(_Held):
    """A regular file that is open.

    Attributes:
        size: its bytes when it was opened.
    """

    def __init__(self, fd: int):
        self._fd = fd
        super().__init__()
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise NoSuchFile("no such file")
        except BaseException:
            self.close()
            raise
        self.size = found.st_size

    def seek(self, start: int) -> None:
        """Read from this byte on."""
        with self._in_use():
            os.lseek(self._fd, start, os.SEEK_SET)

    def read(self, most: int) -> bytes:
        """Return the next bytes; none at the end."""
        with self._in_use():
            return os.read(self._fd, most)

    def _release(self) -> None:
        os.close(self._fd)


class NewFile(OpenFile):
    """A file that is written, and gets its name when it is complete.

    Args:
        place: its folder, which is closed with it.
        name: its name at the end.
        start: as for `Folder.create`.

    Attributes:
        is_added: whether the folder has one file more at the end, not another one of the name.
    """

    def __init__(self, place: Place, name: str, start: int | None):
        self._place = place
        self._name = name
        self._keeps = start is not None
        self._beside = f".{secrets.token_hex(16)}{NEW}"
        self._is_done = False
        try:
            mode = _mode_of(place, name)
            super().__init__(self._opened(start))
        except BaseException:
            place.close()
            raise
        self.is_added = mode is None
        try:
            if self.size != (start or 0):
                raise FileRefused(f"{self.size} bytes of the file are there, not {start}")
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(self._fd, mode)
        except BaseException:
            self.give_up()
            raise

    def _opened(self, start: int | None) -> int:
        if not start:
            return self._place.open(self._beside, CREATE)
        # The name is taken in one step: another writer does not find the file any more.
        kept = partial_name(self._name)
        self._place.replace(kept, self._beside)
        try:
            return self._place.open(self._beside, APPEND)
        except BaseException:
            with suppress(OSError):
                self._place.replace(self._beside, kept)
            raise

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        left = memoryview(data)
        with self._in_use():
            while left:
                left = left[os.write(self._fd, left) :]

    def finish(self) -> None:
        """Give the file its name, in place of the file that has it."""
        with self._in_use():
            os.fsync(self._fd)
            _mode_of(self._place, self._name)
            if os.name == "nt":
                # An open file cannot be renamed there.
                os.close(self._fd)
                self._fd = -1
            self._place.replace(self._beside, self._name)
            self._is_done = True
            if self._keeps:
                with suppress(OSError):
                    self._place.unlink(partial_name(self._name))
        self.close()

    def give_up(self) -> None:
        """Remove the file, or keep it for another attempt; no effect after the end."""
        self.close()

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        with suppress(OSError):
            if not self._is_done and self._keeps:
                self._place.replace(self._beside, partial_name(self._name))
            elif not self._is_done:
                self._place.unlink(self._beside)
        self._place.close()


def partial_name(name: str) -> str:
    """Return the name of what is kept of a file; it is not longer than names may be."""
    return f".{hashlib.sha256(name.encode('utf-8')).hexdigest()[:32]}{_PARTIAL}"


def _mode_of(place: Place, name: str) -> int | None:
    """Return the mode of a file that will be replaced; None if it is not there."""
    try:
        mode = place.stat(name).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise FileRefused("it is not a regular file")
    return mode & 0o777


class Listing(_Held):
    """The entries of a folder, some at a time."""

    def __init__(self, place: Place):
        self._place = place
        self._entries = place.scan()
        super().__init__()

    def some(self, most: int) -> list[dict[str, object]]:
        """Return the next entries, each as `Folder.stat` does; none at the end."""
        with self._in_use():
            return list(islice(self._servable(), most))

    def _servable(self) -> Iterator[dict[str, object]]:
        for entry in self._entries:
            if is_servable(entry.name):
                with suppress(OSError, NoSuchFile):
                    yield {"name": entry.name, **described(entry.stat(follow_symlinks=False))}

    def _release(self) -> None:
        self._entries.close()
        self._place.close()


def described(found: os.stat_result) -> dict[str, object]:
    """Return what a peer is told of a file or a folder; see `Folder.stat`."""
    mode = found.st_mode
    if stat.S_ISDIR(mode):
        return {"kind": "folder", "modified": found.st_mtime}
    if not stat.S_ISREG(mode):
        raise NoSuchFile("no such file")
    return {"kind": "file", "size": found.st_size, "modified": found.st_mtime}

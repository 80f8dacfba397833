"""Folders that are open, and what is done in one without following a link.

Theory of operation. Each folder on the way to a file is opened relative to the one before it, with
``openat`` and ``O_NOFOLLOW``. The descriptor of a folder stays that of the same folder, so a link
that is made meanwhile is never followed. To resolve a path and compare it would leave a moment in
which another link takes its place.

Python does not offer this on Windows. There, each folder and file is looked at before it is used. A
file that was opened is compared with the one that was looked at. The real path of its folder must
be the expected one, before and after. A program on the server itself that makes a link in
the moment between could have an empty file made elsewhere; no byte is read or written there.

No file is opened in a way that waits, so that a FIFO blocks no thread.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Any, Final, Protocol

__all__ = ["APPEND", "CREATE", "HAS_DESCRIPTORS", "READ", "ByDescriptor", "ByPath", "Place"]

HAS_DESCRIPTORS: Final = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
"""Whether files can be opened relative to the descriptor of a folder."""


def _flag(*names: str) -> int:
    return sum(getattr(os, name, 0) for name in names)


_ALWAYS: Final = _flag("O_CLOEXEC", "O_BINARY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK")
READ: Final = os.O_RDONLY | _ALWAYS
CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | _ALWAYS
APPEND: Final = os.O_RDWR | os.O_APPEND | _ALWAYS
_FOLDER: Final = os.O_RDONLY | _flag("O_CLOEXEC", "O_DIRECTORY")


class Place(Protocol):
    """A folder that is open."""

    def inner(self, part: str) -> Place:
        """Return an inner folder; NotADirectoryError or FileNotFoundError for a link."""
        ...

    def open(self, part: str, flags: int) -> int:
        """Open or make a file; return its descriptor."""
        ...

    def stat(self, part: str) -> os.stat_result:
        """Look at a file or a folder, or at a link itself."""
        ...

    def scan(self) -> Any:
        """Return an iterator over the entries, as ``os.scandir`` does."""
        ...

    def replace(self, part: str, other: str) -> None:
        """Rename a file, in place of the one that has the other name."""
        ...

    def unlink(self, part: str) -> None:
        """Remove a file."""
        ...

    def close(self) -> None:
        """Close it; no effect the second time."""
        ...


class ByDescriptor:
    """A folder by its descriptor."""

    def __init__(self, path: str, parent: int | None = None):
        no_links = 0 if parent is None else _flag("O_NOFOLLOW")
        self._fd = os.open(path, _FOLDER | no_links, dir_fd=parent)

    def inner(self, part: str) -> Place:
        """Return an inner folder; NotADirectoryError or FileNotFoundError for a link."""
        return ByDescriptor(part, self._fd)

    def open(self, part: str, flags: int) -> int:
        """Open or make a file; return its descriptor."""
        return os.open(part, flags, 0o666, dir_fd=self._fd)

    def stat(self, part: str) -> os.stat_result:
        """Look at a file or a folder, or at a link itself."""
        return os.stat(part, dir_fd=self._fd, follow_symlinks=False)

    def scan(self) -> Any:
        """Return an iterator over the entries, as ``os.scandir`` does."""
        return os.scandir(self._fd)

    def replace(self, part: str, other: str) -> None:
        """Rename a file, in place of the one that has the other name."""
        os.replace(part, other, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def unlink(self, part: str) -> None:
        """Remove a file."""
        os.unlink(part, dir_fd=self._fd)

    def close(self) -> None:
        """Close it; no effect the second time."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class ByPath:
    """A folder by its path, which is looked at again after each use."""

    def __init__(self, path: str):
        self._path = os.path.realpath(path)
        if not stat.S_ISDIR(os.lstat(self._path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")

    def inner(self, part: str) -> Place:
        """Return an inner folder; NotADirectoryError or FileNotFoundError for a link."""
        inner = ByPath(os.path.join(self._path, part))
        inner._check(os.path.join(self._path, part))
        return inner

    def _check(self, expected: str) -> None:
        if os.path.realpath(expected) != expected or self._path != expected:
            raise FileNotFoundError(errno.ENOENT, "a link")

    def open(self, part: str, flags: int) -> int:
        """Open or make a file; return its descriptor."""
        path = os.path.join(self._path, part)
        before = None if flags & os.O_EXCL else os.lstat(path)
        self._check(self._path)
        fd = os.open(path, flags, 0o666)
        try:
            if before is not None and not os.path.samestat(before, os.fstat(fd)):
                raise FileNotFoundError(errno.ENOENT, "a link")
            self._check(self._path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def stat(self, part: str) -> os.stat_result:
        """Look at a file or a folder, or at a link itself."""
        self._check(self._path)
        return os.lstat(os.path.join(self._path, part))

    def scan(self) -> Any:
        """Return an iterator over the entries, as ``os.scandir`` does."""
        self._check(self._path)
        return os.scandir(self._path)

    def replace(self, part: str, other: str) -> None:
        """Rename a file, in place of the one that has the other name."""
        self._check(self._path)
        os.replace(os.path.join(self._path, part), os.path.join(self._path, other))

    def unlink(self, part: str) -> None:
        """Remove a file."""
        self._check(self._path)
        os.unlink(os.path.join(self._path, part))

    def close(self) -> None:
        """Do nothing."""

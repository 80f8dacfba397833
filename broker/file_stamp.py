"""Tells whether a file has changed since it was read, without reading it again."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["FileStamp", "stamp_at", "stamp_of"]


class FileStamp(NamedTuple):
    """The identity and the state of a file. While the stamp is equal, the file has not changed.

    A file that was replaced has another inode. A file that was written in place has another time,
    even if its size is the same and the writer set `mtime_ns` back: no program can set `ctime_ns`.

    Attributes:
        device, inode: which file it is.
        size: its bytes.
        mtime_ns: when its content was written, in nanoseconds since 1970.
        ctime_ns: when its content, owner, mode or links were changed, in the same unit.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def stamp_of(status: os.stat_result) -> FileStamp:
    """Return the stamp of a file whose status is known, such as that of an open file."""
    return FileStamp(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def stamp_at(path: str | bytes | os.PathLike[str]) -> FileStamp | None:
    """Return the stamp of the file at a path, or None if it does not exist or cannot be read."""
    try:
        return stamp_of(os.stat(path))
    except OSError:
        return None

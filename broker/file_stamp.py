"""Tells whether a file has changed since it was read, without reading it again."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["FileStamp", "stamp_at", "stamp_of"]


class FileStamp(NamedTuple):
    """What a file looks like from outside: two equal stamps are of one file that has not changed.

    A file that is replaced has another inode. One that is written in place has another time, also
    where its size stays and the writer sets `mtime_ns` back: nobody can set `ctime_ns`.

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
    """Return the stamp of the file at a path, or None where there is none that can be seen."""
    try:
        return stamp_of(os.stat(path))
    except OSError:
        return None

"""A folder whose files are opened by names that a peer has sent, and nothing outside it.

All methods block; they are called in worker threads. They raise NoSuchFile and FileRefused, whose
texts have no path of this machine.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from broker.errors import FileRefused, NoSuchFile
from broker.folders.names import parts_of
from broker.folders.open_files import (
    NEW,
    Listing,
    NewFile,
    OpenFile,
    described,
    partial_name,
    told,
)
from broker.folders.places import HAS_DESCRIPTORS, READ, ByDescriptor, ByPath, Place

__all__ = ["Folder", "Usage"]


class Usage(NamedTuple):
    """What a folder holds, with all folders in it."""

    files: int
    size: int


class Folder:
    """A folder, and what is below it.

    Args:
        path: its path; links in it are followed.
        by_descriptor: whether files are opened relative to descriptors.
    """

    def __init__(self, path: str | os.PathLike[str], *, by_descriptor: bool = HAS_DESCRIPTORS):
        self._path = os.path.abspath(path)
        self._make: type[ByDescriptor] | type[ByPath] = ByDescriptor if by_descriptor else ByPath

    def open(self, name: object) -> OpenFile:
        """Open a file to read it."""
        with self._reached(name) as (place, part):
            _check_regular(place.stat(part))
            return OpenFile(place.open(part, READ))

    def open_partial(self, name: object) -> OpenFile:
        """Open what is kept of a file whose upload has not ended."""
        with self._reached(name) as (place, part):
            return OpenFile(place.open(partial_name(part), READ))

    def stat(self, name: object) -> dict[str, object]:
        """Return the ``kind``, ``file`` or ``folder``, the ``size`` of a file, and ``modified``."""
        with self._reached(name) as (place, part):
            return described(place.stat(part))

    def entries(self, name: object = "") -> Listing:
        """Return the files and folders in a folder; the empty name is that of this folder."""
        with told():
            place = self._walk(() if name == "" else parts_of(name))
            try:
                return Listing(place)
            except BaseException:
                place.close()
                raise

    def create(self, name: object, start: int | None = None) -> NewFile:
        """Make a file.

        Args:
            name: its name.
            start: the bytes that are kept of it already, to go on behind them; with 0 it begins
                anew. After an error its bytes are kept. None keeps nothing.
        """
        *folders, part = parts_of(name)
        with told():
            return NewFile(self._walk(folders), part, start)

    def usage(self, most: int) -> Usage:
        """Count the files and folders, and their bytes; stop after ``most`` of them."""
        files = size = 0
        for folder, folders, names in os.walk(self._path):
            files += len(folders)
            for name in names:
                with suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_size
                    files += not name.endswith(NEW)
                if files > most:
                    return Usage(files, size)
        return Usage(files, size)

    @contextmanager
    def _reached(self, name: object) -> Generator[tuple[Place, str]]:
        *folders, part = parts_of(name)
        with told():
            place = self._walk(folders)
            try:
                yield place, part
            finally:
                place.close()

    def _walk(self, folders: list[str] | tuple[str, ...]) -> Place:
        place: Place = self._make(self._path)
        for part in folders:
            outer = place
            try:
                place = outer.inner(part)
            finally:
                outer.close()
        return place


def _check_regular(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise FileRefused("it is a folder")
    if not stat.S_ISREG(found.st_mode):
        raise NoSuchFile("no such file")

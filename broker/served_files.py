"""Serves the files of a folder: peers list and read them, and send files if they may.

Files are read and written piece by piece in worker threads. `broker.folders` checks the names of
peers, and opens the files. `broker.transfer_limits` counts open files, and the files and bytes of
the folder. This module bounds the bytes of one file, and the time in which nothing comes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar
from weakref import WeakMethod

from broker.errors import ConfigError, FileRefused, WrongArguments
from broker.files import PIECE, in_thread
from broker.flavors.reference import RemoteReference
from broker.flavors.referenceable import Root
from broker.flavors.streams import RemoteStream, Stream, stream_of
from broker.folders.folder import Folder
from broker.folders.open_files import Listing, NewFile, OpenFile
from broker.transfer_limits import Room, Slots

__all__ = ["Files"]

T = TypeVar("T")

_ENTRIES_AT_ONCE = 256
_HASHED_AT_ONCE = 1 << 20


class Files(Root):
    """The files of a folder, for peers: serve it, return it from a realm or a method, or send it.

    ::

        await broker.serve(broker.Files("public"), "pbs://…", tls=tls)

    Peers call the methods ``list``, ``stat`` and ``read``, and ``write`` if the folder is writable;
    ``pb cp`` does so. A name is relative, with ``/`` between its parts. No part begins with a dot,
    and none has a backslash, a colon or a control character, so that a name means the same file on
    each system, below the folder. Links are not followed, and only regular files are read or
    replaced. Folders are not made.

    The errors for peers are NoSuchFile and FileRefused. Their texts tell no path of this machine.

    Args:
        directory: the folder.
        writable: whether peers may write files, also in place of others.
        most: bytes of a file that a peer writes.
        most_files: files and folders in the folder, beyond which no file is added.
        most_bytes: bytes of all files in the folder, beyond which no file grows. The folder is
            counted every 10 seconds, so that changes by other programs are seen.
        open_files: files that are open for all peers at once; 32 of them for one connection.
        idle: seconds in which a peer must send more bytes of a file, or take more.

    Raises:
        ConfigError: there is no such folder, or a number is not positive.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        writable: bool = False,
        most: int = 1 << 30,
        most_files: int = 10_000,
        most_bytes: int = 16 << 30,
        open_files: int = 256,
        idle: float = 300.0,
    ):
        if not os.path.isdir(directory):
            raise ConfigError(f"there is no folder {os.fspath(directory)}")
        _check_positive(most=most, most_files=most_files, most_bytes=most_bytes)
        _check_positive(open_files=open_files, idle=idle)
        self._folder = Folder(directory)
        self._writable = writable
        self._most = most
        self._idle = idle
        self._slots = Slots(open_files)
        self._room = Room(self._folder, most_files, most_bytes)

    async def remote_list(self, name: str = "") -> Stream[dict[str, object]]:
        """Return the files and folders in a folder as a stream, in no order, each as ``stat`` does.

        Each has its ``name``, too.

        Args:
            name: of the folder; the empty name is that of the served folder.
        """
        release = self._slots.take()
        try:
            listing = await in_thread(self._folder.entries, name)
        except BaseException:
            release()
            raise
        return Stream(_Entries(listing, release, self._idle))

    async def remote_stat(self, name: str) -> dict[str, object]:
        """Return the ``kind``, ``file`` or ``folder``, ``modified`` and, of a file, ``size``.

        ``modified`` is in seconds since 1970.
        """
        return await in_thread(self._folder.stat, name)

    async def remote_read(self, name: str, start: int = 0) -> Stream[bytes]:
        """Return the bytes of a file as a stream, from the byte ``start`` on."""
        release = self._slots.take()
        try:
            file = await in_thread(self._folder.open, name)
        except BaseException:
            release()
            raise
        pieces = _Pieces(file, release, self._idle)
        try:
            pieces.left = file.size - _checked("start", start, file.size)
            await in_thread(file.seek, start)
        except BaseException:
            await pieces.aclose()
            raise
        return Stream(pieces, size=pieces.left)

    async def remote_partial(self, name: str) -> int:
        """Return how many bytes are kept of a file whose upload has not ended; 0 if none are."""
        self._check_writable()
        return await in_thread(self._kept, name)

    async def remote_digest(self, name: str, size: int, partial: bool = False) -> str:
        """Return the SHA-256 hash of the first bytes of a file, to resume a transfer.

        Args:
            name: of the file.
            size: the number of bytes.
            partial: whether the file is the one whose upload has not ended.
        """
        with self._slots.taken():
            opened = self._folder.open_partial if partial else self._folder.open
            file = await in_thread(opened, name)
            try:
                return await _digest(file, _checked("size", size, file.size))
            finally:
                file.close()

    async def remote_write(self, name: str, items: object, start: int | None = None) -> int:
        """Write the bytes of a stream to a file; return the bytes of the file.

        The file gets its name when the stream has ended. Of several that write one name at once,
        the last one to end is kept.

        Args:
            name: of the file.
            items: a stream of bytes.
            start: the number of bytes that are kept already, as of ``partial``, to go on behind
                them; with 0 the file begins anew. After an error the bytes are kept. With None
                nothing is kept.
        """
        if not isinstance(items, RemoteStream | RemoteReference):
            raise WrongArguments("write: 'items' is not a stream")
        stream = stream_of(items)
        try:
            self._check_writable()
            if start is not None:
                _checked("start", start, self._most)
            with self._slots.taken():
                return await self._write(name, stream, start)
        finally:
            await stream.stop()

    async def _write(self, name: object, stream: RemoteStream[Any], start: int | None) -> int:
        most = self._most
        begun = start or 0
        size = stream.size
        if begun + (size or 0) > most:
            raise FileRefused(_too_large(most))
        await self._room.measure()
        file = await in_thread(self._folder.create, name, start)
        try:
            if file.is_added:
                self._room.add_file()
            self._room.check_bytes(size or 0)
            done = await self._copy(stream, file, begun)
            if size is not None and done - begun != size:
                raise FileRefused(f"{done - begun} of {size} bytes came")
            await in_thread(file.finish)
        except GeneratorExit:
            file.give_up()
            raise
        except BaseException:
            await in_thread(file.give_up)
            raise
        return done

    async def _copy(self, stream: RemoteStream[Any], file: NewFile, done: int) -> int:
        now = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(self._idle) as limit:
                async for data in stream:
                    if not isinstance(data, bytes | bytearray | memoryview):
                        raise FileRefused(f"a file has bytes, not {type(data).__name__}")
                    if not len(data):
                        continue
                    done += len(data)
                    if done > self._most:
                        raise FileRefused(_too_large(self._most))
                    self._room.add_bytes(len(data))
                    await in_thread(file.write, data)
                    limit.reschedule(now() + self._idle)
        except TimeoutError:
            raise FileRefused(f"no bytes came in {self._idle:g} s") from None
        return done

    def _check_writable(self) -> None:
        if not self._writable:
            raise FileRefused("this folder is read-only")

    def _kept(self, name: object) -> int:
        try:
            file = self._folder.open_partial(name)
        except FileNotFoundError:
            return 0
        file.close()
        return file.size


class _Source(AsyncIterator[T]):
    """What is read of a file or a folder: closed at the end, and if no more is taken for some time.

    Args:
        held: the file or the folder.
        release: is called when it was closed.
        idle: the seconds until the next step must be taken.
    """

    def __init__(self, held: OpenFile | Listing, release: Callable[[], None], idle: float):
        self._held = held
        self._release = release
        self._idle = idle
        self._is_late = False
        self._wait()

    async def __anext__(self) -> T:
        if self._is_late:
            raise FileRefused(f"nothing was taken in {self._idle:g} s")
        self._timer.cancel()
        found = await self._next()
        if found is None:
            self._close()
            raise StopAsyncIteration
        self._wait()
        return found

    async def _next(self) -> T | None:
        """Return what comes next; None at the end."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the file or the folder."""
        self._close()

    def __del__(self) -> None:
        self._close()

    def _wait(self) -> None:
        # The timer does not keep a stream that was never sent, or never read.
        end = WeakMethod(self._end_late)
        self._timer = asyncio.get_running_loop().call_later(self._idle, _call, end)

    def _end_late(self) -> None:
        self._is_late = True
        self._close()

    def _close(self) -> None:
        self._timer.cancel()
        self._held.close()
        self._release()


class _Pieces(_Source[bytes]):
    """The bytes of a file.

    Attributes:
        left: the bytes that are to be read.
    """

    _held: OpenFile
    left = 0

    async def _next(self) -> bytes | None:
        if not self.left:
            return None
        data = await in_thread(self._held.read, min(PIECE, self.left))
        self.left -= len(data)
        return data or None


class _Entries(_Source[dict[str, object]]):
    """The files and folders in a folder."""

    _held: Listing
    _some: Iterator[dict[str, object]] = iter(())

    async def _next(self) -> dict[str, object] | None:
        entry = next(self._some, None)
        if entry is None:
            self._some = iter(await in_thread(self._held.some, _ENTRIES_AT_ONCE))
            entry = next(self._some, None)
        return entry


def _check_positive(**values: object) -> None:
    for name, value in values.items():
        is_number = type(value) is int or (name == "idle" and type(value) is float)
        if not is_number or not value > 0:  # type: ignore[operator]
            kind = "number" if name == "idle" else "whole number"
            raise ConfigError(f"{name}={value!r}: give a {kind} above 0")


def _call(method: WeakMethod[Callable[[], None]]) -> None:
    function = method()
    if function is not None:
        function()


def _too_large(most: int) -> str:
    return f"a file may have {most} bytes (most)"


def _checked(what: str, value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise FileRefused(f"{what} is not a number from 0 to {most}")
    return value


async def _digest(file: OpenFile, left: int) -> str:
    found = hashlib.sha256()
    while left:
        data = await in_thread(file.read, min(left, _HASHED_AT_ONCE))
        if not data:
            raise FileRefused("the file has become shorter")
        await in_thread(found.update, data)
        left -= len(data)
    return found.hexdigest()

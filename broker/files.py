"""Files as streams: read one to send it, and write one that arrives.

Files are read and written in worker threads, so the event loop goes on. A file that is written gets
its name when it is complete.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from broker.defer import Deferred
from broker.errors import TooLarge
from broker.flavors.reference import RemoteReference
from broker.flavors.streams import RemoteStream, Stream, stream_of
from broker.progress import Reporter, reporter_of

__all__ = ["PIECE", "in_thread", "partial_size", "read_file", "write_file"]

Result = TypeVar("Result")

PIECE = 65_536
"""Bytes that are read and sent at once."""


def read_file(path: str | os.PathLike[str], piece: int = PIECE, *, start: int = 0) -> Stream[bytes]:
    """Return a stream of the bytes of a file, to be sent as an argument or a result.

    The file is opened when the first piece is due, and closed at the end of the stream, however it
    ends. Its size is told to the reader. A file that grows or shrinks meanwhile ends where it ends.

    Args:
        path: the file. A name of a peer must be checked before: it may be ``../../etc/passwd``.
        piece: bytes that are read and sent at once; at least 1.
        start: the byte at which to begin, to resume a transfer; see `partial_size`.

    Raises:
        OSError: there is no such file, or it cannot be looked at.
        ValueError: ``piece`` or ``start`` is out of its range.
    """
    if piece < 1:
        raise ValueError("a piece has at least 1 byte")
    size = os.stat(path).st_size
    if not 0 <= start <= size:
        raise ValueError(f"start={start} is not in the file, which has {size} bytes")
    return Stream(_pieces(Path(path), piece, start), size=size - start)


async def _pieces(path: Path, piece: int, start: int) -> AsyncGenerator[bytes, None]:
    opened: list[Any] = []
    try:
        # If this is cancelled, the thread has opened the file all the same.
        await in_thread(lambda: opened.append(path.open("rb", 0)))
        (file,) = opened
        file.seek(start)
        while data := await in_thread(file.read, piece):
            yield data
    finally:
        for file in opened:
            file.close()


def partial_size(path: str | os.PathLike[str]) -> int:
    """Return how many bytes `write_file` with ``resume`` has kept for a path; 0 if none."""
    with suppress(FileNotFoundError):
        return _partial(Path(path)).stat().st_size
    return 0


async def write_file(
    stream: AsyncIterable[bytes] | Deferred[Any],
    path: str | os.PathLike[str],
    *,
    most: int | None = None,
    progress: object = None,
    resume: bool = False,
) -> int:
    """Write the bytes of a stream to a file; return their number.

    They go to a new file beside it, with the mode 0600, which gets the name at the end. It then has
    the mode of the file that was there, or the usual one of a new file. After an error nothing is
    left, and the file that was there is as it was.

    Args:
        stream: a RemoteStream, another async iterable of bytes, or a call that returns a stream.
        path: the file. A name of a peer must be checked before it becomes a path.
        most: most bytes of the file. A server that takes uploads gives it.
        progress: is told of the bytes so far; see `broker.Progress`.
        resume: after an error keep what came, in a file whose name has ``.part`` at its end, and
            append to that file at the next time. The sender begins at `partial_size`.

    Raises:
        EOFError: the stream has ended before its size.
        TooLarge: the file would have more than ``most`` bytes. The stream is stopped.
        TypeError: an item is not bytes.
        OSError: the file cannot be written.
    """
    source: Any = stream
    if isinstance(source, Deferred):
        source = await source
    if isinstance(source, RemoteReference):
        source = stream_of(source)
    path = Path(path)
    try:
        begun = partial_size(path) if resume else 0
        target = _Target(path, resume=resume)
        return await _copy(source, target, begun, most, reporter_of(progress))
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


async def _copy(
    stream: AsyncIterable[bytes], target: _Target, begun: int, most: int | None, report: Reporter
) -> int:
    size = stream.size if isinstance(stream, RemoteStream | Stream) else None
    items = stream.items if isinstance(stream, Stream) else stream
    total = None if size is None else begun + size
    _check_size(total or begun, most)
    done = begun
    try:
        await in_thread(target.open)
        async for data in items:
            if not isinstance(data, bytes | bytearray | memoryview):
                raise TypeError(f"a file has bytes, and the stream has a {type(data).__name__}")
            done += len(data)
            _check_size(done, most)
            await in_thread(target.write, data)
            report(done, total)
        if size is not None and done - begun != size:
            raise EOFError(f"{done - begun} of {size} bytes came")
        await in_thread(target.finish)
    except BaseException:
        await in_thread(target.give_up)
        raise
    return done - begun


def _check_size(size: int, most: int | None) -> None:
    if most is not None and size > most:
        error = TooLarge(f"file of more than {most} bytes (most)")
        error.limit, error.most, error.got = "most", most, size
        raise error


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


class _Target:
    """The file that is written, until it has its name.

    Args:
        path: its name at the end.
        resume: whether it may exist, and is kept after an error.
    """

    _file: BinaryIO

    def __init__(self, path: Path, *, resume: bool):
        self._is_open = False
        self._path = path
        self._resume = resume
        name = f".{path.name[:100]}.{secrets.token_hex(8)}.tmp"
        self._beside = _partial(path) if resume else path.with_name(name)

    def open(self) -> None:
        """Open the file, or make it."""
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        flags |= os.O_APPEND if self._resume else os.O_EXCL
        self._file = open(os.open(self._beside, flags, 0o600), "ab", 0)  # noqa: SIM115 - see end
        self._is_open = True

    def write(self, data: bytes) -> None:
        """Append bytes."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def finish(self) -> None:
        """Give the file its name."""
        os.fsync(self._file.fileno())
        self._file.close()
        os.chmod(self._beside, _mode_of(self._path))
        os.replace(self._beside, self._path)

    def give_up(self) -> None:
        """Remove the file, or keep what came."""
        if not self._is_open:
            return
        self._file.close()
        if not self._resume:
            with suppress(OSError):
                self._beside.unlink()


_umask = threading.Lock()


def _mode_of(path: Path) -> int:
    """Return the mode of a file, or that of a new one."""
    with suppress(FileNotFoundError):
        return path.stat().st_mode & 0o777
    # It can only be read by setting it; what another thread makes meanwhile is its owner's alone.
    with _umask:
        mask = os.umask(0o077)
        os.umask(mask)
    return 0o666 & ~mask


async def in_thread(function: Callable[..., Result], *args: object) -> Result:
    """Call a function in a worker thread; if cancelled, wait for its end first."""
    called = asyncio.get_running_loop().run_in_executor(None, function, *args)
    try:
        return await asyncio.shield(called)
    except asyncio.CancelledError:
        await asyncio.wait([called])
        raise

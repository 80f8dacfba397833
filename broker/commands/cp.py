"""The command ``cp``: copies one file to a server that offers `broker.Files`, or from it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.markup import escape

from broker.commands.asking import RAISED, question, statuses
from broker.commands.identity import Identity, client_options, plaintext_option, timeout_option
from broker.commands.profiles import ClientCommand
from broker.commands.wording import shown
from broker.errors import (
    CallTimeout,
    ConfigError,
    Disconnected,
    Error,
    FileRefused,
    ProtocolError,
    TLSError,
)
from broker.files import PIECE, in_thread, partial_size, read_file, write_file
from broker.flavors.reference import RemoteReference
from broker.flavors.streams import Stream, stream_of
from broker.folders.open_files import OpenFile
from broker.net.schemes import Location, SocketPath, WebPlace, parse_address
from broker.progress import Progress, bar

__all__ = ["cp"]

_FROM_CONNECTION = (CallTimeout, Disconnected, Error, ProtocolError, TLSError)
_LONGEST_SHOWN = 40
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@click.command(cls=ClientCommand)
@click.argument("source")
@click.argument("target")
@client_options
@timeout_option("connecting, for each answer, and without progress")
@click.option(
    "--resume", is_flag=True, help="Keep what came after an error, and go on there the next time."
)
@plaintext_option
def cp(
    source: str,
    target: str,
    timeout: float,
    resume: bool,
    insecure_plaintext: bool,
    **options: Any,
) -> None:
    """Copy the file SOURCE to TARGET; one of them is at a server, such as pbs://host/name.

    The server offers broker.Files: as its root if it has no login, else as the avatar. The copy
    gets its name when it is complete. The exit status is that of ``pb call``; it is also 1 if the
    server refuses the name or the file, or if the file of this machine cannot be read or written.
    """
    with statuses("cp", timeout):
        there = _remote(source), _remote(target)
        if there[0] is not None and there[1] is None:
            remote = there[0]
            copy: _Copy = _Download(remote.name, _local_target(target, remote.name), resume)
        elif there[1] is not None and there[0] is None:
            remote = there[1]
            path = _local_source(source)
            name = f"{remote.name}{path.name}" if remote.name[-1:] in ("", "/") else remote.name
            copy = _Upload(name, path, resume)
        else:
            raise click.UsageError(
                "give one file of this machine and one of a server, such as pbs://host/name"
            )
        run = _Run(copy, timeout)
        identity = Identity(**options)
        ask = question(remote.address, identity, timeout, insecure_plaintext, run.ask, run.use)
        try:
            with _bar(copy.name) as run.progress:
                ask()
        except _LocalError as error:
            click.echo(f"pb cp: {shown(str(error))}", err=True)
            sys.exit(RAISED)


class _LocalError(Exception):
    """The file of this machine cannot be read or written."""


class _Remote(NamedTuple):
    """A file of a server."""

    address: str
    name: str


def _remote(text: str) -> _Remote | None:
    """Return the server and the name in an argument; None if it is a path of this machine.

    The address ends at the first slash at which it can; that of a UNIX socket ends at a socket, and
    that of a WebSocket at two slashes, if there are two.

    Raises:
        ConfigError: it is not an address.
    """
    scheme, mark, rest = text.partition("://")
    if not mark or not scheme.replace("+", "").isalnum():
        return None
    before, ends, name = rest.partition("//")
    if ends and isinstance(parse_address(f"{scheme}{mark}{before}"), WebPlace):
        return _Remote(f"{scheme}{mark}{before}", name)
    parts = rest.split("/")
    for end in range(1, len(parts) + 1):
        address = f"{scheme}{mark}{'/'.join(parts[:end])}"
        with contextlib.suppress(ConfigError):
            if _can_be_there(parse_address(address)):
                return _Remote(address, "/".join(parts[end:]))
    parse_address(text)
    return _Remote(text, "")


def _can_be_there(location: Location) -> bool:
    """Whether a location is a host, or a socket of this machine."""
    if not isinstance(location, SocketPath):
        return True
    try:
        return stat.S_ISSOCK(os.stat(location.path).st_mode)
    except OSError:
        return False


def _local_source(text: str) -> Path:
    """Return the path of a file to read.

    Raises:
        UsageError: it is not a file.
    """
    path = Path(text)
    if not path.is_file():
        raise click.UsageError(f"there is no file {text}")
    return path


def _local_target(text: str, name: str) -> Path:
    """Return the path of a file to write.

    Raises:
        UsageError: the remote file has no name, or no file can have that path.
    """
    last = name.rpartition("/")[2]
    if last in ("", ".", ".."):
        raise click.UsageError("the file of the server has no name")
    is_folder = os.path.isdir(text)
    path = Path(os.path.realpath(Path(text, last) if is_folder else text))
    if not path.parent.is_dir() or (text.endswith(("/", os.sep)) and not is_folder):
        raise click.UsageError(f"there is no folder for {text}")
    if path.exists() and not path.is_file():
        # It would be replaced, even if it is a device.
        raise click.UsageError(f"{path} is not a regular file")
    return path


@contextlib.contextmanager
def _bar(name: str) -> Iterator[Progress | None]:
    """Show a bar during the block if the standard error is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with bar(description=escape(shown(name.rpartition("/")[2], _LONGEST_SHOWN))) as progress:
        yield progress


class _Copy:
    """A copy to be made.

    Args:
        name: of the file at the server.
        path: of the file here.
        resume: whether to go on with what came the last time.
    """

    def __init__(self, name: str, path: Path, resume: bool):
        self.name = name
        self._path = path
        self._resume = resume

    async def begin(self, files: RemoteReference) -> Callable[[Progress], Awaitable[object]]:
        """Ask what is there, and return the function that copies the rest.

        Args:
            files: the object of the server.
        """
        raise NotImplementedError


class _Download(_Copy):
    """A copy from the server."""

    async def begin(self, files: RemoteReference) -> Callable[[Progress], Awaitable[object]]:
        """Ask for the file from where the last copy has ended."""
        start = partial_size(self._path) if self._resume else 0
        partial = self._path.with_name(f"{self._path.name}.part")
        if start and not await _is_same(files, self.name, partial, start):
            partial.unlink()
            start = 0
        stream = stream_of(await files.callRemote("read", self.name, start))

        async def copy(progress: Progress) -> None:
            # The server cannot send more than it has told.
            most = None if stream.size is None else start + stream.size
            with _local_errors("write", self._path):
                await write_file(
                    stream, self._path, most=most, progress=progress, resume=self._resume
                )

        return copy


class _Upload(_Copy):
    """A copy to the server."""

    async def begin(self, files: RemoteReference) -> Callable[[Progress], Awaitable[object]]:
        """Ask what the server has kept."""
        # The server refuses a wrong name now, before it gets any bytes.
        kept: int = await files.callRemote("partial", self.name)
        start = await self._start(files, kept) if self._resume else None

        async def copy(progress: Progress) -> None:
            with _local_errors("read", self._path):
                file = OpenFile(os.open(self._path, _READ))
                file.seek(start or 0)
            errors: list[BaseException | None] = []
            items = _read(file, start or 0, progress, errors)
            try:
                stream = Stream(items, size=file.size - (start or 0))
                await files.callRemote("write", self.name, stream, start)
            except Error:
                with _local_errors("read", self._path):
                    for error in filter(None, errors):
                        raise error from None
                raise
            finally:
                file.close()

        return copy

    async def _start(self, files: RemoteReference, kept: int) -> int:
        """Return where to begin: behind the bytes that are kept, if they are those of the file."""
        is_same = kept and await _is_same(files, self.name, self._path, kept, is_partial=True)
        return kept if is_same else 0


async def _read(
    file: OpenFile, done: int, progress: Progress, errors: list[BaseException | None]
) -> AsyncGenerator[bytes]:
    """Yield the bytes of a file from ``done`` to the size that was told to the server."""
    try:
        while data := await in_thread(file.read, min(PIECE, file.size - done)):
            yield data
            done += len(data)
            progress.report(done, file.size)
    except Error as error:
        # The server gets it, too, and its answer does not say what it was.
        errors.append(error.__cause__)
        raise
    finally:
        file.close()


async def _is_same(
    files: RemoteReference, name: str, path: Path, size: int, *, is_partial: bool = False
) -> bool:
    """Whether the first bytes of a file here are those of the file at the server."""
    try:
        theirs = await files.callRemote("digest", name, size, is_partial)
    except FileRefused:
        # It has fewer bytes.
        return False
    with _local_errors("read", path):
        if path.stat().st_size < size:
            return False
        ours = hashlib.sha256()
        left = size
        async for piece in read_file(path, PIECE * 16).items:
            ours.update(piece[:left])
            left -= min(left, len(piece))
            if not left:
                break
    return bool(theirs == ours.hexdigest())


@contextlib.contextmanager
def _local_errors(verb: str, path: Path) -> Iterator[None]:
    """Tell an error of this machine's file as that, not as one of the server."""
    try:
        yield
    except OSError as error:
        if isinstance(error, _FROM_CONNECTION):
            raise
        raise _LocalError(f"cannot {verb} {path}: {error.strerror or error}") from error


class _Run:
    """Makes a copy, and ends it if it makes no progress.

    Args:
        copy: the copy.
        timeout: seconds without progress.

    Attributes:
        progress: is told of the bytes, if it is set.
    """

    def __init__(self, copy: _Copy, timeout: float):
        self._copy = copy
        self._timeout = timeout
        self.progress: Progress | None = None
        self._limit: asyncio.Timeout | None = None

    async def ask(self, files: RemoteReference) -> Callable[[Progress], Awaitable[object]]:
        """Begin the copy."""
        return await self._copy.begin(files)

    async def use(self, copy: Callable[[Progress], Awaitable[object]]) -> None:
        """Copy the bytes.

        Raises:
            CallTimeout: none were copied for some time.
        """
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                self._limit = limit
                await copy(self)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise CallTimeout(f"no progress in {self._timeout:g} s") from error

    def report(self, done: float, total: float | None = None, note: str = "") -> None:
        """Take note of how far it is."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._timeout)
        if self.progress is not None:
            self.progress.report(done, total, note)

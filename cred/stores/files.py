"""A store of users in one text file, for a machine with some thousands of users.

Theory of operation. The first line has a header, the version, and the secret of the store. Then
there is a line for each user: name, ``enabled`` or ``disabled``, groups, verifier, separated by
tabs. Names and verifiers cannot have a tab or the end of a line, see `cred.users.User`.

The whole file is read, and read again when it has changed. It is never changed in place: a new file
is written beside it, synced to the disk and renamed over it. So a reader, and a machine after a
power failure, has either the old file or the new one. Writers hold a lock on a second file,
``….lock``, which stays: a lock on the first file would be on a file that is about to be replaced.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from broker.file_stamp import FileStamp, stamp_of
from cred.stores import HEADER
from cred.stores.privacy import check_private
from cred.users import (
    NoSuchUser,
    StoreCorrupt,
    StoreUnavailable,
    User,
    UserChanged,
    UserExists,
)

__all__ = ["LOCK_TIMEOUT", "MAX_SIZE", "FileStore"]

MAX_SIZE: Final = 64 * 1024 * 1024
"""The most bytes of a file; a larger one is not read."""

LOCK_TIMEOUT: Final = 5.0
"""The seconds that a writer waits for another writer."""

_VERSION: Final = 1
_FIRST_LINE: Final = re.compile(rf"{HEADER} ([0-9]{{1,9}})(?: ([0-9a-f]{{32,128}}))?")
_STATES: Final = {"enabled": False, "disabled": True}


class _Content(NamedTuple):
    """The contents of a file."""

    secret: bytes
    users: dict[str, User]
    stamp: FileStamp | None = None


class FileStore:
    """Users in a password file; a `cred.users.UserStore`.

    Args:
        path: the path of the file.
        create: make the file, readable by its owner only, if it does not exist.
        lock_timeout: seconds to wait for another writer.

    Raises:
        ConfigError, StoreUnavailable, StoreCorrupt: as in every method.
    """

    def __init__(
        self, path: str, *, create: bool = False, lock_timeout: float = LOCK_TIMEOUT
    ) -> None:
        self._path = path
        self._lock_timeout = lock_timeout
        self._cached: _Content | None = None
        if create and not os.path.lexists(path):
            with self._locked():
                if not os.path.lexists(path):
                    self._write(_Content(secrets.token_bytes(16), {}))
        self._read()

    def secret(self) -> bytes:
        """Return the random bytes of the first line."""
        return self._read().secret

    def find(self, name: str) -> User | None:
        """Return the user of that name, or None."""
        return self._read().users.get(name)

    def add(self, user: User) -> None:
        """Add a user; UserExists if there is one of that name."""

        def change(users: dict[str, User]) -> None:
            if user.name in users:
                raise UserExists("there is a user of that name already")
            users[user.name] = user

        self._change(change)

    def replace(self, user: User, was: User | None = None) -> None:
        """Replace the user of the same name; or raise NoSuchUser or UserChanged."""

        def change(users: dict[str, User]) -> None:
            if user.name not in users:
                raise NoSuchUser("there is no user of that name")
            if was is not None and users[user.name] != was:
                raise UserChanged("the user has been changed meanwhile; try again")
            users[user.name] = user

        self._change(change)

    def remove(self, name: str) -> None:
        """Remove the user of that name; or raise NoSuchUser."""

        def change(users: dict[str, User]) -> None:
            if users.pop(name, None) is None:
                raise NoSuchUser("there is no user of that name")

        self._change(change)

    def users(self) -> Iterator[User]:
        """Yield all users, in the order of their names, as they were when this was called."""
        users = self._read().users
        return (users[name] for name in sorted(users))

    def refused(self, names: Collection[str]) -> set[str]:
        """Return those of these users who are disabled, or not in the file."""
        users = self._read().users
        return {name for name in names if (user := users.get(name)) is None or user.is_disabled}

    def stamp(self) -> object:
        """Return a value that differs after every change of the file."""
        return self._read().stamp

    def close(self) -> None:
        """Forget the contents; no file is open between two calls."""
        self._cached = None

    def _change(self, change: Callable[[dict[str, User]], None]) -> None:
        with self._locked():
            content = self._read()
            users = dict(content.users)
            change(users)
            self._write(content._replace(users=users))

    def _read(self) -> _Content:
        try:
            with open(self._path, "rb", opener=_open_at_once) as file:
                status = os.fstat(file.fileno())
                check_private(self._path, status, os.geteuid())
                stamp = stamp_of(status)
                cached = self._cached
                if cached is not None and cached.stamp == stamp:
                    return cached
                data = file.read(MAX_SIZE + 1)
        except FileNotFoundError as error:
            raise StoreUnavailable(
                f"{self._path} does not exist; make it with:"
                f" pb users add NAME --store file:{self._path}"
            ) from error
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be read: {error.strerror}") from error
        if len(data) > MAX_SIZE:
            raise StoreCorrupt(f"{self._path} is larger than {MAX_SIZE} bytes")
        content = _parse(self._path, data)._replace(stamp=stamp)
        self._cached = content
        return content

    def _write(self, content: _Content) -> None:
        # If the path is a symbolic link, the file that it points to is replaced.
        path = os.path.realpath(self._path)
        folder = os.path.dirname(path)
        try:
            # mkstemp makes it readable by its owner only.
            descriptor, temporary = tempfile.mkstemp(".tmp", f".{os.path.basename(path)}.", folder)
            try:
                with open(descriptor, "wb") as file:
                    file.write(_format(content))
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary)
            _sync_folder(folder)
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be written: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = f"{os.path.realpath(self._path)}.lock"
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{self._path} cannot be written: {error.strerror}") from error
        with open(descriptor, "rb") as file:
            self._wait_for(file.fileno())
            yield

    def _wait_for(self, descriptor: int) -> None:
        until = time.monotonic() + self._lock_timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise StoreUnavailable(
                        f"{self._path} is locked: another process has been writing it for"
                        f" {self._lock_timeout:g} s; see who has {self._path}.lock open"
                    ) from error
                # flock has no timeout; this blocks only a worker thread.
                time.sleep(0.01)
            else:
                return


def _parse(path: str, data: bytes) -> _Content:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise StoreCorrupt(f"{path}, line {number}: not UTF-8") from None
    first, *lines = text.split("\n")
    match = _FIRST_LINE.fullmatch(first)
    if match is None:
        raise StoreCorrupt(f"{path}, line 1: not the first line of a store of users")
    if int(match[1]) != _VERSION:
        raise StoreCorrupt(
            f"{path} is of version {int(match[1])}; this program knows version {_VERSION}"
        )
    if match[2] is None:
        raise StoreCorrupt(f"{path}, line 1: it is cut off")
    if not text.endswith("\n"):
        raise StoreCorrupt(f"{path}, line {1 + len(lines)}: it is cut off")
    lines.pop()
    return _Content(bytes.fromhex(match[2]), _parse_users(path, lines))


def _parse_users(path: str, lines: list[str]) -> dict[str, User]:
    users: dict[str, User] = {}
    for number, line in enumerate(lines, 2):
        try:
            name, state, groups, verifier = line.split("\t")
            user = User(
                name,
                verifier or None,
                frozenset(groups.split(",")) if groups else frozenset(),
                _STATES[state],
            )
        except (ValueError, KeyError):
            # Without the text of the cause or the line: it may be a password in the wrong place.
            raise StoreCorrupt(
                f"{path}, line {number}: not a user: name, enabled or disabled, groups, verifier,"
                " with a tab between each two"
            ) from None
        if name in users:
            raise StoreCorrupt(f"{path}, line {number}: a user who has a line already")
        users[name] = user
    return users


def _format(content: _Content) -> bytes:
    lines = [f"{HEADER} {_VERSION} {content.secret.hex()}"]
    for _, user in sorted(content.users.items()):
        state = "disabled" if user.is_disabled else "enabled"
        groups = ",".join(sorted(user.groups))
        lines.append(f"{user.name}\t{state}\t{groups}\t{user.verifier or ''}")
    return "".join(f"{line}\n" for line in lines).encode()


def _open_at_once(path: str, flags: int) -> int:
    # Opening a named pipe would wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

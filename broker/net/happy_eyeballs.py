"""Happy Eyeballs (RFC 8305): connects to the address of a host that answers first.

The addresses of the two families alternate, starting with the family that the system prefers. An
attempt begins when the one before has failed, or has had no answer for 0.25 s; earlier attempts
continue. The first one that succeeds is used, and the others are closed.

A connection within one machine is complete as soon as it is begun. If the caller wants that, its
outcome is asked for at once, before waiting for the loop.
"""

from __future__ import annotations

import asyncio
import builtins
import errno
import os
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any, TypeAlias

from broker.net.scheduler import expire_at
from broker.net.socket_addresses import is_loopback
from broker.net.stream_socket import StreamSocket

__all__ = [
    "ATTEMPT_DELAY",
    "Local",
    "Resolved",
    "connect_first",
    "connect_here",
    "interleaved",
    "is_here",
]

ATTEMPT_DELAY = 0.25
"""Seconds without an answer after which the next address is tried too."""

Resolved: TypeAlias = tuple[int, int, int, str, Any]
"""An address, as ``socket.getaddrinfo`` returns it."""

Local: TypeAlias = tuple[str, int]
"""The address of this end, as ``(host, port)``."""


def interleaved(resolved: Iterable[Resolved]) -> list[Resolved]:
    """Return addresses in the order in which to try them: alternating families, in their order."""
    families: dict[int, list[Resolved]] = {}
    for entry in resolved:
        families.setdefault(entry[0], []).append(entry)
    rounds = zip_longest(*families.values())
    return [entry for entry in chain.from_iterable(rounds) if entry is not None]


async def connect_first(
    resolved: Sequence[Resolved],
    *,
    ends: float | None = None,
    local: Local | None = None,
    delay: float = ATTEMPT_DELAY,
) -> socket.socket:
    """Return a socket that is connected to one of the addresses.

    Args:
        resolved: the addresses to try, at least one.
        ends: when to give up, by the clock of the loop; None for no limit.
        local: the address to connect from.
        delay: seconds after which the next address is tried too.

    Raises:
        OSError: no attempt succeeded. The error is that of the system, preferably a refusal, or a
            TimeoutError if no address has answered in time.
    """
    race = _Race(interleaved(resolved), local)
    limit = asyncio.timeout(None)
    timer = None if ends is None else expire_at(limit, ends)
    try:
        async with limit:
            if (connected := await race.run(delay)) is not None:
                return connected
    except builtins.TimeoutError as exc:
        race.errors.append(exc)
    finally:
        if timer is not None:
            timer.cancel()
        race.close()
    raise min(race.errors, key=lambda exc: not isinstance(exc, builtins.ConnectionRefusedError))


def is_here(resolved: Sequence[Resolved]) -> bool:
    """Return whether the addresses are one address of this machine, for `connect_here`."""
    if len(resolved) != 1 or not _IS_POSIX:
        # On Windows the loop must begin the attempt itself.
        return False
    address = resolved[0][4]
    return not isinstance(address, tuple) or is_loopback(address[0])


async def connect_here(
    resolved: Sequence[Resolved], *, ends: float | None = None, local: Local | None = None
) -> socket.socket:
    """Do the same for one address of this machine; wait only if it does not answer at once."""
    (entry,) = resolved
    sock = _socket_for(entry, local)
    try:
        if not _is_connected(sock, entry[4]):
            # The queue of the listening socket is full.
            async with asyncio.timeout_at(ends):
                await _finish(sock, entry[4])
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            # Others have their turn, even if the caller tries again at once, without end.
            await asyncio.sleep(0)
        raise
    return sock


class _Race:
    """The running attempts to connect to one host.

    Attributes:
        errors: the errors of the failed attempts.
    """

    def __init__(self, resolved: Iterable[Resolved], local: Local | None):
        self.errors: list[OSError] = []
        self._waiting = deque(resolved)
        self._local = local
        self._running: set[asyncio.Task[socket.socket]] = set()

    async def run(self, delay: float) -> socket.socket | None:
        """Return the first socket that is connected; None when no attempt is left."""
        while self._waiting or self._running:
            if self._waiting:
                attempt = _connected(self._waiting.popleft(), self._local)
                if not self._waiting and not self._running:
                    # The last attempt does not need a task: no other attempt runs.
                    try:
                        return await attempt
                    except OSError as exc:
                        self.errors.append(exc)
                        return None
                self._running.add(asyncio.create_task(attempt))
            done, _ = await asyncio.wait(
                self._running,
                timeout=delay if self._waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                self._running.discard(task)
                try:
                    return task.result()
                except OSError as exc:
                    self.errors.append(exc)
        return None

    def close(self) -> None:
        """Cancel the running attempts, and close the sockets that they have connected."""
        for task in self._running:
            task.cancel()
            task.add_done_callback(_close_late)


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connected(entry: Resolved, local: Local | None) -> socket.socket:
    sock = _socket_for(entry, local)
    try:
        await asyncio.get_running_loop().sock_connect(sock, entry[4])
    except BaseException:
        sock.close()
        raise
    return sock


def _socket_for(entry: Resolved, local: Local | None) -> socket.socket:
    sock = StreamSocket(*entry[:3])
    try:
        sock.setblocking(False)
        if local is not None:
            sock.bind(local)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_connected(sock: socket.socket, address: Any) -> bool:
    """Begin to connect, and return whether the connection is complete.

    Raises:
        OSError: the attempt has failed.
    """
    for _ in range(2):
        number = sock.connect_ex(address)
        if number in _CONNECTED:
            return True
        if number not in _UNDER_WAY:
            raise OSError(number, os.strerror(number))
    return False


async def _finish(sock: socket.socket, address: Any) -> None:
    """Wait until an attempt that has begun is complete."""
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except OSError as exc:
        # The loop asks again first. A system may call the complete connection an error then.
        if exc.errno != errno.EISCONN:
            raise


_IS_POSIX = os.name == "posix"

_CONNECTED = frozenset({0, errno.EISCONN})
_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN, errno.EINTR})

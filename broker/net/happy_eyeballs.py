"""Happy Eyeballs (RFC 8305): connects to whichever address of a host answers first.

The addresses of the two families take turns, the family that the system prefers first. An attempt
begins when the one before has failed, or has had no answer for 0.25 s; those that have begun go on.
The first that succeeds wins, and the others are closed.
"""

from __future__ import annotations

import asyncio
import builtins
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import chain, zip_longest
from typing import Any, TypeAlias

__all__ = ["ATTEMPT_DELAY", "Local", "Resolved", "connect_first", "interleaved"]

ATTEMPT_DELAY = 0.25
"""Seconds without an answer after which the next address is tried too."""

Resolved: TypeAlias = tuple[int, int, int, str, Any]
"""An address, as ``socket.getaddrinfo`` returns it."""

Local: TypeAlias = tuple[str, int]
"""The address of this end, as ``(host, port)``."""


def interleaved(resolved: Iterable[Resolved]) -> list[Resolved]:
    """Return addresses in the order in which to try them: families alternate, the first first."""
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
        resolved: where to, one address at least.
        ends: when to give up, by the clock of the loop; None for never.
        local: what to connect from.
        delay: seconds after which the next address is tried too.

    Raises:
        OSError: none was reached: what the system said, a refusal rather than anything else; a
            TimeoutError if no address has answered when time was up.
    """
    race = _Race(interleaved(resolved), local)
    try:
        async with asyncio.timeout_at(ends):
            if (connected := await race.run(delay)) is not None:
                return connected
    except builtins.TimeoutError as exc:
        race.errors.append(exc)
    finally:
        race.close()
    raise min(race.errors, key=lambda exc: not isinstance(exc, builtins.ConnectionRefusedError))


class _Race:
    """The attempts that are under way to connect to one host.

    Attributes:
        errors: of those that have failed.
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
                    # The last one needs no task: nothing runs beside it.
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
        """Give up the attempts that are still under way, and close what they have reached."""
        for task in self._running:
            task.cancel()
            task.add_done_callback(_close_late)


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connected(entry: Resolved, local: Local | None) -> socket.socket:
    family, kind, proto, _, address = entry
    sock = socket.socket(family, kind, proto)
    with ExitStack() as undo:
        undo.callback(sock.close)
        sock.setblocking(False)
        if local is not None:
            sock.bind(local)
        await asyncio.get_running_loop().sock_connect(sock, address)
        undo.pop_all()
    return sock

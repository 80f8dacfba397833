"""Accepts stream connections: each new one gets its own transport.

Theory of operation. When the process has no file descriptor left, ``accept`` fails, and goes on
failing: a loop that only watched the socket would spin. So accepting pauses for a second, again and
again until all waiting connections are accepted. This is logged once. The kernel queues the waiting
connections. Open connections are not affected.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from broker.net.adopting import adopt_accepted, adopt_at_once
from broker.net.log_throttle import LogThrottle
from broker.net.scheduler import scheduler_of
from broker.net.socket_addresses import Address, UNIXAddress, address_of, is_unix
from broker.net.stream_socket import accepted_by
from broker.net.transports import StreamTransport

__all__ = ["PAUSE", "Listener", "MakeTransport"]

PAUSE = 1.0
"""Seconds without accepting after ``accept`` has failed: no file descriptor left, or no memory."""

# Connections to accept before other events are handled. A new connection costs as much as ten
# calls, and a login takes several turns of the loop. With 16, a flood of connections from many
# addresses makes other clients wait 300 ms; with 8 they wait 130 ms (row S17 of `make attacks`).
_MOST_AT_ONCE = 8

_logger = logging.getLogger("broker.net")

MakeTransport: TypeAlias = Callable[[], StreamTransport]


class Listener:
    """Listening sockets whose connections are accepted.

    Args:
        sockets: bound and listening; owned from now on.
        new: makes the transport of a connection.
        loop: the event loop, which need not run yet.
        log_throttle: limits the log records about connections that cannot be accepted.
        removes_paths: whether `close` removes the files of UNIX sockets.

    Attributes:
        addresses: the addresses of the sockets, with the real ports.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        new: MakeTransport,
        loop: asyncio.AbstractEventLoop,
        log_throttle: LogThrottle | None = None,
        *,
        removes_paths: bool = True,
    ):
        self._removes_paths = removes_paths
        self._log_throttle = (
            LogThrottle(scheduler_of(loop)) if log_throttle is None else log_throttle
        )
        self.addresses: tuple[Address, ...] = tuple(
            address_of(sock.family, sock.getsockname()) for sock in sockets
        )
        self._sockets = tuple(sockets)
        self._new = new
        self._loop = loop
        self._adopting: set[asyncio.Task[Any]] = set()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self._is_exhausted = False
        self._servers: list[asyncio.AbstractServer] = []
        self._serving: asyncio.Task[None] | None = None
        try:
            for sock in self._sockets:
                loop.add_reader(sock, self._accept, sock)
        except NotImplementedError:
            # A proactor loop cannot watch a socket. Its servers accept, and pause by themselves.
            self._serving = loop.create_task(self._serve())

    def close(self) -> None:
        """Stop accepting and close the sockets; accepted connections stay open."""
        for pause in self._pauses.values():
            pause.cancel()
        if self._serving is not None:
            self._serving.cancel()
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            if sock.fileno() >= 0 and self._serving is None:
                self._loop.remove_reader(sock)
            sock.close()
        for address in self.addresses:
            if self._removes_paths and isinstance(address, UNIXAddress):
                with suppress(OSError):
                    os.unlink(address.name)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                sock = accepted_by(listening)
            except BlockingIOError:
                # No connection waits any more. If descriptors run out again, that is logged again.
                self._is_exhausted = False
                return
            except (InterruptedError, ConnectionAbortedError):
                continue
            except OSError as exc:
                self._pause(listening, exc)
                return
            self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        try:
            transport = self._new()
            if adopt_at_once(self._loop, sock, transport):
                return
        except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
            self._could_not_take(sock, exc)
            return
        task = self._loop.create_task(self._adopt(sock, transport))
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    async def _adopt(self, sock: socket.socket, transport: StreamTransport) -> None:
        try:
            await adopt_accepted(self._loop, sock, transport)
        except Exception as exc:  # noqa: BLE001 - logged, and ends nothing else
            self._could_not_take(sock, exc)

    def _could_not_take(self, sock: socket.socket, exc: Exception) -> None:
        self._log_throttle.log_error(_logger, None, "a connection could not be taken", exc)
        sock.close()

    async def _serve(self) -> None:
        for sock in self._sockets:
            create: Any = self._loop.create_server
            if is_unix(sock.family):
                create = self._loop.create_unix_server
            self._servers.append(await create(lambda: self._new().receiver, sock=sock))

    def _pause(self, listening: socket.socket, exc: OSError) -> None:
        self._loop.remove_reader(listening)
        self._pauses[listening] = self._loop.call_later(PAUSE, self._resume, listening)
        if not self._is_exhausted:
            self._is_exhausted = True
            _logger.warning(
                "no connections are accepted for now: %s; trying again every %g s",
                os.strerror(exc.errno or 0).lower(),
                PAUSE,
            )

    def _resume(self, listening: socket.socket) -> None:
        del self._pauses[listening]
        self._loop.add_reader(listening, self._accept, listening)

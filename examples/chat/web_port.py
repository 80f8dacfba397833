"""Accepts the connections of web pages: so many at once, and each must ask for a page soon.

aiohttp alone waits for the first request of a connection as long as it takes. Connections that ask
for nothing would use up the descriptors of the process, which all front ends need.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Final

from aiohttp import web

from examples.chat.web_guard import source_of

__all__ = ["WebPort"]

MOST_CONNECTIONS: Final = 500
"""The most connections at once."""

MOST_EACH: Final = 50
"""The most connections of one source; those of a proxy of ours have no such limit."""

FIRST_REQUEST: Final = 20.0
"""The seconds in which a connection must send the head of its first request."""

HANDSHAKE: Final = 10.0
"""The seconds in which the handshake of TLS must be done."""

CLOSING: Final = 1.0
"""The seconds that browsers have to end their connections when the pages are closed."""

RETRY: Final = 0.5
"""The seconds without accepting after the system has refused to accept a connection."""


class WebPort:
    """A listening socket, whose connections are served by aiohttp; accepts from the start.

    Args:
        server: makes the protocol of each connection.
        sock: listens.
        tls: returns the settings of TLS for a new connection; None for a port without TLS.
        has_sources: whether the connections come from the browsers themselves.
    """

    def __init__(
        self,
        server: web.Server,
        sock: socket.socket,
        tls: Callable[[], ssl.SSLContext] | None,
        *,
        has_sources: bool,
    ):
        self._server, self._sock, self._tls = server, sock, tls
        self._has_sources = has_sources
        self._loop = asyncio.get_running_loop()
        # The sources of the connections whose handshake is going on.
        self._opening: dict[asyncio.Task[None], str] = {}
        # Those of the others, by handler. A transport that was closed twice does not tell its own.
        self._opened_by: dict[object, str] = {}
        self._silent: dict[object, asyncio.TimerHandle] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        sock.setblocking(False)
        self._loop.add_reader(sock, self._accept)

    def asked(self, request: web.Request) -> None:
        """Note that the connection of a request is in use; aiohttp closes it when it is idle."""
        timer = self._silent.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()

    async def close(self) -> None:
        """Accept no more; connections that ask for pages are left to aiohttp.

        It may be called twice.
        """
        if self._sock.fileno() == -1:
            return
        self._loop.remove_reader(self._sock)
        self._sock.close()
        if self._pause is not None:
            self._pause.cancel()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for timer in self._silent.values():
            timer.cancel()
        self._silent.clear()

    async def cut(self) -> None:
        """Wait until the connections have ended that aiohttp has closed; then cut the others off.

        With TLS, a connection ends when the browser has answered, or after `CLOSING` seconds.
        """
        ends = self._loop.time() + 2 * CLOSING
        while any(map(_is_open, self._sockets)) and self._loop.time() < ends:
            await asyncio.sleep(0.01)
        for transport in list(self._transports):
            transport.abort()
        # An aborted transport closes its socket in the next turn.
        await asyncio.sleep(0)

    def _accept(self) -> None:
        try:
            connection, address = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # No descriptors are left; a try in each turn of the loop would keep it busy.
            self._loop.remove_reader(self._sock)
            self._pause = self._loop.call_later(
                RETRY, self._loop.add_reader, self._sock, self._accept
            )
            return
        source = source_of(address[0])
        sources = list(self._sources())
        is_one_of_many = self._has_sources and sources.count(source) >= MOST_EACH
        if len(sources) >= MOST_CONNECTIONS or is_one_of_many:
            connection.close()
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._open(connection, source))
        self._opening[task] = source
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        del self._opening[task]

    def _sources(self) -> Iterator[str]:
        yield from self._opening.values()
        known = self._opened_by
        self._opened_by = {each: known.get(each, "") for each in self._server.connections}
        yield from self._opened_by.values()

    async def _open(self, connection: socket.socket, source: str) -> None:
        options: dict[str, Any] = {}
        if self._tls is not None:
            seconds = {"ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": CLOSING}
            options = {"ssl": self._tls(), **seconds}
        self._sockets.add(connection)
        try:
            transport, handler = await self._loop.connect_accepted_socket(
                self._server, connection, **options
            )
        except OSError:
            connection.close()
            return
        self._transports.add(transport)
        self._opened_by[handler] = source
        self._silent[handler] = self._loop.call_later(FIRST_REQUEST, self._late, transport, handler)

    def _late(self, transport: asyncio.Transport, handler: object) -> None:
        self._silent.pop(handler, None)
        transport.abort()


def _is_open(sock: socket.socket) -> bool:
    return sock.fileno() != -1

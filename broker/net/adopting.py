"""Gives a connected socket to the event loop.

In the default loop of asyncio, a `SocketSource` reads and writes the socket. A loop that watches
sockets in another way, or not at all, makes a transport of its own, in a coroutine.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from broker.net.socket_addresses import is_unix
from broker.net.socket_source import SocketSource
from broker.net.transports import StreamTransport

__all__ = ["adopt", "adopt_accepted", "adopt_at_once"]


def adopt_at_once(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, transport: StreamTransport
) -> bool:
    """Make the connection now, in a loop that needs no coroutine for that.

    Args:
        loop: the loop, which runs.
        sock: connected, and does not block.
        transport: the transport of the connection.

    Returns:
        Whether this is such a loop; else nothing has happened.
    """
    if type(loop).add_reader is not asyncio.SelectorEventLoop.add_reader:
        # It watches sockets in a way of its own; see `broker.net.socket_source` for uvloop.
        return False
    SocketSource(loop, sock, transport.receiver).start()
    return True


async def adopt(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, transport: StreamTransport
) -> None:
    """Make the connection of a client, in any loop."""
    if not adopt_at_once(loop, sock, transport):
        create: Any = loop.create_connection
        if is_unix(sock.family):
            create = loop.create_unix_connection
        await create(lambda: transport.receiver, sock=sock)
        _forget_closed(sock, transport)


async def adopt_accepted(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, transport: StreamTransport
) -> None:
    """Make an accepted connection, in a loop for which `adopt_at_once` has returned False."""
    await loop.connect_accepted_socket(lambda: transport.receiver, sock)
    _forget_closed(sock, transport)


def _forget_closed(sock: socket.socket, transport: StreamTransport) -> None:
    if transport.has_ended:
        # uvloop forgets a socket that is closed in connection_made. Its number may be another file
        # by now, and must not be closed again.
        sock.detach()

"""A socket whose family and type are plain numbers.

``socket.socket`` makes an enum of them each time that they are read, with four calls. asyncio and
``accept`` read them about ten times for each connection.
"""

from __future__ import annotations

import socket

__all__ = ["StreamSocket", "accepted_by"]


class StreamSocket(socket.socket):
    """A socket.

    Attributes:
        family, type: the numbers, which are equal to the members of the enums.
    """

    __slots__ = ()

    family = socket.SocketType.family  # type: ignore[assignment]
    type = socket.SocketType.type  # type: ignore[assignment]


def accepted_by(listening: socket.socket) -> socket.socket:
    """Accept one connection of a listening socket; return its socket, which does not block.

    It is a StreamSocket if the listening socket is one.

    Raises:
        OSError: as ``accept`` does.
    """
    sock, _ = listening.accept()
    if isinstance(listening, StreamSocket):
        # They have the same attributes, and this takes no call.
        sock.__class__ = StreamSocket
    sock.setblocking(False)
    return sock

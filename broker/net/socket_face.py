"""What a transport tells about its socket, and lets be set: addresses and TCP options."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from broker.net.addresses import Address, PipeAddress, UNIXAddress

__all__ = ["SocketFace"]

_NO_LINGER = struct.pack("ii", 1, 0)


class SocketFace:
    """The part of a transport that only asks the socket.

    Addresses stay known after the connection has ended; options are then neither read nor set.
    """

    __slots__ = ()

    connected: bool
    _transport: asyncio.Transport
    _peer: Address
    _host: Address

    def getPeer(self) -> Address:
        """Return the address of the other end."""
        return self._peer

    def getHost(self) -> Address:
        """Return the address of this end."""
        return self._host

    def getTcpNoDelay(self) -> bool:
        """Tell whether small writes leave at once; they do, unless somebody has set otherwise."""
        return self._option(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Let small writes leave at once, or let the kernel collect them."""
        self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def getTcpKeepAlive(self) -> bool:
        """Tell whether the kernel probes a quiet connection."""
        return self._option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Let the kernel probe a quiet connection, after the system's time (often two hours)."""
        self._set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    def _reset_on_close(self) -> None:
        """Let closing send a reset, so that the peer cannot take it for an orderly end."""
        self._set_option(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

    def _option(self, level: int, name: int) -> bool:
        return self._has_options() and bool(self._socket().getsockopt(level, name))

    def _set_option(self, level: int, name: int, value: int | bytes) -> None:
        if self._has_options():
            self._socket().setsockopt(level, name, value)

    def _has_options(self) -> bool:
        return self.connected and not isinstance(self._peer, UNIXAddress | PipeAddress)

    def _socket(self) -> Any:
        return self._transport.get_extra_info("socket")

"""What a transport does with its socket alone: addresses, TCP options, and the end of it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys
from typing import Any

from broker.errors import ConnectionDone, ConnectionLost
from broker.net import forks, tcp_keepalive
from broker.net.socket_addresses import Address, PipeAddress, UNIXAddress

__all__ = ["SocketOptions"]

_NO_LINGER = struct.pack("ii", 1, 0)


class SocketOptions:
    """The part of a transport that only deals with the socket.

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

    def watch_peer(self, silence: float, patience: float) -> None:
        """Have the kernel end a TCP connection whose peer is gone; see `dead_peers.watch`.

        Nothing happens on a UNIX socket or a pipe: their other end cannot vanish unnoticed.
        """
        if self._has_options():
            tcp_keepalive.watch(self._socket(), silence, patience)

    def _give_back(self) -> None:
        """Give up this process's copy of the socket, where there is a socket."""
        number = self._number()
        if self.connected and number >= 0:
            forks.give_back(number)

    def _what_ended(self, exc: Exception | None) -> Exception:
        """Say in our words why asyncio ended the connection, where nothing here did."""
        if exc is None:
            return ConnectionDone()
        number = getattr(exc, "errno", None)
        if number in (errno.ECONNRESET, errno.EPIPE):
            return ConnectionLost("the peer cut the connection")
        if number == errno.ETIMEDOUT:
            return ConnectionLost("the network lost the peer (TCP timeout)")
        return ConnectionLost(f"the network failed: {os.strerror(number) if number else exc}")

    def _shut_down(self) -> None:
        """End the connection now, in good order or by a reset, before the descriptor is closed.

        Closing ends it only if no other process has a copy of the descriptor.
        """
        number, face = self._number(), self._socket()
        if number < 0:
            return
        # uvloop's face of a socket has no ``shutdown``.
        sock = socket.socket(face.family, face.type, face.proto, fileno=number)
        try:
            if self._has_options() and _is_to_be_reset(sock):
                _reset(sock)
            else:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The peer has ended it already.
            pass
        finally:
            sock.detach()

    def _option(self, level: int, name: int) -> bool:
        return self._has_options() and bool(self._socket().getsockopt(level, name))

    def _set_option(self, level: int, name: int, value: int | bytes) -> None:
        if self._has_options():
            self._socket().setsockopt(level, name, value)

    def _has_options(self) -> bool:
        return self.connected and not isinstance(self._peer, UNIXAddress | PipeAddress)

    def _number(self) -> int:
        """Return the descriptor of the socket; -1 where there is none, as in memory or closed."""
        fileno = getattr(self._socket(), "fileno", None)
        return -1 if fileno is None else fileno()

    def _socket(self) -> Any:
        """Return what the loop shows of the socket; None where there is none."""
        return self._transport.get_extra_info("socket")


def _is_to_be_reset(sock: socket.socket) -> bool:
    size = len(_NO_LINGER)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, size) == _NO_LINGER


def _reset(sock: socket.socket) -> None:
    """Send a reset now, where the system can; elsewhere closing the last copy sends it.

    Linux does so when a TCP socket is connected to an address of no family, for which Python's own
    ``connect`` has no way.
    """
    if sys.platform != "linux":
        return
    import ctypes

    no_family = bytes(16)
    ctypes.CDLL(None).connect(sock.fileno(), no_family, len(no_family))

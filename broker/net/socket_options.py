"""The socket of a transport: its addresses, TCP options, and how it is closed."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import Any

from broker.errors import ConnectionDone, ConnectionLost, TLSError
from broker.net import forks, tcp_keepalive
from broker.net.filters import Source
from broker.net.socket_addresses import Address, PipeAddress, UNIXAddress, address_of

__all__ = ["SocketOptions", "unsent_in_kernel"]

if sys.platform == "linux":
    import fcntl

_SIOCOUTQ = 0x5411
_NO_LINGER = struct.pack("ii", 1, 0)


class SocketOptions:
    """Base of a transport with all that concerns only the socket.

    Addresses stay known after the connection has ended. Options are then not read or set.
    """

    __slots__ = ()

    connected: bool
    _source: Source
    _peer: Address

    def getPeer(self) -> Address:
        """Return the address of the other end."""
        return self._peer

    def getTcpNoDelay(self) -> bool:
        """Return whether small writes are sent at once; True unless the application changed it."""
        return self._option(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small writes at once, or let the kernel collect them."""
        self._set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def getTcpKeepAlive(self) -> bool:
        """Return whether the kernel probes an idle connection."""
        return self._option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Let the kernel probe an idle connection after the system's time (often two hours)."""
        self._set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    def _reset_on_close(self) -> None:
        """Send a reset on close, so that the peer cannot take it for an orderly end."""
        self._set_option(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

    def watch_peer(self, silence: float, wait: float) -> None:
        """Have the kernel end a TCP connection whose peer is gone; see `tcp_keepalive.watch`.

        Does nothing on a UNIX socket or a pipe: their other end cannot disappear unnoticed.
        """
        if self._has_options():
            tcp_keepalive.watch(self._socket(), silence, wait)

    def unsent_in_kernel(self) -> int | None:
        """Return how many bytes the kernel of the peer has not taken; None if it is not known.

        Only Linux tells it. Of a UNIX socket these are the bytes that the peer has not read.
        """
        return unsent_in_kernel(self._number()) if self.connected else None

    def _give_back(self) -> None:
        """Give up this process's copy of the socket, if there is a socket."""
        number = self._number()
        if self.connected and number >= 0:
            forks.give_back(number)

    def _what_ended(self, exc: Exception | None) -> Exception:
        """Return the error for an end that the source reported and this process did not cause."""
        if exc is None:
            return ConnectionDone()
        if isinstance(exc, ConnectionLost | TLSError):
            return exc
        number = getattr(exc, "errno", None)
        if number in (errno.ECONNRESET, errno.EPIPE):
            return ConnectionLost("the peer cut the connection")
        if number == errno.ETIMEDOUT:
            return ConnectionLost("the network lost the peer (TCP timeout)")
        return ConnectionLost(f"the network failed: {os.strerror(number) if number else exc}")

    def _shut_down(self) -> None:
        """Shut the connection down, orderly or by a reset, before the descriptor is closed.

        Closing the descriptor ends the connection only if no other process has a copy of it.
        """
        number, shown = self._number(), self._socket()
        if number < 0:
            return
        # The socket object that uvloop shows has no ``shutdown``.
        sock = socket.socket(shown.family, shown.type, shown.proto, fileno=number)
        try:
            if self._has_options() and _is_to_be_reset(sock):
                _reset(sock)
            else:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The peer has ended the connection already.
            pass
        finally:
            sock.detach()

    def _address(self, name: str) -> Address:
        """Return an address: ``peername`` or ``sockname``."""
        sock, address = self._socket(), self._source.get_extra_info(name)
        if sock is None:
            known: Address = address
            return known
        return address_of(sock.family, address)

    def _option(self, level: int, name: int) -> bool:
        return self._has_options() and bool(self._socket().getsockopt(level, name))

    def _set_option(self, level: int, name: int, value: int | bytes) -> None:
        if self._has_options():
            self._socket().setsockopt(level, name, value)

    def _has_options(self) -> bool:
        return self.connected and not isinstance(self._peer, UNIXAddress | PipeAddress)

    def _number(self) -> int:
        """Return the descriptor of the socket; -1 without one, as in memory or when closed."""
        fileno = getattr(self._socket(), "fileno", None)
        return -1 if fileno is None else fileno()

    def _socket(self) -> Any:
        """Return the socket object that the loop shows, or None."""
        return self._source.get_extra_info("socket")


def unsent_in_kernel(number: int) -> int | None:
    """Return how many bytes of a socket the peer's kernel has not taken; None if not known."""
    if sys.platform != "linux" or number < 0:
        return None
    try:
        return int.from_bytes(fcntl.ioctl(number, _SIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        # Pipes have no such queue.
        return None


def _is_to_be_reset(sock: socket.socket) -> bool:
    size = len(_NO_LINGER)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, size) == _NO_LINGER


def _reset(sock: socket.socket) -> None:
    """Send a reset now if the system can; otherwise closing the last copy sends it.

    Linux sends it when a TCP socket is connected to an address of the family AF_UNSPEC. Python's
    ``connect`` does not support that.
    """
    if sys.platform != "linux":
        return
    import ctypes

    no_family = bytes(16)
    ctypes.CDLL(None).connect(sock.fileno(), no_family, len(no_family))

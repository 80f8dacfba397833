"""The errors of transports and listening ports: the names of ``twisted.internet.error``.

They are published as ``broker.errors`` and ``broker.reactor.error``. Their module is the first: a
pickle, and the names on the wire, are found by it.
"""

from __future__ import annotations

import builtins
import errno
from typing import cast

__all__ = [
    "BindError",
    "CannotListenError",
    "ConnectBindError",
    "ConnectError",
    "ConnectionAborted",
    "ConnectionClosed",
    "ConnectionDone",
    "ConnectionLost",
    "ConnectionRefusedError",
    "DNSLookupError",
    "Disconnected",
    "NoRouteError",
    "SSLError",
    "TCPTimedOutError",
    "TimeoutError",
    "UnknownHostError",
    "UserError",
]


class Disconnected(Exception):
    """The connection has ended, or could not be made.

    Base of PBConnectionLost, DeadReferenceError, ConnectError and DNSLookupError.
    """


class ConnectionClosed(Exception):
    """The connection has ended, cleanly or not."""


class ConnectionDone(ConnectionClosed):
    """The connection was closed cleanly."""

    def __str__(self) -> str:
        return " ".join(map(str, self.args)) or "Connection was closed cleanly."


class ConnectionLost(ConnectionClosed):
    """The connection was lost in a way that is not clean.

    Attributes:
        limit: the name of the setting that the peer exceeded, if any.
        most, got: as in a ProtocolError.
    """

    limit = ""
    most = cast("float | None", None)
    got = cast("float | None", None)

    def __str__(self) -> str:
        return " ".join(map(str, self.args)) or "Connection was lost."


class ConnectionAborted(ConnectionLost):
    """This side aborted the connection."""


class ConnectError(Disconnected, ConnectionError):
    """A connection could not be made.

    Attributes:
        osError: the operating system's error number, or None.
    """

    def __init__(self, osError: object = None, string: str = ""):
        super().__init__(osError, string)
        self.osError = osError
        self.string = string

    def __str__(self) -> str:
        return self.string or "An error occurred while connecting."


class ConnectionRefusedError(ConnectError, builtins.ConnectionRefusedError):
    """Nothing listens at that address."""


class ConnectBindError(ConnectError):
    """The local address to connect from cannot be used."""

    def __str__(self) -> str:
        return self.string or "The address to connect from cannot be used."


class NoRouteError(ConnectError):
    """The network has no route to that address."""

    def __str__(self) -> str:
        return self.string or "The network does not reach that address."


class SSLError(ConnectError):
    """TLS could not be set up for a connection."""

    def __str__(self) -> str:
        return self.string or "TLS could not be set up."


class TCPTimedOutError(ConnectError, builtins.TimeoutError):
    """The operating system ended the attempt: its packets got no answer."""

    def __str__(self) -> str:
        return self.string or "The attempt to connect got no answer."


class UnknownHostError(ConnectError):
    """The host to connect to is not known."""

    def __str__(self) -> str:
        return self.string or "The host name is not known."


class UserError(ConnectError):
    """The program ended the attempt: by `stopConnecting`, `disconnect`, or its timeout."""

    def __str__(self) -> str:
        return self.string or "The connection attempt was given up by the program."


class TimeoutError(UserError, builtins.TimeoutError):
    """The connection could not be made in time."""


class DNSLookupError(Disconnected, OSError):
    """The host name does not resolve."""


class BindError(Exception):
    """An address of this machine cannot be used."""


class CannotListenError(BindError):
    """The port cannot be opened.

    Attributes:
        interface, port: the address to listen on.
        socketError: the operating system's error.
    """

    def __init__(self, interface: str, port: int | str, socketError: object):
        super().__init__(interface, port, socketError)
        self.interface = interface
        self.port = port
        self.socketError = socketError

    def __str__(self) -> str:
        host = self.interface or "any"
        return f"Couldn't listen on {host}:{self.port}: {self._why()}."

    def _why(self) -> str:
        error = self.socketError
        if not isinstance(error, OSError):
            return str(error)
        if error.errno == errno.EADDRINUSE:
            return f"port {self.port} is in use; stop what uses it, or choose another port"
        if error.errno == errno.EACCES:
            return f"no permission to open port {self.port}; choose a port above 1023"
        if error.errno == errno.EADDRNOTAVAIL:
            return f"{self.interface} is not an address of this machine"
        return error.strerror or str(error)


for _name in __all__:
    globals()[_name].__module__ = "broker.errors"

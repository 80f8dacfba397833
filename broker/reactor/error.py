"""Published names of `twisted.internet.error`: errors of transports, timers and the reactor.

The transport errors are those of `broker.errors`; a program may catch them under either name.
"""

from __future__ import annotations

import errno
import signal as signals
import socket
from typing import Any

from broker.errors import (
    BindError,
    CannotListenError,
    ConnectBindError,
    ConnectError,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    SSLError,
    TCPTimedOutError,
    TimeoutError,
    UnknownHostError,
    UserError,
)

__all__ = [
    "AlreadyCalled",
    "AlreadyCancelled",
    "BadFileError",
    "BindError",
    "CannotListenError",
    "CertificateError",
    "ConnectBindError",
    "ConnectError",
    "ConnectingCancelledError",
    "ConnectionAborted",
    "ConnectionClosed",
    "ConnectionDone",
    "ConnectionLost",
    "ConnectionRefusedError",
    "DNSLookupError",
    "NoProtocol",
    "NoRouteError",
    "NotConnectingError",
    "NotListeningError",
    "ProcessDone",
    "ProcessExitedAlready",
    "ProcessTerminated",
    "ReactorAlreadyRunning",
    "ReactorNotRestartable",
    "ReactorNotRunning",
    "SSLError",
    "ServiceNameUnknownError",
    "TCPTimedOutError",
    "TimeoutError",
    "UnknownHostError",
    "UserError",
    "errnoMapping",
    "getConnectError",
]


errnoMapping: dict[int, type[ConnectError]] = {
    errno.ENETUNREACH: NoRouteError,
    errno.ECONNREFUSED: ConnectionRefusedError,
    errno.ETIMEDOUT: TCPTimedOutError,
}
"""The error numbers of the operating system that have their own class (published)."""


def getConnectError(e: OSError | tuple[int | None, str] | str) -> ConnectError:
    """Return the ConnectError for an error of a socket (published).

    `e` is an OSError, a tuple of a number and a text, or a text.
    """
    number: Any = None
    text = e
    parts = e.args if isinstance(e, Exception) else e
    if isinstance(parts, tuple) and len(parts) == 2:
        number, text = parts
    if isinstance(e, socket.gaierror):
        return UnknownHostError(number, str(text))
    return errnoMapping.get(number, ConnectError)(number, str(text))


class NoProtocol(Exception):
    """The factory has returned no protocol for the connection (published)."""


class ServiceNameUnknownError(ConnectError):
    """The port was given as the name of a service that this system does not list (published)."""


class BadFileError(ConnectError):
    """The file of a UNIX socket cannot be used: its server does not run (published)."""


class ConnectingCancelledError(Exception):
    """The Deferred of an endpoint's `connect` was cancelled (published).

    Attributes:
        address: the address of the attempt.
    """

    def __init__(self, address: object):
        super().__init__(address)
        self.address = address


class CertificateError(Exception):
    """A certificate is missing (published)."""

    def __str__(self) -> str:
        return " ".join(map(str, self.args)) or "There is no certificate where one should be."


class ProcessDone(ConnectionDone):
    """A child process has ended with exit code 0 (published).

    Attributes:
        exitCode: 0.
        signal: None.
        status: as the system reported it.
    """

    def __init__(self, status: object):
        super().__init__("process finished with exit code 0")
        self.exitCode = 0
        self.signal = None
        self.status = status


class ProcessTerminated(ConnectionLost):
    """A child process has ended with another exit code than 0, or by a signal (published).

    Attributes:
        exitCode: the exit code; None where a signal ended it.
        signal: the number of that signal, or None.
        status: as the system reported it.
    """

    def __init__(
        self, exitCode: int | None = None, signal: int | None = None, status: object = None
    ):
        super().__init__(exitCode, signal, status)
        self.exitCode = exitCode
        self.signal = signal
        self.status = status

    def __str__(self) -> str:
        if self.signal is not None:
            names = {number.value: number.name for number in signals.Signals}
            return f"process ended by {names.get(self.signal, f'signal {self.signal}')}"
        return f"process ended with exit code {self.exitCode}"


class ProcessExitedAlready(Exception):
    """The child process has ended, and cannot receive signals any more (published)."""


class AlreadyCalled(ValueError):
    """The call was made already, and cannot be cancelled or moved (published)."""

    def __str__(self) -> str:
        return " ".join(map(str, self.args)) or "The delayed call has already been made."


class AlreadyCancelled(ValueError):
    """The call was cancelled already, and cannot be cancelled or moved (published)."""

    def __str__(self) -> str:
        return " ".join(map(str, self.args)) or "The delayed call has already been cancelled."


class NotConnectingError(RuntimeError):
    """The connector has no running attempt to stop (published)."""


class NotListeningError(RuntimeError):
    """The port is not listening (published)."""


class ReactorNotRunning(RuntimeError):
    """`stop` was called on a reactor that is not running, or is stopping (published)."""


class ReactorNotRestartable(RuntimeError):
    """`run` was called on a reactor that has run before (published)."""


class ReactorAlreadyRunning(RuntimeError):
    """`run` was called while the reactor or another event loop is running (published)."""

"""Published names of `twisted.internet.error`: what transports, timers and the reactor report.

The transport errors are those of `broker.errors`; a program may catch them under either name.
"""

from __future__ import annotations

from broker.errors import (
    CannotListenError,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)

__all__ = [
    "AlreadyCalled",
    "AlreadyCancelled",
    "CannotListenError",
    "ConnectError",
    "ConnectionAborted",
    "ConnectionDone",
    "ConnectionLost",
    "ConnectionRefusedError",
    "DNSLookupError",
    "NotConnectingError",
    "NotListeningError",
    "ReactorAlreadyRunning",
    "ReactorNotRestartable",
    "ReactorNotRunning",
    "ServiceNameUnknownError",
    "TimeoutError",
    "UserError",
]


class UserError(ConnectError):
    """The program gave up the connection attempt: `stopConnecting` or `disconnect` (published)."""

    def __str__(self) -> str:
        return self.string or "The connection attempt was given up by the program."


class ServiceNameUnknownError(ConnectError):
    """The port was given as the name of a service that this system does not list (published)."""


class AlreadyCalled(ValueError):
    """The delayed call has been made, and can be neither cancelled nor moved (published)."""

    def __str__(self) -> str:
        return " ".join(map(str, self.args)) or "The delayed call has already been made."


class AlreadyCancelled(ValueError):
    """The delayed call has been cancelled, and can be neither cancelled nor moved (published)."""

    def __str__(self) -> str:
        return " ".join(map(str, self.args)) or "The delayed call has already been cancelled."


class NotConnectingError(RuntimeError):
    """The connector has no attempt under way that could be stopped (published)."""


class NotListeningError(RuntimeError):
    """The port does not listen (published)."""


class ReactorNotRunning(RuntimeError):
    """`stop` was called on a reactor that does not run, or that is stopping (published)."""


class ReactorNotRestartable(RuntimeError):
    """`run` was called on a reactor that has run before (published)."""


class ReactorAlreadyRunning(RuntimeError):
    """`run` was called where the reactor, or another event loop, already runs (published)."""

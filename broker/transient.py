"""Tells which errors are worth another try, on a new connection."""

from __future__ import annotations

from broker.errors import (
    ConnectionClosed,
    Disconnected,
    LoginExpired,
    PBConnectionLost,
    ServerBusy,
    ServerDraining,
    TLSError,
    TooManyAttempts,
)
from broker.failure import Failure
from cred.error import LoginUnavailable

__all__ = ["KICKED", "REPLACED", "is_transient"]

KICKED, REPLACED = "kicked", "replaced"
"""Codes of goodbyes: an operator ended the connection; a newer login of the user took its place."""

_TRANSIENT = (
    ConnectionClosed,
    Disconnected,
    LoginExpired,
    LoginUnavailable,
    ServerBusy,
    ServerDraining,
    TooManyAttempts,
)


def is_transient(error: object) -> bool:
    """Return whether a failed action may succeed later, on a new connection with a new login.

    This does not tell whether a call has run: see ``PBConnectionLost.may_have_run``.

    Args:
        error: an exception, or the Failure of an errback.

    Returns:
        True for the end of a connection and a failed attempt to connect (Disconnected, and the
        ConnectionClosed of a transport); for ServerBusy, ServerDraining, LoginExpired,
        LoginUnavailable; for TooManyAttempts, whose ``after`` tells when to try again; and for a
        TLSError with a ``limit``, which is a handshake that took too long. False otherwise, and
        for a connection that the server ended because a newer login replaced it (the goodbye
        ``replaced``): two clients would replace each other without end.
    """
    if isinstance(error, Failure):
        error = error.as_exception()
    elif not isinstance(error, BaseException):
        # Perhaps a Failure of Twisted.
        error = getattr(error, "value", error)
    if isinstance(error, TLSError):
        return bool(error.limit)
    if isinstance(error, PBConnectionLost) and error.goodbye == REPLACED:
        return False
    return isinstance(error, _TRANSIENT)

"""Which errors are worth another try, on a new connection."""

from __future__ import annotations

from typing import Any

from broker.errors import (
    ConnectionClosed,
    Disconnected,
    LoginExpired,
    ServerBusy,
    ServerDraining,
    TLSError,
    TooManyAttempts,
)
from broker.failure import Failure
from cred.error import LoginUnavailable

__all__ = ["is_transient"]

_TRANSIENT = (
    ConnectionClosed,
    Disconnected,
    LoginExpired,
    LoginUnavailable,
    ServerBusy,
    ServerDraining,
    TooManyAttempts,
)


def is_transient(error: Any) -> bool:
    """Return whether what failed may succeed later, on a new connection and with a new login.

    That says nothing of whether a call has run: ``PBConnectionLost.may_have_run`` does.

    Args:
        error: an exception, or the Failure that an errback gets.

    Returns:
        True for the ends of connections and failed attempts to connect (Disconnected, and the
        ConnectionClosed of a transport), for ServerBusy, ServerDraining, LoginExpired,
        LoginUnavailable, for TooManyAttempts, whose ``after`` tells when, and for a TLSError with a
        ``limit``, which is a handshake that took too long. False for everything else.
    """
    if isinstance(error, Failure):
        error = error.as_exception()
    elif not isinstance(error, BaseException):
        # A Failure of Twisted's, perhaps.
        error = getattr(error, "value", error)
    if isinstance(error, TLSError):
        return bool(error.limit)
    return isinstance(error, _TRANSIENT)

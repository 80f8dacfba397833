"""The errors that a login may fail with: importing this lets them cross, under every policy."""

from __future__ import annotations

from typing import Final

from broker.flavors.failures import register_errors
from cred import error

__all__ = ["LOGIN_ERRORS"]

LOGIN_ERRORS: Final = (
    error.LoginDenied,
    error.LoginFailed,
    error.LoginUnavailable,
    error.Unauthorized,
    error.UnauthorizedLogin,
    error.UnhandledCredentials,
)
"""What a server may refuse a login with: a client raises the same classes."""

register_errors(*LOGIN_ERRORS)

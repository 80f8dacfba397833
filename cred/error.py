"""Why a login failed.

::

    Unauthorized†        not allowed to do this
    LoginFailed†         no avatar was given
    ├─ UnauthorizedLogin†      wrong user name or password; also an Unauthorized
    ├─ UnhandledCredentials†   no checker takes this kind of credentials: the server's configuration
    ├─ LoginUnavailable        nobody can be checked now: the store of users is away
    └─ LoginDenied†            known and correct, but the realm refuses now: quota, load, hours

† is a published name.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "WRONG_LOGIN",
    "LoginDenied",
    "LoginFailed",
    "LoginUnavailable",
    "Unauthorized",
    "UnauthorizedLogin",
    "UnhandledCredentials",
    "wrong_login",
]

# The one text of every refused user name and password: which of the two was wrong stays untold.
WRONG_LOGIN: Final = "wrong user name or password"


class Unauthorized(Exception):
    """The caller may not do this (published)."""


class LoginFailed(Exception):
    """A login ended without an avatar; the subclass tells whose turn it is to act (published)."""


class UnauthorizedLogin(LoginFailed, Unauthorized):
    """The credentials are wrong: unknown user, wrong password, refused certificate (published).

    Attributes:
        reason: which of these, for the server's own log, see `wrong_login`; empty where the text
            says it. It does not cross.
    """

    # Without an annotation: annotated attributes of an error are fields, which may cross.
    reason = ""

    def __getstate__(self) -> dict[str, object]:
        """Return the state that may be sent: all but the reason."""
        return {name: value for name, value in vars(self).items() if name != "reason"}


def wrong_login(reason: str) -> UnauthorizedLogin:
    """Return the one error of every refused user name and password.

    Args:
        reason: for the server's own log: ``"wrong password"``, ``"unknown user"``, ``"disabled
            user"``, or another of the table in ``docs/reference/login-limits.md``.
    """
    error = UnauthorizedLogin(WRONG_LOGIN)
    error.reason = reason
    return error


class UnhandledCredentials(LoginFailed):
    """No checker of the portal takes credentials of this kind (published).

    A fault of the server's configuration, or a client that logs in with the wrong mechanism. The
    text names the kinds that the portal takes.
    """


class LoginDenied(LoginFailed):
    """The credentials are right, and the realm refuses all the same (published).

    Raised by realms: too many sessions, a quota used up, a server too busy.
    """


class LoginUnavailable(LoginFailed):
    """Whether the credentials are right cannot be found out now; it may be later.

    The log of the server tells why: a database that is away, a file that cannot be read.
    """

"""The errors of logins.

::

    Unauthorized†        not allowed to do this
    LoginFailed†         no avatar was given
    ├─ UnauthorizedLogin†      wrong user name or password; also an Unauthorized
    ├─ UnhandledCredentials†   no checker takes this kind of credentials: the server's configuration
    ├─ LoginUnavailable        no user can be checked now: the store of users does not answer
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

# The one text for every refused user name or password: it does not tell which of them was wrong.
WRONG_LOGIN: Final = "wrong user name or password"


class Unauthorized(Exception):
    """The caller may not do this (published)."""


class LoginFailed(Exception):
    """A login ended without an avatar; the subclass tells who can fix it (published).

    Attributes:
        setting, fix, parts: how to fix it on this side, see ``broker.fixes``; empty if the text
            says all, or if a peer has sent it. They are not sent.
    """

    # Without annotations: an annotated attribute of an error is a field, which may be sent.
    setting = ""
    fix = ""
    parts = ("", "")


class UnauthorizedLogin(LoginFailed, Unauthorized):
    """The credentials are wrong: unknown user, wrong password, refused certificate (published).

    Attributes:
        reason: the exact reason, for the log of the server, see `wrong_login`; empty if the text
            has it. It is never sent to the peer.
    """

    # Without an annotation: annotated attributes of an error are fields, which may be sent.
    reason = ""

    def __getstate__(self) -> dict[str, object]:
        """Return the state that may be sent: everything except the reason."""
        return {name: value for name, value in vars(self).items() if name != "reason"}


def wrong_login(reason: str) -> UnauthorizedLogin:
    """Return the one error for every refused user name or password.

    Args:
        reason: for the log of the server: ``"wrong password"``, ``"unknown user"``, ``"disabled
            user"``, or another of the table in ``docs/reference/login-limits.md``.
    """
    error = UnauthorizedLogin(WRONG_LOGIN)
    error.reason = reason
    return error


class UnhandledCredentials(LoginFailed):
    """No checker of the portal takes credentials of this kind (published).

    Either the server is not configured for it, or the client uses the wrong mechanism. The text
    names the kinds that the portal takes.
    """


class LoginDenied(LoginFailed):
    """The credentials are right, but the realm refuses the login (published).

    Raised by realms: too many sessions, a quota used up, a server too busy.
    """


class LoginUnavailable(LoginFailed):
    """The credentials cannot be checked now; a later try may succeed.

    The log of the server tells why, such as a database that does not answer.
    """

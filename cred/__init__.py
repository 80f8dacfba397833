"""cred: who are you, and what do you get.

A `Portal` joins two parties that know nothing of each other: checkers, which turn credentials into
an avatar id, and a realm, which turns an avatar id into an avatar, the object that acts for the
user::

    portal = Portal(realm, [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])
    credentials = UsernamePassword("alice", "secret")
    interface, avatar, logout = await portal.login(credentials, None, IPerspective)

The modules are named as in ``twisted.cred``: `cred.error`, `cred.credentials`, `cred.checkers`,
`cred.portal`. The main names are here too.
"""

from __future__ import annotations

from cred.checkers import (
    ANONYMOUS,
    AllowAnonymousAccess,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from cred.credentials import (
    Anonymous,
    IAnonymous,
    ICredentials,
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernameHashedPassword,
    UsernamePassword,
)
from cred.error import (
    LoginDenied,
    LoginFailed,
    Unauthorized,
    UnauthorizedLogin,
    UnhandledCredentials,
)
from cred.portal import IRealm, Portal

__all__ = [
    "ANONYMOUS",
    "AllowAnonymousAccess",
    "Anonymous",
    "IAnonymous",
    "ICredentials",
    "ICredentialsChecker",
    "IRealm",
    "IUsernameHashedPassword",
    "IUsernamePassword",
    "InMemoryUsernamePasswordDatabaseDontUse",
    "LoginDenied",
    "LoginFailed",
    "Portal",
    "Unauthorized",
    "UnauthorizedLogin",
    "UnhandledCredentials",
    "UsernameHashedPassword",
    "UsernamePassword",
]

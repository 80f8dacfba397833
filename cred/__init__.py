"""cred: who are you, and what do you get.

A `Portal` joins two parties that know nothing of each other: checkers, which turn credentials into
an avatar id, and a realm, which turns an avatar id into an avatar, the object that acts for the
user::

    portal = Portal(realm, [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])
    credentials = UsernamePassword("alice", "secret")
    interface, avatar, logout = await portal.login(credentials, None, IPerspective)

The modules are named as in ``twisted.cred``: `cred.error`, `cred.credentials`, `cred.checkers`,
`cred.portal`, `cred.strcred`. The main names are here too, but for those of `cred.strcred`, which
makes checkers from strings.
"""

from __future__ import annotations

from cred.checkers import (
    ANONYMOUS,
    AllowAnonymousAccess,
    FilePasswordDB,
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from cred.credentials import (
    Anonymous,
    CramMD5Credentials,
    DigestCredentialFactory,
    DigestedCredentials,
    IAnonymous,
    ICredentials,
    ISSHPrivateKey,
    IUsernameDigestHash,
    IUsernameHashedPassword,
    IUsernamePassword,
    SSHPrivateKey,
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
    "CramMD5Credentials",
    "DigestCredentialFactory",
    "DigestedCredentials",
    "FilePasswordDB",
    "IAnonymous",
    "ICredentials",
    "ICredentialsChecker",
    "IRealm",
    "ISSHPrivateKey",
    "IUsernameDigestHash",
    "IUsernameHashedPassword",
    "IUsernamePassword",
    "InMemoryUsernamePasswordDatabaseDontUse",
    "LoginDenied",
    "LoginFailed",
    "Portal",
    "SSHPrivateKey",
    "Unauthorized",
    "UnauthorizedLogin",
    "UnhandledCredentials",
    "UsernameHashedPassword",
    "UsernamePassword",
]

"""cred: authentication, and the objects that users get after it.

A `Portal` joins two parts that do not know each other. Checkers turn credentials into an avatar id.
A realm turns an avatar id into an avatar, the object that acts for the user::

    portal = Portal(realm, [InMemoryUsernamePasswordDatabaseDontUse(alice="secret")])
    credentials = UsernamePassword("alice", "secret")
    interface, avatar, logout = await portal.login(credentials, None, IPerspective)

The modules are named as in ``twisted.cred``: `cred.error`, `cred.credentials`, `cred.checkers`,
`cred.portal`, `cred.strcred`. The main names are here too, except those of `cred.strcred`, which
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
    ClientCertificate,
    CramMD5Credentials,
    DigestCredentialFactory,
    DigestedCredentials,
    IAnonymous,
    IBearerToken,
    IClientCertificate,
    ICredentials,
    IScramProof,
    ISSHPrivateKey,
    IUsernameDigestHash,
    IUsernameHashedPassword,
    IUsernamePassword,
    Scram,
    SSHPrivateKey,
    Token,
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
from cred.identity import Identity
from cred.portal import IRealm, Portal

__all__ = [
    "ANONYMOUS",
    "AllowAnonymousAccess",
    "Anonymous",
    "ClientCertificate",
    "CramMD5Credentials",
    "DigestCredentialFactory",
    "DigestedCredentials",
    "FilePasswordDB",
    "IAnonymous",
    "IBearerToken",
    "IClientCertificate",
    "ICredentials",
    "ICredentialsChecker",
    "IRealm",
    "ISSHPrivateKey",
    "IScramProof",
    "IUsernameDigestHash",
    "IUsernameHashedPassword",
    "IUsernamePassword",
    "Identity",
    "InMemoryUsernamePasswordDatabaseDontUse",
    "LoginDenied",
    "LoginFailed",
    "Portal",
    "SSHPrivateKey",
    "Scram",
    "Token",
    "Unauthorized",
    "UnauthorizedLogin",
    "UnhandledCredentials",
    "UsernameHashedPassword",
    "UsernamePassword",
]

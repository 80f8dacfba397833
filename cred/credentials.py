"""Credentials: the data of a login, before a checker has checked it.

Some are for a client, as an argument of ``broker.connect``. Some are made by a server from received
data, for its checkers. `UsernamePassword` and `Token` are for both. This module has the simple
ones. Those that answer a challenge are in `cred.cram` and `cred.digest`. All names, also the
interfaces, can be imported from here.
"""

from __future__ import annotations

from zope.interface import implementer

from cred.cram import CramMD5Credentials
from cred.digest import (
    DigestCredentialFactory,
    DigestedCredentials,
    calcHA1,
    calcHA2,
    calcResponse,
)
from cred.interfaces import (
    IAnonymous,
    IBearerToken,
    IClientCertificate,
    ICredentials,
    IScramProof,
    ISSHPrivateKey,
    IUsernameDigestHash,
    IUsernameHashedPassword,
    IUsernamePassword,
)
from cred.octets import Text, same_octets

__all__ = [
    "Anonymous",
    "ClientCertificate",
    "CramMD5Credentials",
    "DigestCredentialFactory",
    "DigestedCredentials",
    "IAnonymous",
    "IBearerToken",
    "IClientCertificate",
    "ICredentials",
    "ISSHPrivateKey",
    "IScramProof",
    "IUsernameDigestHash",
    "IUsernameHashedPassword",
    "IUsernamePassword",
    "SSHPrivateKey",
    "Scram",
    "Token",
    "UsernameHashedPassword",
    "UsernamePassword",
    "calcHA1",
    "calcHA2",
    "calcResponse",
]


@implementer(IUsernamePassword)
class UsernamePassword:
    """A user name and a password in clear (published).

    Attributes:
        username, password: str or bytes. A comparison uses the UTF-8 bytes of a str.
    """

    def __init__(self, username: Text, password: Text) -> None:
        self.username = username
        self.password = password

    def checkPassword(self, password: Text) -> bool:
        """Return whether `password` is the password of these credentials, in constant time.

        A value that is neither str nor bytes never matches, so a checker may pass None for a user
        without a password.
        """
        return same_octets(password, self.password)


@implementer(IUsernameHashedPassword)
class UsernameHashedPassword:
    """A user name, and a hash that is compared with the hash of the checker (published).

    Attributes:
        username: str or bytes.
        hashed: the hash, in the form in which the checker keeps it.
    """

    def __init__(self, username: Text, hashed: Text) -> None:
        self.username = username
        self.hashed = hashed

    def checkPassword(self, password: Text) -> bool:
        """Return whether `password`, a stored hash, equals `hashed`, in constant time."""
        return same_octets(password, self.hashed)


@implementer(IAnonymous)
class Anonymous:
    """A request for an anonymous login (published)."""


@implementer(ISSHPrivateKey)
class SSHPrivateKey:
    """A public key of SSH with a signature (published); it does not verify them.

    The checker decides whether the key belongs to the user, and whether the signature is valid.

    Attributes:
        username: the user name that the client claims.
        algName: the name of the algorithm in SSH, such as ``b"ssh-ed25519"``.
        blob: the public key, as the client sent it.
        sigData: the data that was signed.
        signature: the signature; None if a client only asks whether the key is accepted.
    """

    def __init__(
        self,
        username: Text,
        algName: Text,
        blob: bytes,
        sigData: bytes | None,
        signature: bytes | None,
    ) -> None:
        self.username = username
        self.algName = algName
        self.blob = blob
        self.sigData = sigData
        self.signature = signature


class ClientCertificate:
    """A request to log in by the certificate of ``TLS.client(certificate, key)``.

    At the server the credentials are the certificate itself, as `IClientCertificate`.
    """


class Scram:
    """A user name, and a password that is never sent: for SCRAM only.

    `UsernamePassword` uses the strongest mechanism that the server offers; with most stores that is
    SCRAM too. This refuses a server that wants the password itself.

    Args:
        username, password: str, or UTF-8 bytes.
        bound: use SCRAM-SHA-256-PLUS only, which is bound to the TLS connection.
    """

    def __init__(self, username: Text, password: Text, *, bound: bool = False) -> None:
        self.username = username
        self.password = password
        self.bound = bound


@implementer(IBearerToken)
class Token:
    """A bearer token, such as a JWT: any client that has it can log in.

    Attributes:
        token: the token, a str.
    """

    def __init__(self, token: str) -> None:
        self.token = token

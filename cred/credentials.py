"""Credentials: what somebody shows to be let in, before anybody has looked whether it is right.

Some are for a client, to be given to ``broker.connect``; some are made by a server of what has come
over the wire, for its checkers; `UsernamePassword` and `Token` are for both. Here are the plain
ones. Those that answer a challenge have modules of their own, `cred.cram` and `cred.digest`; all
names, the interfaces among them, can be had from this one.
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
        username, password: as given, str or bytes. Comparing takes a str for its UTF-8 bytes.
    """

    def __init__(self, username: Text, password: Text) -> None:
        self.username = username
        self.password = password

    def checkPassword(self, password: Text) -> bool:
        """Return whether `password` is the one shown, in constant time.

        What is neither str nor bytes matches nothing, so a checker may pass None for a user
        without one.
        """
        return same_octets(password, self.password)


@implementer(IUsernameHashedPassword)
class UsernameHashedPassword:
    """A user name, and a hash that is compared with what the checker keeps (published).

    Attributes:
        username: as given, str or bytes.
        hashed: the hash that is shown, in the very form in which the checker keeps it.
    """

    def __init__(self, username: Text, hashed: Text) -> None:
        self.username = username
        self.hashed = hashed

    def checkPassword(self, password: Text) -> bool:
        """Return whether `password`, in the form kept, is the hash shown, in constant time."""
        return same_octets(password, self.hashed)


@implementer(IAnonymous)
class Anonymous:
    """A request to be let in as nobody in particular (published)."""


@implementer(ISSHPrivateKey)
class SSHPrivateKey:
    """A public key of SSH with a signature (published): carries them, and verifies nothing.

    The checker decides whether the key is the user's, and whether the signature is the key's.

    Attributes:
        username: the user name that is claimed.
        algName: the name of the key's algorithm, as SSH has it: ``b"ssh-ed25519"``.
        blob: the public key, as the client sent it.
        sigData: the data that was signed.
        signature: the signature; None while a client only asks whether the key would do.
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
    """A client's wish to be known by its TLS certificate: that of ``TLS.client(certificate, key)``.

    At the server the certificate itself is the credentials, `IClientCertificate`.
    """


class Scram:
    """A user name, and a password that is never sent: only SCRAM will do.

    Where `UsernamePassword` takes the strongest way that the server offers, and with most stores
    that is SCRAM too, this refuses a server that wants to see the password.

    Args:
        username, password: str, or UTF-8 bytes.
        bound: take SCRAM-SHA-256-PLUS only, which is bound to the TLS connection.
    """

    def __init__(self, username: Text, password: Text, *, bound: bool = False) -> None:
        self.username = username
        self.password = password
        self.bound = bound


@implementer(IBearerToken)
class Token:
    """A token that lets in whoever has it, such as a JWT.

    Attributes:
        token: the token, a str.
    """

    def __init__(self, token: str) -> None:
        self.token = token

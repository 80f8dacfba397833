"""The interfaces of the kinds of credentials.

A portal finds the checker for credentials by the interface that they provide. `cred.credentials`
publishes these names beside the classes that implement them.
"""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

__all__ = [
    "IAnonymous",
    "IBearerToken",
    "IClientCertificate",
    "ICredentials",
    "ISSHPrivateKey",
    "IScramProof",
    "IUsernameDigestHash",
    "IUsernameHashedPassword",
    "IUsernamePassword",
]


class ICredentials(Interface):  # type: ignore[misc]
    """Any kind of credentials (published). Each kind is an interface that extends this one."""


class IUsernamePassword(ICredentials):
    """A user name and the password in clear (published).

    A checker can keep its passwords in any form, since it gets the password in clear.
    """

    username = Attribute("The user name that is claimed, str or bytes.")
    password = Attribute("The password that is shown, str or bytes.")

    def checkPassword(password: Any) -> object:
        """Return whether `password`, the correct one in clear, equals the given password.

        Returns:
            A bool, or an awaitable or Deferred of one.
        """


class IUsernameHashedPassword(ICredentials):
    """A user name, and a proof that the client knows the password (published).

    The proof can only be checked against the password in clear, so the checker must keep that.
    """

    username = Attribute("The user name that is claimed, str or bytes.")

    def checkPassword(password: Any) -> object:
        """Return whether the proof was made with `password`, the correct one in clear.

        Returns:
            A bool, or an awaitable or Deferred of one.
        """


class IUsernameDigestHash(ICredentials):
    """A user name, and a proof that can be checked against a hash of the password (published).

    For checkers that keep the hash of an Apache ``.htdigest`` file instead of the password.
    """

    username = Attribute("The user name that is claimed, str or bytes.")

    def checkHash(digestHash: Any) -> object:
        """Return whether the proof was made with the password of `digestHash`.

        Args:
            digestHash: the digest of ``username:realm:password``, in lower-case hexadecimal.

        Returns:
            A bool, or an awaitable or Deferred of one.
        """


class IAnonymous(ICredentials):
    """A request for an anonymous login (published)."""


class ISSHPrivateKey(ICredentials):
    """A public key of SSH, and a signature by its private key (published)."""

    username = Attribute("The user name that is claimed.")
    algName = Attribute("The name of the key's algorithm, as SSH has it.")
    blob = Attribute("The public key, as the client sent it.")
    sigData = Attribute("The data that was signed.")
    signature = Attribute("The signature; None while a client only asks whether the key would do.")


class IScramProof(ICredentials):
    """A user name, and a SCRAM verifier; the peer has proven that it knows the password.

    A checker of this kind has one more method, ``scramVerifier(username)``, which is called first.
    It returns the user's `cred.scram.ScramVerifier`, or an awaitable or Deferred of it. For an
    unknown user it returns `ScramVerifier.of_nobody`; no exception may tell the two apart. Then the
    exchange follows, and ``requestAvatarId`` is called only if the proof is correct. So the checker
    only returns the avatar id, or refuses the user.
    """

    username = Attribute("The user name, str or bytes; prepared by SASLprep.")
    verifier = Attribute("The ScramVerifier that `scramVerifier` returned for this exchange.")


class IBearerToken(ICredentials):
    """A bearer token: any client that has it can log in."""

    token = Attribute("The token, a str of 8,192 characters at most.")


class IClientCertificate(ICredentials):
    """The certificate of a TLS client that has proven that it has the key.

    The chain was verified in a full handshake of this connection.
    """

    certificate = Attribute("The client's own certificate, of `cryptography.x509`.")
    chain = Attribute("The verified chain: the client's certificate first, the CA's last; tuple.")

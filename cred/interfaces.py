"""The kinds of credentials, as interfaces: what a checker may ask of each.

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

    Lets a checker keep its passwords in any form, since it can transform what it is shown.
    """

    username = Attribute("The user name that is claimed, str or bytes.")
    password = Attribute("The password that is shown, str or bytes.")

    def checkPassword(password: Any) -> Any:
        """Tell whether `password`, the correct one in clear, is the password that was shown.

        Returns:
            A bool, or an awaitable or Deferred of one.
        """


class IUsernameHashedPassword(ICredentials):
    """A user name, and proof that its owner knows the password (published).

    The proof can only be checked against the password in clear: the checker has to keep it so.
    """

    username = Attribute("The user name that is claimed, str or bytes.")

    def checkPassword(password: Any) -> Any:
        """Tell whether the proof was made with `password`, the correct one in clear.

        Returns:
            A bool, or an awaitable or Deferred of one.
        """


class IUsernameDigestHash(ICredentials):
    """A user name, and proof that can be checked against a hash of the password (published).

    For checkers that keep what an Apache ``.htdigest`` file keeps instead of the password.
    """

    username = Attribute("The user name that is claimed, str or bytes.")

    def checkHash(digestHash: Any) -> Any:
        """Tell whether the proof was made with the password behind `digestHash`.

        Args:
            digestHash: the digest of ``username:realm:password``, in lower-case hexadecimal.

        Returns:
            A bool, or an awaitable or Deferred of one.
        """


class IAnonymous(ICredentials):
    """A request to be let in as nobody in particular (published)."""


class ISSHPrivateKey(ICredentials):
    """A public key of SSH, and a signature that only its private key can have made (published)."""

    username = Attribute("The user name that is claimed.")
    algName = Attribute("The name of the key's algorithm, as SSH has it.")
    blob = Attribute("The public key, as the client sent it.")
    sigData = Attribute("The data that was signed.")
    signature = Attribute("The signature; None while a client only asks whether the key would do.")


class IScramProof(ICredentials):
    """A user name, and the SCRAM verifier whose password the peer has been found to know.

    A checker of this kind has one more method, ``scramVerifier(username)``, which is asked first,
    and returns the user's `cred.scram.ScramVerifier`, plain, as an awaitable or as a Deferred; for
    a user that there is not, `ScramVerifier.of_nobody`. It raises nothing that tells the two apart.
    The exchange follows, and if it succeeds ``requestAvatarId``: so what provides this interface is
    proven, and the checker only says who that is, or that the user may not log in.
    """

    username = Attribute("The user name, str or bytes; prepared by SASLprep.")
    verifier = Attribute("The ScramVerifier that `scramVerifier` returned for this exchange.")


class IBearerToken(ICredentials):
    """A token that lets in whoever has it."""

    token = Attribute("The token, a str of 8,192 characters at most.")


class IClientCertificate(ICredentials):
    """The certificate of a TLS client that has proven to have its key.

    The chain was verified in a full handshake of this very connection.
    """

    certificate = Attribute("The client's own certificate, of `cryptography.x509`.")
    chain = Attribute("The verified chain: the client's certificate first, the CA's last; tuple.")

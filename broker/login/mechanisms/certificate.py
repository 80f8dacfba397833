"""Login by the certificate of a TLS client, which the handshake has verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from zope.interface import implementer

from broker.defer import Deferred
from broker.login.context import ClientContext, LoginContext, ServerContext
from broker.login.mechanisms.mechanism import LoginCall, Mechanism
from cred.credentials import ClientCertificate, IClientCertificate

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["CERTIFICATE"]


class CertificateLogin(Mechanism[ClientCertificate]):
    """``loginCertificate(mind)`` returns the avatar; the TLS handshake had the certificate."""

    name = "certificate"
    asks_for = (
        "a client certificate, which takes TLS.client(certificate=…, key=…) and a server that asks"
        " for one"
    )
    calls = (LoginCall("loginCertificate", 0),)
    checked_as = (IClientCertificate,)

    def accepts(self, credentials: object) -> TypeGuard[ClientCertificate]:
        """Return whether they are ClientCertificate."""
        return isinstance(credentials, ClientCertificate)

    def client(
        self, context: ClientContext, credentials: ClientCertificate, mind: object
    ) -> Deferred[object]:
        """Call ``loginCertificate``."""
        return context.enter("loginCertificate", mind)

    def server_refusal(self, context: LoginContext) -> str | None:
        """Return that this connection has no verified client certificate, or None."""
        if context.verified_chain:
            return None
        return "this connection has shown no client certificate that was verified"

    def server(self, context: ServerContext, mind: object) -> object:
        """Log in with the connection's client certificate, and return the avatar.

        Raises:
            LoginFailed: the connection has no verified certificate, or the portal takes none.
        """
        self.require(context)
        return context.admit(VerifiedCertificate(context.verified_chain), mind)


CERTIFICATE = CertificateLogin()


@implementer(IClientCertificate)
class VerifiedCertificate:
    """The credentials of a login by certificate.

    Attributes:
        certificate: the client's certificate.
        chain: the client's certificate and its issuers, up to the CA.
    """

    def __init__(self, chain: tuple[x509.Certificate, ...]):
        self.certificate = chain[0]
        self.chain = chain

"""Login by the certificate of a TLS client, which the handshake has verified."""

from __future__ import annotations

from typing import Any, ClassVar

from cryptography import x509
from zope.interface import implementer

from broker.connection.broker import Broker
from broker.defer import Deferred
from broker.flavors.reference import RemoteReference
from broker.login.mechanisms.mechanism import Mechanism, MechanismContext, OfferContext
from cred.credentials import ClientCertificate, IClientCertificate

__all__ = ["CERTIFICATE", "serve"]


class CertificateLogin(Mechanism):
    """``loginCertificate(mind)`` returns the avatar; the TLS handshake had the certificate."""

    name = "certificate"
    asks_for = (
        "a client certificate, which takes TLS.client(certificate=…, key=…) and a server that asks"
        " for one"
    )
    mind_arguments: ClassVar[dict[str, int | None]] = {"loginCertificate": 0}

    def server_refusal(self, context: OfferContext) -> str | None:
        """Return that this connection has no verified client certificate, or None."""
        if context.broker.port.verified_chain():
            return None
        return "this connection has shown no client certificate that was verified"

    def has_checker(self, context: OfferContext) -> bool:
        """Return whether the portal checks certificates."""
        return context.checker_for(IClientCertificate) is not None

    def accepts(self, credentials: Any) -> bool:
        """Return whether they are ClientCertificate."""
        return isinstance(credentials, ClientCertificate)

    def log_in(
        self, broker: Broker, root: RemoteReference, credentials: Any, mind: Any
    ) -> Deferred[Any]:
        """Call ``loginCertificate``."""
        return root.callRemote("loginCertificate", mind)


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


def serve(context: MechanismContext, mind: Any) -> Deferred[Any]:
    """Log in with the connection's client certificate, and return a Deferred of the avatar.

    Raises:
        LoginFailed: the connection has no verified certificate, or the portal takes none.
    """
    CERTIFICATE.require(context)
    shown = VerifiedCertificate(context.broker.port.verified_chain())
    return context.admit(shown, mind, CERTIFICATE.name)

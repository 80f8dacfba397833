"""The certificate that a TLS client has shown, and proven to have the key of."""

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
    """``loginCertificate(mind)`` returns the avatar; all else was said in the TLS handshake."""

    name = "certificate"
    asks_for = (
        "a client certificate, which takes TLS.client(certificate=…, key=…) and a server that asks"
        " for one"
    )
    mind_arguments: ClassVar[dict[str, int | None]] = {"loginCertificate": 0}

    def server_refusal(self, context: OfferContext) -> str | None:
        """Return that this peer has shown none that was verified, if so."""
        if _chain(context.broker):
            return None
        return "this connection has shown no client certificate that was verified"

    def has_checker(self, context: OfferContext) -> bool:
        """Return whether certificates are checked here."""
        return context.checker_for(IClientCertificate) is not None

    def accepts(self, credentials: Any) -> bool:
        """Take the wish to be known by it."""
        return isinstance(credentials, ClientCertificate)

    def log_in(
        self, broker: Broker, root: RemoteReference, credentials: Any, mind: Any
    ) -> Deferred[Any]:
        """Ask for it."""
        return root.callRemote("loginCertificate", mind)


CERTIFICATE = CertificateLogin()


@implementer(IClientCertificate)
class VerifiedCertificate:
    """The credentials of such a login.

    Attributes:
        certificate: the client's own.
        chain: that and those above it, up to the CA's.
    """

    def __init__(self, chain: tuple[x509.Certificate, ...]):
        self.certificate = chain[0]
        self.chain = chain


def serve(context: MechanismContext, mind: Any) -> Deferred[Any]:
    """Log in with the connection's client certificate, and return a Deferred of the avatar.

    Raises:
        LoginFailed: there is none that was verified, or certificates are not taken here.
    """
    CERTIFICATE.require(context)
    return context.admit(VerifiedCertificate(_chain(context.broker)), mind, CERTIFICATE.name)


def _chain(broker: Broker) -> tuple[x509.Certificate, ...]:
    verified_chain = getattr(broker.transport, "verified_chain", None)
    return () if verified_chain is None else verified_chain()

"""A stream connection through TLS, with the published method for the peer's certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from OpenSSL import crypto

from broker.net.filters import Filter
from broker.net.log_throttle import LogThrottle
from broker.net.transports import MakeProtocol, StreamTransport

__all__ = ["SecureTransport", "new_transport"]


class SecureTransport(StreamTransport):
    """A StreamTransport with TLS among its filters; programs of Twisted ask for its method."""

    __slots__ = ()

    def getPeerCertificate(self) -> crypto.X509 | None:
        """Return the peer's certificate as a pyOpenSSL object; None if it has sent none yet."""
        certificate = self.peer_certificate
        return None if certificate is None else crypto.X509.from_cryptography(certificate)


def new_transport(
    make_protocol: MakeProtocol,
    loop: asyncio.AbstractEventLoop,
    log_throttle: LogThrottle | None = None,
    filters: Sequence[Filter] = (),
    **settings: Any,
) -> StreamTransport:
    """Return a transport for these filters: a SecureTransport if one of them is secure.

    The arguments are those of `StreamTransport`.
    """
    kind = SecureTransport if any(each.is_secure for each in filters) else StreamTransport
    return kind(make_protocol, loop, log_throttle, filters=filters, **settings)

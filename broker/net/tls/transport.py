"""The kinds of stream connections that differ from others in who can read them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from broker.net.filters import Filter
from broker.net.log_throttle import LogThrottle
from broker.net.transports import MakeProtocol, StreamTransport

if TYPE_CHECKING:
    from OpenSSL import crypto

__all__ = ["RelayedTransport", "SecureTransport", "new_transport"]


class SecureTransport(StreamTransport):
    """A StreamTransport with TLS among its filters; programs of Twisted ask for its method."""

    __slots__ = ()

    def getPeerCertificate(self) -> crypto.X509 | None:
        """Return the peer's certificate as a pyOpenSSL object; None if it has sent none yet."""
        certificate = self.peer_certificate
        if certificate is None:
            return None
        # Loaded already, if there is a certificate.
        from OpenSSL import crypto

        return crypto.X509.from_cryptography(certificate)


class RelayedTransport(StreamTransport):
    """A StreamTransport through a proxy to another machine.

    Its `peer_address` is that of the proxy. If the proxy runs on this machine, the connection is
    still one that others can read, unless it is encrypted.
    """

    __slots__ = ()

    @property
    def is_private(self) -> bool:
        """Whether the connection is encrypted."""
        return self._filtered is not None and self._filtered.is_encrypted


def new_transport(
    make_protocol: MakeProtocol,
    loop: asyncio.AbstractEventLoop,
    log_throttle: LogThrottle | None = None,
    filters: Sequence[Filter] = (),
    *,
    kind: type[StreamTransport] = StreamTransport,
    **settings: Any,
) -> StreamTransport:
    """Return a transport for these filters: a SecureTransport if one of them is secure.

    Args:
        kind: the class if none of them is secure. The other arguments are those of
            `StreamTransport`.
    """
    if any(each.is_secure for each in filters):
        kind = SecureTransport
    return kind(make_protocol, loop, log_throttle, filters=filters, **settings)

"""Published names of `twisted.application.strports`: services that listen at an endpoint string."""

from __future__ import annotations

from broker.reactor.endpoints import serverFromString
from broker.reactor.engine.installed import default
from broker.reactor.service.network import StreamServerEndpointService
from broker.reactor.typed import NetworkReactor, ProtocolFactory

__all__ = ["service"]


def service(
    description: str, factory: ProtocolFactory, reactor: NetworkReactor | None = None
) -> StreamServerEndpointService:
    """Return the service that listens at a described endpoint (published).

    Args:
        description: such as ``tcp:8787``; see `endpoints.serverFromString`.
        factory: makes the protocols.
        reactor: default `broker.reactor`.

    Raises:
        ValueError, TypeError, OSError: as `endpoints.serverFromString`.

    The first start raises its errors and does not log them.
    """
    endpoint = serverFromString(default if reactor is None else reactor, description)
    made = StreamServerEndpointService(endpoint, factory)
    made._raiseSynchronously = True
    return made

"""Published names of `twisted.application.strports`: to serve where a text says."""

from __future__ import annotations

from typing import Any

from broker.reactor.endpoints import serverFromString
from broker.reactor.engine.installed import default
from broker.reactor.service.network import StreamServerEndpointService

__all__ = ["service"]


def service(description: str, factory: Any, reactor: Any = None) -> StreamServerEndpointService:
    """Return the service that listens where a description tells (published).

    Args:
        description: such as ``tcp:8787``; see `endpoints.serverFromString`.
        factory: makes the protocols.
        reactor: `broker.reactor` unless given.

    Raises:
        ValueError, TypeError, OSError: as `endpoints.serverFromString`.

    What goes wrong at the first start is raised by that, not logged.
    """
    endpoint = serverFromString(default if reactor is None else reactor, description)
    made = StreamServerEndpointService(endpoint, factory)
    made._raiseSynchronously = True
    return made

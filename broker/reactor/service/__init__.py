"""Published names of `twisted.application.service` and `twisted.application.internet`.

A file that makes an `application` of these runs with ``pb run FILE``::

    from broker import pb
    from broker.reactor import service

    application = service.Application("quotes")
    server = service.TCPServer(8787, pb.PBServerFactory(Quotes()))
    server.setServiceParent(application)
"""

from __future__ import annotations

from broker.reactor.service.client import ClientService, backoffPolicy
from broker.reactor.service.interfaces import IProcess, IService, IServiceCollection
from broker.reactor.service.network import (
    SSLClient,
    SSLServer,
    StreamServerEndpointService,
    TCPClient,
    TCPServer,
    TimerService,
    UNIXClient,
    UNIXServer,
)
from broker.reactor.service.services import (
    Application,
    MultiService,
    Process,
    Service,
)

__all__ = [
    "Application",
    "ClientService",
    "IProcess",
    "IService",
    "IServiceCollection",
    "MultiService",
    "Process",
    "SSLClient",
    "SSLServer",
    "Service",
    "StreamServerEndpointService",
    "TCPClient",
    "TCPServer",
    "TimerService",
    "UNIXClient",
    "UNIXServer",
    "backoffPolicy",
]

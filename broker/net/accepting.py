"""The settings with which a scheme connects and accepts, and the listeners of TCP and UNIX.

A listener whose server trusts proxies reads the PROXY protocol from them, before TLS.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from broker.net.filters import Arrive, Filter
from broker.net.forwarded import TrustedProxies
from broker.net.listener import Listener
from broker.net.log_throttle import LogThrottle
from broker.net.proxies.settings import Proxy
from broker.net.proxy_protocol import ProxyHeaderFilter
from broker.net.sockets import start_accepting
from broker.net.tls.settings import TLS
from broker.net.transports import MakeProtocol
from broker.net.web_pages import OperatorPages

__all__ = ["AcceptSettings", "ConnectSettings", "accept_streams"]


class ConnectSettings(Struct, frozen=True):
    """The settings of a connection to be made, for `Scheme.connect`.

    Attributes:
        tls: the settings of `TLS.client`; None for a scheme without TLS.
        timeout: seconds until the server has been reached.
        handshake_timeout: seconds for the handshakes of TLS and WebSocket after that.
        close_timeout: seconds for the peer to answer the close of this end.
        proxy: connects to the `Scheme.target`; None to connect without a proxy.
        max_pings, ping_after: as in `Policy`, for the small frames of a WebSocket.
    """

    tls: TLS | None
    timeout: float
    handshake_timeout: float
    close_timeout: float
    proxy: Proxy | None = None
    max_pings: int = 40
    ping_after: float = 20.0


class AcceptSettings(Struct, frozen=True):
    """The settings of a listener, for `Scheme.accept`.

    Attributes:
        tls: the settings of `TLS.server`; None for a scheme without TLS.
        handshake_timeout: seconds for the PROXY header, and the handshakes of TLS and WebSocket.
        close_timeout: seconds for the peer to answer the close of this end.
        log_throttle: limits the log records about the connections.
        arrive: notes a connection whose client is not known yet.
        state: returns the state of the server: ``"ready"``, or why it is not; or an awaitable.
        proxies: the proxies that say for whom they connect; or None.
        origins: the origins whose pages may connect by WebSocket.
        max_pings, ping_after: as in `Policy`, for the small frames of a WebSocket.
        operators: what a WebSocket port shows to operators; or None.
    """

    tls: TLS | None
    handshake_timeout: float
    close_timeout: float
    log_throttle: LogThrottle
    arrive: Arrive
    state: Callable[[], str | Awaitable[str]]
    proxies: TrustedProxies | None = None
    origins: frozenset[str] = frozenset()
    max_pings: int = 40
    ping_after: float = 20.0
    operators: OperatorPages | None = None


def accept_streams(
    location: object,
    sockets: Sequence[socket.socket],
    make_protocol: MakeProtocol,
    settings: AcceptSettings,
    *,
    removes_paths: bool = True,
) -> Listener:
    """Accept connections on listening sockets, and own those sockets from now on.

    ``removes_paths`` is whether the files of UNIX sockets are removed when the listener is closed.
    """
    tls, proxies, make_filters = settings.tls, settings.proxies, None
    if proxies is not None:
        trusted = proxies
        tls_filter = None if tls is None else tls.filter_maker(is_server=True)

        def make_filters() -> Sequence[Filter]:
            header = ProxyHeaderFilter(trusted, settings.arrive)
            return (header,) if tls_filter is None else (header, tls_filter())

    return start_accepting(
        sockets,
        make_protocol,
        tls=None if proxies is not None else tls,
        make_filters=make_filters,
        handshake_timeout=settings.handshake_timeout,
        close_timeout=settings.close_timeout,
        log_throttle=settings.log_throttle,
        removes_paths=removes_paths,
    )

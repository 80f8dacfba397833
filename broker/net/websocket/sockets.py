"""Opens and accepts WebSockets on TCP ports, and serves pages on them."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from broker.errors import ConnectError
from broker.net.accepting import AcceptSettings, ConnectSettings
from broker.net.filters import Filter
from broker.net.listener import Listener
from broker.net.locations import WebPlace
from broker.net.sockets import connect_stream, start_accepting
from broker.net.transports import MakeProtocol, StreamTransport
from broker.net.websocket.client import ClientFilter, Refusal
from broker.net.websocket.door import Door
from broker.net.websocket.filter import PingLimit
from broker.net.websocket.server import ServerFilter

__all__ = ["HTTP_HEAD", "accept_pages", "accept_websockets", "connect_websocket"]

HTTP_HEAD = 8 * 1024
"""Bytes of the head of a request at a port of pages."""


async def connect_websocket(
    place: WebPlace, make_protocol: MakeProtocol, settings: ConnectSettings
) -> StreamTransport:
    """Connect to a place, and give the WebSocket to a protocol.

    Raises:
        ConnectError: the server does not answer with a WebSocket, or what `connect_stream` raises.
    """
    host, port = place.host, place.port_to_reach
    pings = PingLimit(settings.max_pings, settings.ping_after)
    tls = settings.tls
    tls_filter = None if tls is None else tls.filter_maker(is_server=False, host=host, port=port)

    def make_filters() -> Sequence[Filter]:
        web = ClientFilter(place, pings)
        return (web,) if tls_filter is None else (tls_filter(), web)

    try:
        return await connect_stream(
            make_protocol,
            host,
            port,
            make_filters=make_filters,
            timeout=settings.timeout,
            handshake_timeout=settings.handshake_timeout,
            close_timeout=settings.close_timeout,
            at_once=True,
            proxy=settings.proxy,
        )
    except Refusal as exc:
        raise ConnectError(None, f"no WebSocket at {place}: {exc}") from exc


def accept_websockets(
    place: WebPlace,
    sockets: Sequence[socket.socket],
    make_protocol: MakeProtocol,
    settings: AcceptSettings,
) -> Listener:
    """Accept WebSockets on listening sockets, and own those sockets from now on."""
    tls = settings.tls
    tls_filter = None if tls is None else tls.filter_maker(is_server=True)
    door = Door(
        path=place.path,
        host=place.host,
        is_tls=tls is not None,
        origins=settings.origins,
        proxies=settings.proxies,
        arrive=settings.arrive,
        state=settings.state,
        pings=PingLimit(settings.max_pings, settings.ping_after),
        operators=settings.operators,
    )

    def make_filters() -> Sequence[Filter]:
        web = ServerFilter(door)
        return (web,) if tls_filter is None else (tls_filter(), web)

    return start_accepting(
        sockets,
        make_protocol,
        make_filters=make_filters,
        handshake_timeout=settings.handshake_timeout,
        close_timeout=settings.close_timeout,
        log_throttle=settings.log_throttle,
    )


def accept_pages(host: str, sockets: Sequence[socket.socket], settings: AcceptSettings) -> Listener:
    """Serve pages, and the WebSockets of the page of operators, on listening sockets.

    They are owned from now on.

    Args:
        host: as the listener was given it.
        sockets: the sockets.
        settings: of the listener; those of TLS and of proxies have no effect.
    """
    door = Door(
        path="",
        host=host,
        is_tls=False,
        origins=frozenset(),
        proxies=None,
        arrive=settings.arrive,
        state=settings.state,
        pings=PingLimit(settings.max_pings, settings.ping_after),
        most_head=HTTP_HEAD,
        operators=settings.operators,
    )
    return start_accepting(
        sockets,
        _no_protocol,
        make_filters=lambda: (ServerFilter(door),),
        handshake_timeout=settings.handshake_timeout,
        close_timeout=settings.close_timeout,
        log_throttle=settings.log_throttle,
    )


def _no_protocol(address: object) -> None:
    """Make no protocol: a WebSocket of the page of operators has its own function."""

"""The WebSocket of the chat's web pages: PB at ``/pb``, for the pages of this site only."""

from __future__ import annotations

import asyncio
import weakref

from aiohttp import WSCloseCode, WSMsgType, web

import broker
from broker.net.filters import Route
from broker.net.message_transport import PIECE, MessageTransport
from broker.net.socket_addresses import Address, IPv4Address, IPv6Address
from examples.chat.web_guard import Refused, Site

__all__ = ["WebSockets"]

SUBPROTOCOL = "pb"


class WebSockets:
    """The WebSockets that are open.

    Args:
        server: the PB server that gets them.
        site: says which pages may connect.
    """

    def __init__(self, server: broker.Server, site: Site):
        self._server, self._site = server, site
        self._open: weakref.WeakSet[web.WebSocketResponse] = weakref.WeakSet()

    async def answer(self, request: web.Request) -> web.WebSocketResponse:
        """Serve a WebSocket until it ends.

        Raises:
            Refused: a page of another site asks for it, or a client that does not speak PB.
        """
        self._site.check_origin(request)
        socket = web.WebSocketResponse(
            protocols=[SUBPROTOCOL], max_msg_size=PIECE, compress=False, timeout=5.0
        )
        ready = socket.can_prepare(request)
        if not ready.ok or ready.protocol != SUBPROTOCOL:
            raise Refused(426, "there is only a WebSocket for PB here", {"Upgrade": "websocket"})
        route = self._route(request)
        await socket.prepare(request)
        self._open.add(socket)
        transport = MessageTransport(
            route, has_tls=request.secure, log_throttle=self._server.log_throttle
        )
        protocol = self._server.attach(transport)
        code = WSCloseCode.OK if protocol else WSCloseCode.TRY_AGAIN_LATER

        async def receive() -> bytes | None:
            nonlocal code
            message = await socket.receive()
            if message.type is WSMsgType.BINARY:
                return bytes(message.data)
            if message.type is WSMsgType.TEXT:
                code = WSCloseCode.UNSUPPORTED_DATA
            return None

        if protocol is not None:
            await transport.run(protocol, receive, socket.send_bytes)
        await socket.close(code=code)
        return socket

    async def close(self) -> None:
        """Close all."""
        closing = [socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self._open)]
        await asyncio.gather(*closing, return_exceptions=True)

    def _route(self, request: web.Request) -> Route:
        host = self._site.address_of(request)
        made = IPv6Address if ":" in host else IPv4Address
        client: Address = made("TCP", host, 0)
        if not self._site.is_behind_proxy:
            return Route(client)
        proxy = request.transport and request.transport.get_extra_info("peername")
        return Route(client, proxy, True, self._site.is_private(request))

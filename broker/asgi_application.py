"""An ASGI application that serves: for a WebSocket inside Starlette, FastAPI, Litestar and others.

ASGI is a calling convention: no library of it is needed here. The server that runs the application,
such as uvicorn, has the socket, TLS, and the limits of the HTTP head.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, TypeAlias

from broker.connection.broker import Broker
from broker.core.policy import STRICT, Policy
from broker.errors import ConfigError
from broker.given import check_given
from broker.login.server import check_target
from broker.net.filters import Route
from broker.net.forwarded import X_FORWARDED_FOR, NotForwarded, client_of
from broker.net.message_transport import PIECE, MessageTransport
from broker.net.socket_addresses import Address, IPv4Address, IPv6Address, UNIXAddress, is_local
from broker.net.web_pages import Page
from broker.net.web_settings import WebSettings, web_settings
from broker.net.websocket.origins import refused_origin
from broker.net.websocket.pages import static_page
from broker.running_server import Server
from broker.stopping import DRAIN, checked_drain

__all__ = ["ASGIApplication", "asgi"]

logger = logging.getLogger("broker.server")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SUBPROTOCOL = "pb"


def asgi(
    target: object,
    *,
    policy: Policy = STRICT,
    drain: float = DRAIN,
    origins: Iterable[str] = (),
    trusted_proxies: Iterable[str] = (),
    forwarded: str = X_FORWARDED_FOR,
) -> ASGIApplication:
    """Return an ASGI application that serves an object, or a portal, by WebSocket.

    Mount it: ``app.mount("/pb", broker.asgi(portal))``. It takes WebSockets at every path below. It
    serves the client for browsers at ``/pb/broker.js``, with the files that this one loads.

    Args:
        target: as for `serve`.
        policy: what is allowed.
        drain: seconds that calls have to end when the application is shut down.
        origins: the web pages that may connect, such as ``https://broker.example``; a request
            without an origin is not from a page, and is always taken.
        trusted_proxies: addresses and networks of proxies, and ``unix`` for clients without an
            address; as for `serve`.
        forwarded: the one header that the proxies set: ``X-Forwarded-For`` or ``Forwarded``.

    Raises:
        ConfigError: an argument is not valid, or a portal has no checkers.
        TypeError: ``target`` is neither a Root nor a Portal.
    """
    check_given(policy, None)
    web = web_settings(origins, trusted_proxies, forwarded)
    check_target(target)
    return ASGIApplication(Server(target, policy, checked_drain(drain)), web)


class ASGIApplication:
    """An ASGI 3 application; made by `asgi`.

    As the outermost application it closes its server at the end, with the drain. Frameworks do not
    tell a mounted application of the end: there, call ``await application.server.close()``.

    Attributes:
        server: the server of its connections.
    """

    def __init__(self, server: Server, web: WebSettings):
        self.server = server
        self._web = web

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI.

        Raises:
            ConfigError: the scope is of another kind.
        """
        kind = scope["type"]
        if kind == "websocket":
            await self._serve(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        elif kind == "http":
            await _answer_request(scope, send)
        else:
            raise ConfigError(f"an ASGI scope of the type {kind!r} is not understood")

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                self.server.begin()
                await send({"type": "lifespan.startup.complete"})
            elif event["type"] == "lifespan.shutdown":
                await self.server.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        self.server.begin()
        throttle = self.server.log_throttle
        peer = _address(scope.get("client"))
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ]
        has_tls = scope.get("scheme") == "wss"
        try:
            route = self._route(peer, headers, has_tls)
            self._check(scope, headers)
        except Refused as refused:
            throttle.log(logger, logging.WARNING, peer, "%s: refused: %s", peer, refused)
            await send({"type": "websocket.close", "code": 1008})
            return
        transport = MessageTransport(route, has_tls=has_tls, log_throttle=throttle)
        protocol = self.server.attach(transport)
        if protocol is None:
            await send({"type": "websocket.close", "code": 1013})
            return
        await _converse(transport, protocol, receive, send)

    def _route(
        self, peer: Address | None, headers: Sequence[tuple[str, str]], has_tls: bool
    ) -> Route:
        proxies = self._web.proxies
        known = UNIXAddress("") if peer is None else peer
        if proxies is None or not proxies.trust(known):
            return Route(peer)
        try:
            client = client_of(proxies, headers)
        except NotForwarded:
            raise Refused("a trusted proxy that does not say for whom") from None
        is_encrypted = client.is_https and (has_tls or is_local(known))
        return Route(client.address, known, True, is_encrypted)

    def _check(self, scope: Scope, headers: Sequence[tuple[str, str]]) -> None:
        origins = [value for name, value in headers if name.lower() == "origin"]
        refusal = refused_origin(self._web.origins, origins)
        if refusal is not None:
            raise Refused(refusal)
        if _SUBPROTOCOL not in (scope.get("subprotocols") or ()):
            raise Refused("missing subprotocol")


class Refused(Exception):
    """A WebSocket is refused."""


async def _converse(
    transport: MessageTransport, protocol: Broker, receive: Receive, send: Send
) -> None:
    code = 1000

    async def next_message() -> bytes | None:
        nonlocal code
        event = await receive()
        if event["type"] != "websocket.receive":
            code = 0
            return None
        data = event.get("bytes")
        if data is None or len(data) > PIECE:
            code = 1003 if data is None else 1009
            transport.abortConnection()
            return None
        return bytes(data)

    async def send_message(data: bytes) -> None:
        await send({"type": "websocket.send", "bytes": data})

    try:
        await send({"type": "websocket.accept", "subprotocol": _SUBPROTOCOL})
    except BaseException:
        # The client has gone before the answer.
        transport.end(protocol)
        raise
    await transport.run(protocol, next_message, send_message)
    if code:
        await send({"type": "websocket.close", "code": code})


async def _answer_request(scope: Scope, send: Send) -> None:
    """Answer a request of HTTP: with a script of the client for browsers, else with 404."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    # Litestar puts a slash at the end.
    page = static_page(path.rstrip("/"))
    if page is None or not page.is_script:
        await _answer(send, 404, Page("text/plain; charset=utf-8", b"there is no such page\n"))
    elif scope["method"] not in ("GET", "HEAD"):
        await _answer(send, 405, Page(page.kind, b""), (b"allow", b"GET, HEAD"))
    else:
        known = b",".join(value for name, value in scope["headers"] if name == b"if-none-match")
        status = 304 if page.tag.encode() in known else 200
        fields = [
            # The client is public: pages of other sites may import it.
            (b"access-control-allow-origin", b"*"),
            (b"cache-control", b"no-cache"),
            (b"etag", page.tag.encode()),
        ]
        has_body = status == 200 and scope["method"] == "GET"
        await _answer(send, status, page, *fields, has_body=has_body)


async def _answer(
    send: Send, status: int, page: Page, *fields: tuple[bytes, bytes], has_body: bool = True
) -> None:
    headers = [
        (b"content-type", page.kind.encode()),
        (b"content-length", str(len(page.body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        *fields,
    ]
    if status == 304:
        del headers[1]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": page.body if has_body else b""})


def _address(client: Sequence[str | int] | None) -> Address | None:
    """Return the address of a client; None if it has none, such as one through a UNIX socket."""
    if not client or not client[0]:
        return None
    host, port = str(client[0]), int(client[1] or 0)
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)

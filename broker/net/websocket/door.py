"""Answers the requests on a port of WebSockets or pages: a page, a refusal, or the upgrade.

A `Door` is what all connections of one listener share. It takes the head of a request, and says
what becomes of it; it does no input and no output.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace
from websockets.datastructures import Headers
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from broker.net.filters import Arrive, Route
from broker.net.forwarded import NotForwarded, TrustedProxies, client_of
from broker.net.socket_addresses import is_local, is_loopback
from broker.net.web_pages import OperatorPages, Page
from broker.net.websocket.filter import PingLimit
from broker.net.websocket.origins import refused_origin
from broker.net.websocket.pages import static_page
from broker.printable import printable

__all__ = ["MOST_HEAD", "SUBPROTOCOL", "Answer", "Door", "answer", "parse_head"]

MOST_HEAD = 16 * 1024
"""Bytes of the head of a request, or of an answer."""

SUBPROTOCOL = "pb"

_TEXT = "text/plain; charset=utf-8"
# What proxies add to the requests of others.
_OF_PROXIES = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_POLICY = "default-src 'self'; frame-ancestors 'none'"

Parsed = TypeVar("Parsed")


class Answer(Struct, frozen=True):
    """What becomes of a request.

    Attributes:
        data: the bytes of the answer.
        route: the way of the connection if it becomes a WebSocket; None if it ends.
        refusal: why the request is refused, for the log; empty if that is not logged.
        later: gives the bytes of the answer in place of ``data``; or None.
    """

    data: bytes
    route: Route | None = None
    refusal: str = ""
    later: Awaitable[bytes] | None = None


class Refused(Exception):
    """A request is not answered with what it asks for.

    Attributes:
        status: of HTTP.
        headers: of the answer.
        is_logged: False for a page that there is not, which browsers ask for by themselves.
    """

    def __init__(
        self,
        status: int,
        text: str,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        is_logged: bool = True,
    ):
        super().__init__(text)
        self.status = status
        self.headers = headers
        self.is_logged = is_logged


class Door(Struct, frozen=True):
    """The settings of one listener.

    Attributes:
        path: the path of the WebSocket; empty for a port of pages only.
        host: the host that the listener was given.
        is_tls: whether the connections use TLS.
        origins: the origins whose pages may connect.
        proxies: the proxies that say for whom they connect; or None.
        arrive: notes a connection whose request has not come; see `Arrive`.
        state: returns the state of the server: ``"ready"``, or why it is not; or an awaitable.
        pings: the limit of small frames.
        most_head: bytes of the head of a request.
        operators: what is shown to operators; or None.
    """

    path: str
    host: str
    is_tls: bool
    origins: frozenset[str]
    proxies: TrustedProxies | None
    arrive: Arrive
    state: Callable[[], str | Awaitable[str]]
    pings: PingLimit
    most_head: int = MOST_HEAD
    operators: OperatorPages | None = None

    def trusts(self, peer: object) -> bool:
        """Return whether a connection from an address is one of a trusted proxy."""
        return self.proxies is not None and self.proxies.trust(peer)

    def answer(self, head: bytes, rest: bytes | memoryview, peer: object) -> Answer:
        """Return what becomes of a request.

        Args:
            head: its head, with the empty line at its end.
            rest: what came after it.
            peer: the address of the other end of the source.
        """
        is_head = head.startswith(b"HEAD ")
        try:
            request = _parse_request(head)
            route = self._route(request, peer)
            if "Upgrade" in request.headers:
                return self._upgrade(request, rest, route)
            state = self._state(request)
            if state is not None and not isinstance(state, str):
                return Answer(b"", later=_of_state(state, request, is_head))
            page = self._page(request, route) if state is None else _ready(state)
        except Refused as refused:
            text = f"{refused}\n"
            data = answer(refused.status, text, headers=refused.headers, is_head=is_head)
            return Answer(data, refusal=f"{refused.status} {refused}" * refused.is_logged)
        return Answer(_of_page(page, request, is_head))

    def _route(self, request: Request, peer: object) -> Route:
        if self.proxies is None or not self.proxies.trust(peer):
            return Route(peer)
        try:
            forwarded = client_of(self.proxies, list(request.headers.raw_items()))
        except NotForwarded:
            text = "a trusted proxy that does not say for whom"
            raise Refused(400, text) from None
        is_encrypted = forwarded.is_https and (self.is_tls or is_local(peer))
        return Route(forwarded.address, peer, True, is_encrypted)

    def _upgrade(self, request: Request, rest: bytes | memoryview, route: Route) -> Answer:
        path, origins = request.path.partition("?")[0], self.origins
        operators = self._operators(request, route)
        if operators is not None and path == operators.socket_path:
            self._check_host(request, route)
            origins = self._own_origins(request)
            route = replace(route, accept=operators.accept)
        elif not self.path or path != self.path:
            raise Refused(404, "there is no WebSocket at this path")
        refusal = refused_origin(origins, request.headers.get_all("Origin"))
        if refusal is not None:
            raise Refused(403, refusal)
        if rest:
            # No client knows yet whether this is a WebSocket. Perhaps a proxy in front has taken
            # it for another request.
            raise Refused(400, "data before the answer")
        core = ServerProtocol(subprotocols=[SUBPROTOCOL])  # type: ignore[list-item]
        response = core.accept(request)
        if response.status_code != 101:
            raise _refused(core, response)
        return Answer(response.serialize(), route)

    def _state(self, request: Request) -> str | Awaitable[str] | None:
        """Return the state of the server if a request asks for it."""
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "GET and HEAD only", (("Allow", "GET, HEAD"),))
        return self.state() if request.path.partition("?")[0] == "/ready" else None

    def _operators(self, request: Request, route: Route) -> OperatorPages | None:
        """Return what is shown to operators, unless the request came through a proxy.

        A proxy in front of a WebSocket port at a loopback address is how strangers reach it.
        """
        is_proxied = route.proxy is not None or any(name in request.headers for name in _OF_PROXIES)
        return None if self.path and is_proxied else self.operators

    def _own_origins(self, request: Request) -> frozenset[str]:
        """Return the origin of the pages of this port, by the name that the client has for it."""
        scheme = "https" if self.is_tls else "http"
        return frozenset(f"{scheme}://{host.lower()}" for host in request.headers.get_all("Host"))

    def _page(self, request: Request, route: Route) -> Page:
        path = request.path.partition("?")[0]
        if path == "/health":
            return Page(_TEXT, b"ok\n")
        self._check_host(request, route)
        operators = self._operators(request, route)
        page = None if operators is None else operators.page(path)
        if page is None and (path != "/" or is_loopback(self.host)):
            page = static_page(path)
        if page is not None:
            return page
        if self.path and path == self.path:
            upgrade = (("Upgrade", "websocket"),)
            raise Refused(426, "this is a WebSocket", upgrade, is_logged=False)
        raise Refused(404, "there is no such page", is_logged=False)

    def _check_host(self, request: Request, route: Route) -> None:
        """Refuse a page to a site whose name has been pointed at this machine (DNS rebinding)."""
        if not is_loopback(self.host) or route.proxy is not None:
            return
        for host in request.headers.get_all("Host") or [""]:
            name = host.lower().rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
            own = f"[{self.host}]" if ":" in self.host else self.host
            if name.lower() not in _LOOPBACK_NAMES | {own}:
                raise Refused(421, "the header Host is not a name of this port")


def parse_head(parser: Callable[[Any], Generator[None, None, Parsed]], head: bytes) -> Parsed:
    """Return what a parser of `websockets` makes of a complete head.

    Raises:
        LookupError, ValueError, EOFError, NotImplementedError, WebSocketException: it is not valid.
    """
    reader = StreamReader()
    reader.feed_data(head)
    reader.feed_eof()
    try:
        next(parser(reader))
    except StopIteration as done:
        parsed: Parsed = done.value
        return parsed
    raise EOFError("the head is not complete")


def answer(
    status: int,
    text: str | bytes,
    kind: str = "text/plain; charset=utf-8",
    headers: tuple[tuple[str, str], ...] = (),
    *,
    is_head: bool = False,
) -> bytes:
    """Return the bytes of an answer, after which the connection ends."""
    body = text.encode() if isinstance(text, str) else text
    fields = Headers(
        [
            ("Date", formatdate(usegmt=True)),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", kind),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ]
    )
    sent = b"" if is_head or status == 304 else body
    return Response(status, HTTPStatus(status).phrase, fields, sent).serialize()


def _parse_request(head: bytes) -> Request:
    try:
        return parse_head(lambda reader: Request.parse(reader.read_line), head)
    except NotImplementedError:
        raise Refused(400, "a request with a body") from None
    except (LookupError, ValueError, EOFError, WebSocketException):
        raise Refused(400, "not a valid request") from None


def _refused(core: ServerProtocol, response: Response) -> Refused:
    status, headers = response.status_code, response.headers
    kept = tuple((name, headers[name]) for name in ("Allow", "Upgrade") if name in headers)
    why = printable(str(core.handshake_exc), 200)
    return Refused(status, why, kept)


def _ready(state: str) -> Page:
    return Page(_TEXT, f"{state}\n".encode(), status=200 if state == "ready" else 503)


async def _of_state(state: Awaitable[str], request: Request, is_head: bool) -> bytes:
    return _of_page(_ready(await state), request, is_head)


def _of_page(page: Page, request: Request, is_head: bool) -> bytes:
    headers = [("Cache-Control", "no-cache" if page.tag else "no-store")]
    if page.kind.startswith("text/html"):
        headers.append(("Content-Security-Policy", _POLICY))
        headers.append(("Referrer-Policy", "no-referrer"))
    elif page.is_script:
        # The client is public: pages of other sites may import it.
        headers.append(("Access-Control-Allow-Origin", "*"))
    status = page.status
    if page.tag:
        headers.append(("ETag", page.tag))
        if page.tag in ",".join(request.headers.get_all("If-None-Match")):
            status = 304
    body = b"" if status == 304 else page.body
    return answer(status, body, page.kind, tuple(headers), is_head=is_head)

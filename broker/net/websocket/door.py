"""Answers the requests on a WebSocket port: a page, a refusal, or the upgrade.

A `Door` is what all connections of one listener share. It takes the head of a request, and says
what becomes of it; it does no input and no output.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, TypeVar

from msgspec import Struct
from websockets.datastructures import Headers
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from broker.net.filters import Arrive, Route
from broker.net.forwarded import NotForwarded, TrustedProxies, client_of
from broker.net.socket_addresses import is_local, is_loopback
from broker.net.websocket.filter import PingLimit
from broker.net.websocket.origins import refused_origin
from broker.net.websocket.pages import Page, static_page
from broker.printable import printable

__all__ = ["MOST_HEAD", "SUBPROTOCOL", "Answer", "Door", "answer", "parse_head"]

MOST_HEAD = 16 * 1024
"""Bytes of the head of a request, or of an answer."""

SUBPROTOCOL = "pb"

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_POLICY = "default-src 'self'; frame-ancestors 'none'"

Parsed = TypeVar("Parsed")


class Answer(Struct, frozen=True):
    """What becomes of a request.

    Attributes:
        data: the bytes of the answer.
        route: the way of the connection if it becomes a WebSocket; None if it ends.
        refusal: why the request is refused, for the log; empty if that is not logged.
    """

    data: bytes
    route: Route | None = None
    refusal: str = ""


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
        path: the path of the WebSocket.
        host: the host that the listener was given.
        is_tls: whether the connections use TLS.
        origins: the origins whose pages may connect.
        proxies: the proxies that say for whom they connect; or None.
        arrive: notes a connection whose request has not come; see `Arrive`.
        state: returns the state of the server: ``"ready"``, or why it is not.
        pings: the limit of small frames.
    """

    path: str
    host: str
    is_tls: bool
    origins: frozenset[str]
    proxies: TrustedProxies | None
    arrive: Arrive
    state: Callable[[], str]
    pings: PingLimit

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
            page = self._page(request, route)
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
        if request.path.partition("?")[0] != self.path:
            raise Refused(404, "there is no WebSocket at this path")
        refusal = refused_origin(self.origins, request.headers.get_all("Origin"))
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

    def _page(self, request: Request, route: Route) -> Page:
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "GET and HEAD only", (("Allow", "GET, HEAD"),))
        path = request.path.partition("?")[0]
        if path == "/health":
            return Page("text/plain; charset=utf-8", b"ok\n")
        if path == "/ready":
            state = self.state()
            status = 200 if state == "ready" else 503
            return Page("text/plain; charset=utf-8", f"{state}\n".encode(), status=status)
        self._check_host(request, route)
        page = None if path == "/" and not is_loopback(self.host) else static_page(path)
        if page is not None:
            return page
        if path == self.path:
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


def _of_page(page: Page, request: Request, is_head: bool) -> bytes:
    headers = [("Cache-Control", "no-cache" if page.tag else "no-store")]
    if page.kind.startswith("text/html"):
        headers.append(("Content-Security-Policy", _POLICY))
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

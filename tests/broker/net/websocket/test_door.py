"""What becomes of a request: the upgrade, a page, or a refusal with its status and text."""

from __future__ import annotations

from typing import Any

import pytest
from support.web_ends import PEER, new_door, request, trusting

from broker.net.socket_addresses import IPv4Address, UNIXAddress
from broker.net.web_pages import OperatorPages, Page
from broker.net.websocket.door import Answer
from broker.net.websocket.pages import static_page

GET = "GET {} HTTP/1.1"
PROXY = IPv4Address("TCP", "10.0.0.1", 9)


def asked(*headers: str, line: str = "GET /pb HTTP/1.1", upgrade: bool = True, peer: Any = PEER,
          rest: bytes = b"", **settings: Any) -> Answer:  # fmt: skip
    """Return what becomes of a request."""
    return new_door(**settings).answer(request(*headers, line=line, upgrade=upgrade), rest, peer)


def page(path: str, *headers: str, method: str = "GET", **settings: Any) -> tuple[int, Any, bytes]:
    """Return the status, the headers and the body that a path is answered with."""
    line = f"{method} {path} HTTP/1.1"
    data = asked(*headers, line=line, upgrade=False, **settings).data
    head, _, body = data.partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    fields = dict(each.split(": ", 1) for each in rest)
    assert fields["Connection"] == "close"
    assert fields["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in fields
    return int(first.split()[1]), fields, body


def test_upgrade() -> None:
    """A right request is answered 101, with the subprotocol and without extensions."""
    found = asked("Host: x", "Sec-WebSocket-Extensions: permessage-deflate")
    assert found.data.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in found.data
    assert b"Sec-WebSocket-Protocol: pb\r\n" in found.data
    assert b"Extensions" not in found.data
    assert found.route is not None
    assert (found.route.address, found.route.proxy, found.refusal) == (PEER, None, "")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "other path": ({"line": "GET /other HTTP/1.1"}, "404 there is no WebSocket at this path"),
    "longer path": ({"line": "GET /pb/ HTTP/1.1"}, "404 there is no WebSocket at this path"),
    "data behind it": ({"rest": b"x"}, "400 data before the answer"),
    "method": ({"line": "POST /pb HTTP/1.1"}, "405 "),
    "version": ({"line": "GET /pb HTTP/1.0"}, "505 "),
    "no HTTP": ({"line": "GET /pb"}, "400 not a valid request"),
    "absolute path": ({"line": "GET http://x/pb HTTP/1.1"}, "404 "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_upgrades(name: str) -> None:
    """What is not a right request is refused with its status, and not admitted."""
    given, text = REFUSED[name]
    found = asked(**given)
    assert found.route is None
    assert found.refusal.startswith(text)
    assert found.data.startswith(b"HTTP/1.1 " + text[:3].encode())


@pytest.mark.parametrize(
    "header",
    ["Transfer-Encoding: chunked", "Content-Length: 5", "Content-Length: 0\r\nContent-Length: 5",
     "Host : x", "a b: c", "X: y\r\n folded", "no colon", "X: \0"],
)  # fmt: skip
def test_heads_that_others_may_read_otherwise(header: str) -> None:
    """A request with a body, or with a header that can be understood in two ways, is refused."""
    for upgrade in (True, False):
        found = asked(header, upgrade=upgrade)
        assert found.route is None
        assert found.refusal in ("400 not a valid request", "400 a request with a body")


@pytest.mark.parametrize("left_out", ["Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
                                      "Sec-WebSocket-Protocol"])  # fmt: skip
def test_incomplete_upgrades(left_out: str) -> None:
    """Each header of a WebSocket is needed, the subprotocol too."""
    lines = request().split(b"\r\n")
    head = b"\r\n".join(each for each in lines if not each.startswith(left_out.encode()))
    found = new_door().answer(head, b"", PEER)
    assert found.route is None
    assert found.refusal[:4] in ("400 ", "426 ")
    if left_out == "Sec-WebSocket-Protocol":
        assert found.refusal == "400 missing subprotocol"


ORIGINS = frozenset({"https://broker.example"})


@pytest.mark.parametrize(
    ("sent", "is_taken"),
    [
        ([], True),
        (["https://broker.example"], True),
        (["https://evil.example"], False),
        (["https://broker.example.evil.example"], False),
        (["https://broker.example:8443"], False),
        (["http://broker.example"], False),
        (["https://BROKER.example"], False),
        (["null"], False),
        ([""], False),
        (["https://broker.example", "https://evil.example"], False),
        (["https://evil.example", "https://broker.example"], False),
    ],
)
def test_origins(sent: list[str], is_taken: bool) -> None:
    """Only listed origins are taken, each one that is sent; a request without one is taken."""
    headers = [f"Origin: {each}" for each in sent] or ["Host: x"]
    found = asked(*headers, origins=ORIGINS)
    assert (found.route is not None) == is_taken
    if not is_taken:
        assert found.refusal.startswith("403 origin ")
    assert asked(*headers).route is not None or sent


def test_health() -> None:
    """``/health`` and ``/ready`` say how the server is, for any host and at any listener."""
    for host in ("127.0.0.1", "0.0.0.0"):
        assert page("/health", "Host: elsewhere", host=host)[::2] == (200, b"ok\n")
        assert page("/ready?x=1", host=host)[::2] == (200, b"ready\n")
        assert page("/ready", host=host, state=lambda: "draining")[::2] == (503, b"draining\n")
    assert page("/health")[1]["Cache-Control"] == "no-store"


def test_head() -> None:
    """HEAD has the headers of GET, and no body."""
    status, fields, body = page("/health", method="HEAD")
    assert (status, fields["Content-Length"], body) == (200, "3", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "PRI"])
def test_methods(method: str) -> None:
    """Other methods are refused."""
    status, fields, _ = page("/", method=method)
    assert (status, fields["Allow"]) == (405, "GET, HEAD")


def test_the_page_of_the_port() -> None:
    """``/`` is a page at a loopback address only, and may load nothing of other sites."""
    status, fields, body = page("/")
    assert (status, fields["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert fields["Content-Security-Policy"] == "default-src 'self'; frame-ancestors 'none'"
    assert b"Perspective Broker" in body
    assert page("/", host="0.0.0.0")[0] == 404


def test_pages_of_other_sites_import_the_client() -> None:
    """A script is for pages of every site; other pages are not."""
    for host in ("127.0.0.1", "0.0.0.0"):
        # The first one loads the others.
        for name in ("broker", "broker-login", "broker-served", "broker-again"):
            path = f"/{name}.js"
            status, fields, body = page(path, "Host: localhost", host=host)
            assert (status, fields["Access-Control-Allow-Origin"]) == (200, "*")
            assert body.startswith(b"/*! perspective-broker ")
    for path in ("/", "/health", "/ready", "/other"):
        assert "Access-Control-Allow-Origin" not in page(path, "Host: localhost")[1]


def test_tags() -> None:
    """A file is sent again only when it has changed."""
    _, fields, _ = page("/")
    known = static_page("/")
    assert known is not None and fields["ETag"] == known.tag
    status, fields, body = page("/", "Host: localhost", f"If-None-Match: {known.tag}")
    assert (status, body, fields["ETag"]) == (304, b"", known.tag)
    assert page("/", "Host: localhost", 'If-None-Match: "other"')[0] == 200


@pytest.mark.parametrize("path", ["/favicon.ico", "/../pyproject.toml", "/static/x", "//", "/%2e"])
def test_no_page(path: str) -> None:
    """A path without a page is 404; no path leads out of the folder."""
    assert page(path)[0] == 404


def test_the_path_of_the_socket() -> None:
    """A browser that opens the path of the WebSocket is told what it is."""
    status, fields, body = page("/pb")
    assert (status, fields["Upgrade"], body) == (426, "websocket", b"this is a WebSocket\n")


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("LOCALHOST:80", 200), ("127.0.0.1:8788", 200), ("[::1]:8788", 200),
     ("[::1]", 200), ("evil.example", 421), ("evil.example:8788", 421), ("", 421),
     ("localhost.evil.example", 421), ("127.0.0.1@evil.example", 421)],
)  # fmt: skip
def test_names_of_a_loopback_port(host: str, status: int) -> None:
    """A page of a loopback port is for its own names: no other site can read it."""
    assert page("/", f"Host: {host}")[0] == status
    assert page("/", f"Host: {host}", "Host: evil.example")[0] == 421


PROXIES = trusting("10.0.0.0/8", "unix")


def test_forwarded() -> None:
    """The client that a trusted proxy names is admitted; the proxy's TLS is not the client's."""
    found = asked("X-Forwarded-For: 203.0.113.5", peer=PROXY, proxies=PROXIES)
    assert found.route is not None
    assert (str(found.route.address), found.route.proxy) == ("203.0.113.5:0", PROXY)
    assert found.route.is_tls_with_proxy


@pytest.mark.parametrize(
    ("headers", "peer", "is_tls", "is_private"),
    [
        (["X-Forwarded-Proto: https"], PROXY, False, False),
        (["X-Forwarded-Proto: https"], PROXY, True, True),
        (["X-Forwarded-Proto: HTTPS"], UNIXAddress(""), False, True),
        (["X-Forwarded-Proto: http"], UNIXAddress(""), False, False),
        (["X-Forwarded-Proto: http"], PROXY, True, False),
        ([], PROXY, True, False),
        (["X-Forwarded-Proto: https, http"], PROXY, True, False),
        (["X-Forwarded-Proto: http", "X-Forwarded-Proto: https"], PROXY, True, False),
    ],
)
def test_private_behind_a_proxy(
    headers: list[str], peer: Any, is_tls: bool, is_private: bool
) -> None:
    """It is private if the proxy says https, and the connection from the proxy is private too."""
    for client in ("203.0.113.5", "127.0.0.1"):
        route = asked(
            f"X-Forwarded-For: {client}", *headers, peer=peer, is_tls=is_tls, proxies=PROXIES
        ).route
        assert route is not None
        assert route.is_private(is_tls) == is_private


def test_proxies_that_do_not_say_for_whom() -> None:
    """A trusted proxy without a valid header is refused, also for a page."""
    for upgrade in (True, False):
        found = asked("Host: x", peer=PROXY, proxies=PROXIES, upgrade=upgrade)
        assert found.refusal == "400 a trusted proxy that does not say for whom"


def test_headers_of_strangers() -> None:
    """From other addresses the headers are ignored."""
    found = asked("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https", proxies=PROXIES)
    assert found.route is not None
    assert (found.route.address, found.route.proxy) == (PEER, None)
    assert not found.route.is_private(False)


def operators(path: str) -> Page | None:
    """The page for operators."""
    return Page("text/html", b"secret") if path == "/admin" else None


SHOWN = OperatorPages(operators, "/admin/pb", lambda address: address)


def test_pages_for_operators() -> None:
    """They are for the names of this machine, and not for what came through a proxy."""
    assert page("/admin", "Host: localhost", operators=SHOWN)[::2] == (200, b"secret")
    assert page("/admin", "Host: evil.example", operators=SHOWN)[0] == 421
    assert page("/admin", "Host: localhost")[0] == 404
    for header in ("X-Forwarded-For: 192.0.2.1", "forwarded: for=x", "x-real-ip: y", "Via: 1.1 z"):
        assert page("/admin", "Host: localhost", header, operators=SHOWN)[0] == 404
    forwarded = "X-Forwarded-For: 203.0.113.5"
    settings: dict[str, Any] = {"peer": PROXY, "proxies": PROXIES, "operators": SHOWN}
    assert page("/admin", "Host: localhost", forwarded, **settings)[0] == 404


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (["Host: localhost:8788"], ""),
        (["Host: localhost:8788", "Origin: http://localhost:8788"], ""),
        (["Host: localhost:8788", "Origin: https://broker.example"], "403 "),
        (["Host: localhost:8788", "Origin: https://localhost:8788"], "403 "),
        (["Host: evil.example", "Origin: http://evil.example"], "421 "),
        (["Host: localhost", "Via: 1.1 x"], "404 "),
    ],
)
def test_the_socket_of_operators(headers: list[str], text: str) -> None:
    """Only the pages of the port itself connect; the origins of the listener are for its path."""
    line = "GET /admin/pb HTTP/1.1"
    found = asked(*headers, line=line, operators=SHOWN, origins=ORIGINS)
    assert found.refusal.startswith(text)
    assert (found.route is None) == bool(text)
    if found.route is not None:
        assert found.route.accept is SHOWN.accept
        assert SHOWN.accept is not None
    own = asked("Host: x", operators=SHOWN)
    assert own.route is not None and own.route.accept is None


def test_a_port_of_pages() -> None:
    """A port with no path has no WebSocket of its own, whatever its request says."""
    for line in ("GET ?x HTTP/1.1", "GET / HTTP/1.1", "GET /pb HTTP/1.1"):
        assert asked("Host: localhost", line=line, path="").refusal.startswith("404 ")
    found = asked("Host: localhost", line="GET ?x HTTP/1.1", upgrade=False, path="")
    assert b"426" not in found.data[:20]
    # It has no proxies, so their headers mean nothing.
    line = "GET /admin HTTP/1.1"
    found = asked("Host: x", "Via: 1", line=line, upgrade=False, path="", operators=SHOWN, host="x")
    assert found.data.endswith(b"secret")


async def test_a_state_that_takes_time() -> None:
    """``/ready`` may be answered later."""

    async def state() -> str:
        return "degraded: database"

    found = asked("Host: x", line="GET /ready HTTP/1.1", upgrade=False, state=state)
    assert (found.data, found.route, found.refusal) == (b"", None, "")
    assert found.later is not None
    answer = await found.later
    assert answer.startswith(b"HTTP/1.1 503 ") and answer.endswith(b"degraded: database\n")

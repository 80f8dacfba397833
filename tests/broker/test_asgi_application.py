"""The ASGI application: alone, and mounted in frameworks, under the servers that people use."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import pytest
import uvicorn
from fastapi import FastAPI
from litestar import Litestar
from litestar import asgi as litestar_asgi
from starlette.applications import Starlette

import broker
import cred
from broker.asgi_application import ASGIApplication
from broker.core.policy import STRICT
from broker.net.message_transport import PIECE

pytestmark = [
    # Of the servers and frameworks themselves.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Room(broker.Root):
    """Answers, and calls back."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_who(self) -> tuple[str, str, bool]:
        """Return who calls, through which proxy, and whether that is private."""
        call = broker.current_call()
        port = call.connection.broker.port
        return str(call.peer.address), str(call.peer.proxy), port.is_private

    async def remote_call(self, observer: Any) -> Any:
        """Call back."""
        return await observer.callRemote("news", "hello")


class Observer(broker.Referenceable):
    """Is called."""

    def remote_news(self, text: str) -> str:
        """Answer."""
        return text.upper()


def alone(application: Any) -> Any:
    """Do not mount it."""
    return application


def in_starlette(application: Any) -> Any:
    """Mount it."""
    app = Starlette()
    app.mount("/pb", application)
    return app


def in_fastapi(application: Any) -> Any:
    """Mount it."""
    app = FastAPI()
    app.mount("/pb", application)
    return app


def in_litestar(application: Any) -> Any:
    """Mount it."""
    handler = litestar_asgi("/pb", is_mount=True, copy_scope=True)(application)
    return Litestar([handler], logging_config=None)


@asynccontextmanager
async def in_uvicorn(app: Any) -> AsyncIterator[int]:
    """Run an application; the value is the port."""
    config = uvicorn.Config(
        app, log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    running = asyncio.ensure_future(server._serve([sock]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await running
        sock.close()


@asynccontextmanager
async def in_hypercorn(app: Any) -> AsyncIterator[int]:
    """Run an application; the value is the port."""
    config = hypercorn.config.Config()
    config.accesslog = config.errorlog = None
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    config.bind = [f"fd://{sock.fileno()}"]
    stop = asyncio.Event()
    serving = hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)
    running = asyncio.ensure_future(serving)
    try:
        yield sock.getsockname()[1]
    finally:
        stop.set()
        await running
        sock.detach()


SCRIPTS = ["broker.js", "broker-login.js", "broker-served.js", "broker-again.js"]
"""The client for browsers: the first one loads the others."""


def fetched(url: str) -> bytes:
    """Return a page."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


SERVERS = [in_uvicorn, in_hypercorn]
FRAMEWORKS = [alone, in_starlette, in_fastapi, in_litestar]


async def reached(application: ASGIApplication, count: int) -> None:
    """Wait until so many connections have ended."""
    while application.server.stats.closed < count:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("run", SERVERS)
@pytest.mark.parametrize("mount", FRAMEWORKS)
async def test_mounted(run: Any, mount: Callable[[Any], Any]) -> None:
    """Calls both ways, long values, and the end, in each framework under each server."""
    application = broker.asgi(Room())
    async with run(mount(application)) as port:
        async with broker.connect(f"ws://127.0.0.1:{port}/pb/") as connection:
            root = connection.root
            address, proxy, is_private = await root.callRemote("who")
            assert address.startswith("127.0.0.1:")
            assert (proxy, is_private) == ("None", True)
            assert await root.callRemote("call", Observer()) == "HELLO"
            long = "x" * 1_000_000
            assert await root.callRemote("echo", long) == long
            results = await asyncio.gather(*(root.callRemote("echo", i) for i in range(200)))
            assert results == list(range(200))
        place = "" if mount is alone else "/pb"
        for script in SCRIPTS:
            read = await asyncio.to_thread(fetched, f"http://127.0.0.1:{port}{place}/{script}")
            assert read.startswith(b"/*! perspective-broker ")
        await reached(application, 1)
        assert application.server.connections == ()


async def test_closed_with_the_server() -> None:
    """``server.close`` says goodbye to the clients, and refuses others."""
    application = broker.asgi(Room())
    async with in_uvicorn(in_starlette(application)) as port:
        address = f"ws://127.0.0.1:{port}/pb/"
        connection = await broker.connect(address)
        await application.server.close()
        await connection.wait_closed()
        with pytest.raises(broker.ConnectError, match="the server answers 403"):
            await broker.connect(address)


# Without a server: the messages of ASGI themselves.


class Scope:
    """One WebSocket of ASGI, as a server would run it.

    Attributes:
        sent: the messages of the application.
    """

    def __init__(self, **changes: Any):
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "scheme": "ws",
            "path": "/",
            "headers": [],
            "client": ("192.0.2.7", 5),
            "subprotocols": ["pb"],
            **changes,
        }
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.told = asyncio.Event()
        self.incoming.put_nowait({"type": "websocket.connect"})

    async def send(self, message: Any) -> None:
        """Note a message."""
        self.sent.append(message)
        self.told.set()

    def run(self, application: Any) -> Awaitable[None]:
        """Run the application."""
        return asyncio.ensure_future(application(self.scope, self.incoming.get, self.send))

    async def first(self) -> dict[str, Any]:
        """Wait for the first message."""
        await self.told.wait()
        return self.sent[0]

    async def until(self, kind: str) -> dict[str, Any]:
        """Wait for a message of a kind."""
        while True:
            for message in self.sent:
                if message["type"] == kind:
                    return message
            self.told.clear()
            await self.told.wait()


def headers(*lines: str) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI has them."""
    pairs = [line.split(": ", 1) for line in lines]
    return [(name.lower().encode(), value.encode()) for name, value in pairs]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"subprotocols": []}, "missing subprotocol"),
        ({"subprotocols": ["soap"]}, "missing subprotocol"),
        ({"headers": headers("Origin: https://evil.example")}, "origin https://evil.example"),
        ({"headers": headers("Origin: null")}, "origin null is not allowed"),
        ({"client": ("10.0.0.1", 5)}, "a trusted proxy that does not say for whom"),
        ({"client": None}, "a trusted proxy that does not say for whom"),
    ],
)
async def test_refused(changes: Any, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong request is closed before it is accepted, with one line."""
    application = broker.asgi(
        Room(), origins=["https://broker.example"], trusted_proxies=["10.0.0.1", "unix"]
    )
    scope = Scope(**changes)
    await scope.run(application)
    assert [message["type"] for message in scope.sent] == ["websocket.close"]
    (line,) = caplog.messages
    assert text in line
    assert application.server.stats.accepted == 0


@pytest.mark.parametrize(
    ("client", "scheme", "lines", "address", "is_private"),
    [
        (("192.0.2.7", 5), "ws", (), "192.0.2.7:5", False),
        (("192.0.2.7", 5), "wss", (), "192.0.2.7:5", True),
        (("127.0.0.1", 5), "ws", (), "127.0.0.1:5", True),
        (("2001:db8::5", 5), "ws", (), "[2001:db8::5]:5", False),
        (None, "ws", ("X-Forwarded-For: 203.0.113.5",), "203.0.113.5:0", False),
        (
            None,
            "ws",
            ("X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https"),
            "203.0.113.5:0",
            True,
        ),
        (
            ("10.0.0.1", 5),
            "ws",
            ("X-Forwarded-For: 203.0.113.5", "X-Forwarded-Proto: https"),
            "203.0.113.5:0",
            False,
        ),
        (
            ("10.0.0.1", 5),
            "wss",
            ("X-Forwarded-For: 127.0.0.1, 203.0.113.5", "X-Forwarded-Proto: https"),
            "203.0.113.5:0",
            True,
        ),
    ],
)
async def test_who(client: Any, scheme: str, lines: Any, address: str, is_private: bool) -> None:
    """The peer, and whether it is private, are as for ``ws://``."""
    application = broker.asgi(Room(), trusted_proxies=["10.0.0.1", "unix"])
    scope = Scope(client=client, scheme=scheme, headers=headers(*lines))
    running = scope.run(application)
    assert await scope.first() == {"type": "websocket.accept", "subprotocol": "pb"}
    (connection,) = application.server.connections
    assert str(connection.peer.address) == address
    assert connection.broker.port.is_private == is_private
    assert connection.broker.port.channel_binding() is None
    scope.incoming.put_nowait({"type": "websocket.disconnect", "code": 1001})
    await running
    assert application.server.connections == ()
    assert scope.sent[-1]["type"] != "websocket.close"


@pytest.mark.parametrize(
    ("message", "code"),
    [({"text": "hello"}, 1003), ({"bytes": bytes(PIECE + 1)}, 1009), ({"bytes": None}, 1003)],
)
async def test_wrong_messages(message: Any, code: int) -> None:
    """Text, and messages of more than 64 KiB, end the connection with their code."""
    scope = Scope()
    running = scope.run(broker.asgi(Room()))
    await scope.until("websocket.send")
    scope.incoming.put_nowait({"type": "websocket.receive", **message})
    await running
    assert scope.sent[-1] == {"type": "websocket.close", "code": code}


async def test_too_many() -> None:
    """The limit of connections that have not logged in holds, before they are accepted."""
    users = cred.InMemoryUsernamePasswordDatabaseDontUse(alice="x")
    portal = cred.Portal(broker.realm(lambda avatar_id, mind: broker.Avatar()), [users])
    application = broker.asgi(portal, policy=STRICT.but(max_waiting_each=1))
    first = Scope()
    running = first.run(application)
    await first.until("websocket.send")
    second = Scope()
    await second.run(application)
    assert second.sent == [{"type": "websocket.close", "code": 1013}]
    first.incoming.put_nowait({"type": "websocket.disconnect"})
    await running


async def test_a_client_that_goes_before_the_answer() -> None:
    """An error of the server in front ends the connection."""
    application = broker.asgi(Room())
    scope = Scope()

    async def fail(message: Any) -> None:
        raise OSError("gone")

    scope.send = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="gone"):
        await scope.run(application)
    assert application.server.connections == ()
    assert application.server.stats.closed == 1


async def test_lifespan() -> None:
    """As the outermost application it closes its server at the end."""
    application = broker.asgi(Room())
    scope = Scope(type="lifespan")
    scope.incoming.get_nowait()
    running = scope.run(application)
    scope.incoming.put_nowait({"type": "lifespan.startup"})
    assert await scope.first() == {"type": "lifespan.startup.complete"}
    scope.incoming.put_nowait({"type": "lifespan.shutdown"})
    await running
    assert scope.sent[-1] == {"type": "lifespan.shutdown.complete"}
    assert application.server.state == "draining"


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("root", ["", "/pb"])
async def test_the_client_for_browsers(script: str, root: str) -> None:
    """It is served beside the WebSocket, with the files that it loads, for pages of all sites."""
    application = broker.asgi(Room())
    body = (resources.files("broker") / "web" / "static" / script).read_bytes()
    asked = {"type": "http", "path": f"{root}/{script}", "root_path": root}
    scope = Scope(**asked, method="GET")
    await scope.run(application)
    start, sent = scope.sent
    fields = dict(start["headers"])
    assert (start["status"], sent["body"]) == (200, body)
    assert fields[b"content-type"] == b"text/javascript; charset=utf-8"
    assert fields[b"content-length"] == str(len(body)).encode()
    assert fields[b"access-control-allow-origin"] == b"*"
    for method, known, status in (
        ("HEAD", b"", 200),
        ("GET", fields[b"etag"], 304),
        ("POST", b"", 405),
    ):
        scope = Scope(**asked, method=method, headers=[(b"if-none-match", known)])
        await scope.run(application)
        assert (scope.sent[0]["status"], scope.sent[1]["body"]) == (status, b"")
    await application.server.close()


@pytest.mark.parametrize("path", ["/", "/index.html", "/other", "/../broker.js", "/pb/broker.js"])
async def test_no_other_pages(path: str) -> None:
    """There is no page but the scripts of the client."""
    scope = Scope(type="http", path=path, method="GET")
    await scope.run(broker.asgi(Room()))
    assert scope.sent[0]["status"] == 404


async def test_other_scopes() -> None:
    """A request of HTTP gets 404; a scope that ASGI does not have is an error."""
    scope = Scope(type="http")
    await scope.run(broker.asgi(Room()))
    assert scope.sent[0]["status"] == 404
    with pytest.raises(broker.ConfigError, match="'other' is not understood"):
        await Scope(type="other").run(broker.asgi(Room()))


@pytest.mark.parametrize(
    ("target", "settings", "error"),
    [
        (object(), {}, TypeError),
        (cred.Portal(broker.realm(lambda a, m: broker.Avatar())), {}, broker.ConfigError),
        (Room(), {"policy": 1}, broker.ConfigError),
        (Room(), {"drain": -1}, broker.ConfigError),
        (Room(), {"origins": ["x"]}, broker.ConfigError),
        (Room(), {"trusted_proxies": ["x"]}, broker.ConfigError),
    ],
)
def test_wrong_arguments(target: Any, settings: Any, error: Any) -> None:
    """A wrong argument is an error at once."""
    with pytest.raises(error):
        broker.asgi(target, **settings)

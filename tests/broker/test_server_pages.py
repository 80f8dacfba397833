"""The pages of a server: its state, its metrics, and the page of operators."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.web_ends import request

import broker
import cred
from broker.inspection.contract import Inspection
from broker.server_pages import MOST_CONNECTIONS, SOCKET_PATH
from cred.scram_verifier import ScramVerifier
from cred.store_checker import StoreChecker
from cred.stores import open_store
from cred.users import User

HTTP = "http://127.0.0.1:0"
LOOPBACK = "pb://127.0.0.1:0"
DIALECTS = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])


class Shop(broker.Root):
    """What is served."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    async def remote_wait(self) -> None:
        """Wait for the end of the connection."""
        await asyncio.Event().wait()


class Member(broker.Avatar):
    """The avatar of the server: no operator gets it from the page."""

    def perspective_echo(self, value: Any) -> Any:
        """Return it."""
        return value


def portal(tmp_path: Any) -> cred.Portal:
    """A portal with an operator, a user, and guests."""
    store = open_store(f"file:{tmp_path / 'users.db'}", create=True)
    verifier = str(ScramVerifier.of_password("secret"))
    store.add(User("root", verifier, frozenset({"operators"})))
    store.add(User("bob", verifier, frozenset()))
    realm = broker.realm(lambda name, mind: Member())
    return cred.Portal(realm, [StoreChecker(store), cred.AllowAnonymousAccess()])


async def asked(address: str, data: bytes) -> bytes:
    """Send bytes to a port of HTTP, and return all that it answers."""
    host, port = address.rpartition("//")[2].split("/")[0].rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.write(data)
    found = await reader.read()
    writer.close()
    return found


async def page(address: str, path: str, *headers: str, method: str = "GET") -> tuple[int, str, str]:
    """Return the status, the headers and the body of a page."""
    lines = headers or ("Host: localhost",)
    head = request(*lines, line=f"{method} {path} HTTP/1.1", upgrade=False)
    found = (await asked(address, head)).decode()
    first, _, rest = found.partition("\r\n")
    fields, _, body = rest.partition("\r\n\r\n")
    return int(first.split()[1]), fields, body


@asynccontextmanager
async def shop(**settings: Any) -> AsyncIterator[tuple[broker.Server, str]]:
    """Serve with an HTTP port; give the server and the address of that port."""
    target = settings.pop("target", None) or Shop()
    async with broker.serve(target, LOOPBACK, http=HTTP, **settings) as server:
        assert server.http_address is not None
        yield server, server.http_address


async def test_the_pages(each_loop: Any) -> None:
    """The port has the health, the readiness, the metrics and an index, and nothing else."""
    async with shop() as (_, http):
        assert http.startswith("http://127.0.0.1:")
        assert (await page(http, "/health"))[::2] == (200, "ok\n")
        assert (await page(http, "/ready"))[::2] == (200, "ready\n")
        status, fields, body = await page(http, "/metrics")
        assert (status, "text/plain; version=0.0.4" in fields) == (200, True)
        assert "pb_connections 0\n" in body
        status, fields, body = await page(http, "/")
        assert (status, 'href="/metrics"' in body, "/admin" in body) == (200, True, False)
        assert "default-src 'self'" in fields
        for path in ("/admin", "/admin/admin.js", "/other", "/../x", "//metrics", "/metrics/"):
            assert (await page(http, path))[0] == 404
        assert (await page(http, "/metrics", method="POST"))[0] == 405
        assert (await page(http, "/metrics", method="HEAD"))[::2] == (200, "")
        assert (await page(http, "/metrics", "Host: evil.example"))[0] == 421


async def test_no_websocket() -> None:
    """A port without the page of operators has no WebSocket, at any path."""
    async with shop() as (_, http):
        for path in ("/", SOCKET_PATH, "/pb", "http://localhost/"):
            found = await asked(http, request("Host: localhost", line=f"GET {path} HTTP/1.1"))
            assert found.startswith(b"HTTP/1.1 404 "), path


@DIALECTS
async def test_the_metrics_are_counted(dialect: str) -> None:
    """The HTTP port is enough: calls are counted, once, also with an observer that was given."""
    policy = broker.STRICT.but(dialects=(dialect,))
    for observers in ([], [broker.prometheus.Metrics()]):
        async with (
            shop(policy=policy, observers=observers) as (server, http),
            broker.connect(server.addresses[0]) as connection,
        ):
            for _ in range(3):
                await connection.root.callRemote("echo", 1)
            text = (await page(http, "/metrics"))[2]
            families = {each.name: each for each in text_string_to_metric_families(text)}
            (calls,) = families["pb_calls"].samples
            labels = {"target": "Shop", "method": "echo", "outcome": "answered"}
            assert (calls.labels, calls.value) == (labels, 3.0)
            assert "pb_loop_lag_seconds" in families


async def test_a_port_at_another_address() -> None:
    """An IPv6 address has a port too; a port that is in use is an error, and opens nothing."""
    async with broker.serve(Shop(), LOOPBACK, http="http://[::1]:0/") as server:
        http = str(server.http_address)
        assert http.startswith("http://[::1]:")
        assert (await page(http, "/metrics", f"Host: {http[7:]}"))[0] == 200
    with socket.create_server(("127.0.0.1", 0)) as taken:
        http = f"http://127.0.0.1:{taken.getsockname()[1]}"
        serving = broker.serve(Shop(), LOOPBACK, http=http)
        with pytest.raises(broker.CannotListenError):
            await serving


async def test_not_ready_while_it_drains() -> None:
    """A server that drains answers 503 with its state, until its last call has ended."""
    async with shop() as (server, http):
        connection = await broker.connect(server.addresses[0])
        waiting = connection.root.callRemote("wait")
        await connection.root.callRemote("echo", 1)
        closing = asyncio.ensure_future(server.close(drain=60))
        while not server.is_closing:
            await asyncio.sleep(0)
        assert (await page(http, "/ready"))[::2] == (503, "draining\n")
        assert (await page(http, "/health"))[0] == 200
        waiting.cancel()
        await closing
        with pytest.raises(ConnectionError):
            await page(http, "/health")
        await connection.close()


async def test_checks() -> None:
    """``/ready`` runs the checks of the application, once for all who ask meanwhile."""
    async with shop() as (server, http):
        runs, ends = [0], asyncio.Event()

        async def database() -> None:
            runs[0] += 1
            await ends.wait()
            raise OSError("the password is x")

        server.health.add("database", database)
        asking = [asyncio.ensure_future(page(http, "/ready")) for _ in range(3)]
        while len(server._pages._arrived) < 3 or not runs[0]:
            await asyncio.sleep(0)
        assert (await page(http, "/health"))[0] == 200
        ends.set()
        assert [each[::2] for each in await asyncio.gather(*asking)] == (
            [(503, "degraded: database\n")] * 3
        )
        server.health.remove("database")
        assert (await page(http, "/ready"))[::2] == (200, "ready\n")


async def test_a_check_that_runs_at_the_end() -> None:
    """Who waits for a check when the server ends is cut off; nothing is left behind."""
    async with shop() as (server, http):
        begun = asyncio.Event()

        async def database() -> None:
            begun.set()
            await asyncio.Event().wait()

        server.health.add("database", database)
        asking = asyncio.ensure_future(page(http, "/ready"))
        await begun.wait()
        await server.close()
        with pytest.raises((ConnectionError, IndexError)):
            await asking


async def test_many_connections() -> None:
    """So many connections wait for their request; one more takes the place of another."""
    async with shop() as (server, http):
        port = int(http.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_CONNECTIONS)]
        while len(server._pages._arrived) < MOST_CONNECTIONS:
            await asyncio.sleep(0)
        held += [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        ends = [asyncio.ensure_future(reader.read()) for reader, _ in held]
        while sum(each.done() for each in ends) < 4:
            await asyncio.sleep(0)
        assert len(server._pages._arrived) == MOST_CONNECTIONS
        for _, writer in held:
            writer.close()
        await asyncio.gather(*ends, return_exceptions=True)
        while server._pages._arrived:
            await asyncio.sleep(0)
        assert (await page(http, "/health"))[0] == 200
        # The port takes no place of a client.
        assert not server.stats.limits


@asynccontextmanager
async def operated(tmp_path: Any, **settings: Any) -> AsyncIterator[tuple[broker.Server, str]]:
    """Serve a portal with the page of operators; give the server and the address of its socket."""
    target = settings.pop("target", None) or portal(tmp_path)
    async with shop(target=target, admin_page=True, **settings) as (server, http):
        yield server, f"ws{http[4:]}{SOCKET_PATH}"


def password(name: str) -> cred.UsernamePassword:
    """The credentials of a user."""
    return cred.UsernamePassword(name, "secret")


async def test_the_page_of_operators(tmp_path: Any) -> None:
    """The page and its files are there; its policy allows no script in the page."""
    async with operated(tmp_path) as (_, address):
        http = f"http{address[2:]}"
        assert 'href="/admin"' in (await page(http, "/"))[2]
        status, fields, body = await page(http, "/admin")
        assert (status, "default-src 'self'; frame-ancestors 'none'" in fields) == (200, True)
        assert "<script>" not in body and "style=" not in body and "onclick" not in body
        for name in ("admin.js", "admin.css", "icon.svg"):
            assert f"/admin/{name}" in body
            assert (await page(http, f"/admin/{name}"))[0] == 200
        assert (await page(http, "/broker.js"))[0] == 200
        assert (await page(http, "/admin", "Host: evil.example"))[0] == 421


@DIALECTS
async def test_an_operator(tmp_path: Any, dialect: str) -> None:
    """A user of the server in the group gets the inspection by the page, and no avatar of it."""
    policy = broker.STRICT.but(dialects=(dialect,))
    async with (
        operated(tmp_path, policy=policy) as (server, address),
        broker.connect(server.addresses[0], password("bob")) as bob,
        broker.connect(address, password("root")) as operator,
    ):
        await bob.avatar.callRemote("echo", 1)
        reference = await operator.avatar.callRemote("inspector")
        inspection: Inspection = reference.of(Inspection)
        (shown,) = await inspection.connections()
        assert (shown.user, len(server.connections)) == ("bob", 1)
        with pytest.raises(broker.NoSuchMethod):
            await operator.avatar.callRemote("echo", 1)
        assert await inspection.kick(user="bob") == 1
        await bob.wait_closed()


async def test_no_operators(tmp_path: Any) -> None:
    """Guests, and users outside of the group, log in and get nothing; others do not log in."""
    async with operated(tmp_path) as (server, address):
        for credentials in (password("bob"), cred.Anonymous()):
            async with broker.connect(address, credentials) as connection:
                with pytest.raises(cred.Unauthorized):
                    await connection.avatar.callRemote("inspector")
        with pytest.raises(cred.LoginFailed):
            await broker.connect(address, cred.UsernamePassword("root", "wrong"))
        assert server.stats.accepted == 0


async def test_wrong_passwords_count_together(tmp_path: Any) -> None:
    """Guesses at the page count for the server, and a user who is kicked leaves the page too."""
    target = portal(tmp_path)
    async with operated(tmp_path, target=target) as (server, address):
        for _ in range(40):
            with pytest.raises(cred.LoginFailed) as caught:
                await broker.connect(address, cred.UsernamePassword("root", "wrong"))
            if isinstance(caught.value, broker.TooManyAttempts):
                break
        with pytest.raises(broker.TooManyAttempts):
            await broker.connect(server.addresses[0], cred.UsernamePassword("root", "wrong"))


async def test_a_kicked_operator(tmp_path: Any) -> None:
    """The sessions of the page are sessions of the user: ``kick`` ends them."""
    async with (
        operated(tmp_path) as (server, address),
        broker.connect(address, password("root")) as operator,
    ):
        assert server.kick(user="root") == 1
        await operator.wait_closed()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Host: localhost:1"], 101),
        (["Host: localhost:1", "Origin: http://localhost:1"], 101),
        (["Host: LOCALHOST:1", "Origin: http://localhost:1"], 101),
        (["Host: localhost:1", "Origin: http://localhost:2"], 403),
        (["Host: localhost:1", "Origin: https://localhost:1"], 403),
        (["Host: localhost:1", "Origin: http://evil.example"], 403),
        (["Host: localhost:1", "Origin: null"], 403),
        (["Host: evil.example", "Origin: http://evil.example"], 421),
        (["Host: localhost", "Host: evil.example", "Origin: http://evil.example"], 421),
    ],
)
async def test_only_its_own_page_connects(tmp_path: Any, headers: list[str], status: int) -> None:
    """The WebSocket is for the page of this port: another site is refused, also by a new name."""
    async with operated(tmp_path) as (_, address):
        port = int(address.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(*headers, line=f"GET {SOCKET_PATH} HTTP/1.1"))
        assert (await reader.readline()).startswith(f"HTTP/1.1 {status} ".encode())
        writer.close()


async def test_websocket_ports(tmp_path: Any) -> None:
    """A WebSocket port at a loopback address has the same pages, unless a proxy asks."""
    address = "ws://127.0.0.1:0/pb"
    target = portal(tmp_path)
    async with broker.serve(target, address, admin_page=True) as server:
        assert server.http_address is None
        web = server.addresses[0].removesuffix("/pb")
        for path in ("/admin", "/metrics", "/admin/admin.js"):
            assert (await page(web, path))[0] == 200
            for header in ("X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "Via: 1.1 x"):
                assert (await page(web, path, "Host: localhost", header))[0] == 404
        async with broker.connect(f"{web}{SOCKET_PATH}", password("root")) as operator:
            await operator.avatar.callRemote("inspector")
        async with broker.connect(server.addresses[0], password("root")) as connection:
            assert await connection.avatar.callRemote("echo", 1) == 1
    async with broker.serve(target, address) as server:
        web = server.addresses[0]
        assert (await page(web, "/metrics"))[0] == 200
        assert (await page(web, "/admin"))[0] == 404


async def test_a_public_websocket_port(tmp_path: Any) -> None:
    """A WebSocket port at another address shows its state, and nothing for operators."""
    policy = broker.STRICT.but(insecure_plaintext=True)
    addresses = "ws://0.0.0.0:0/pb", "ws://127.0.0.1:0/pb"
    async with broker.serve(portal(tmp_path), *addresses, policy=policy, admin_page=True) as server:
        web = server.addresses[0].replace("0.0.0.0", "127.0.0.1")
        assert (await page(web, "/ready"))[0] == 200
        for path in ("/metrics", "/admin", "/admin/admin.js", "/"):
            assert (await page(web, path))[0] == 404
        with pytest.raises(broker.ConnectError, match="404"):
            await broker.connect(f"{web.removesuffix('/pb')}{SOCKET_PATH}", password("root"))


async def test_the_end(tmp_path: Any) -> None:
    """The connections of the page end with the server."""
    async with operated(tmp_path) as (_, address):
        operator = await broker.connect(address, password("root"))
        reference = await operator.avatar.callRemote("inspector")
        inspection: Inspection = reference.of(Inspection)
        await inspection.drain()
        await operator.wait_closed()


def test_wrong_use(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong ``http=`` or ``admin_page=`` is an error with the fix, before a port is opened."""
    serve: Callable[..., Any] = broker.serve
    for http in (
        "127.0.0.1:9100",
        "http://127.0.0.1",
        "https://127.0.0.1:1",
        "http://127.0.0.1:x",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:1/x",
        "http://u@127.0.0.1:1",
        "",
    ):
        with pytest.raises(broker.ConfigError, match="http= takes http://host:port, such as"):
            serve(Shop(), LOOPBACK, http=http)
    with pytest.raises(broker.WrongType, match="http= takes an address, not int"):
        serve(Shop(), LOOPBACK, http=9100)
    text = r"^http://0.0.0.0:9100 would show operators' data to others; use 127.0.0.1, or "
    with pytest.raises(broker.ConfigError, match=text):
        serve(Shop(), LOOPBACK, http="http://0.0.0.0:9100")
    with pytest.raises(broker.WrongType, match="admin_page= is True or False"):
        serve(Shop(), LOOPBACK, admin_page=1)
    with pytest.raises(broker.ConfigError, match="admin_page=True needs a login: serve a Portal"):
        serve(Shop(), LOOPBACK, http=HTTP, admin_page=True)
    target = portal(tmp_path)
    for address in (LOOPBACK, f"pb+unix://{tmp_path}/s"):
        with pytest.raises(broker.ConfigError, match="admin_page=True needs a port for the page"):
            serve(target, address, admin_page=True)
    monkeypatch.setattr("broker.server_addresses.find_spec", lambda name: None)
    with pytest.raises(broker.ConfigError, match="http= needs the extra ws: pip install"):
        serve(Shop(), LOOPBACK, http=HTTP)

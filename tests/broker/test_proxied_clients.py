"""Clients behind proxies, real ones and odd ones: in both faces, in threads, and by the command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.certificates import Authority
from support.proxies import ESTABLISHED, Answer, connect_of, free_port, pproxy, small_proxy

import broker
import broker.blocking
import cred
from broker.commands.call import call
from broker.core.policy import STRICT
from broker.errors import ConnectError, PBConnectionLost

PLAINTEXT = STRICT.but(insecure_plaintext=True)
HOSTS = ["127.0.0.1", "localhost", "[::1]"]


class Echo(broker.Root):
    """What is served."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


@pytest.fixture(scope="module")
def proxy() -> Iterator[int]:
    """A real proxy without a login."""
    with pproxy() as port:
        yield port


@pytest.fixture(scope="module")
def guarded() -> Iterator[int]:
    """A real proxy that asks for a login."""
    with pproxy("me:s%cret") as port:
        yield port


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA that the client trusts."""
    return Authority(tmp_path_factory.mktemp("certificates"))


async def echoed(address: str, proxy: str, **options: Any) -> Any:
    """Call through a proxy, and return the answer."""
    async with broker.connect(address, proxy=proxy, **options) as connection:
        return await connection.root.callRemote("echo", ["hello", 7])


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("kind", ["socks5", "http"])
@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
async def test_a_real_proxy(
    proxy: int,
    kind: str,
    host: str,
    dialect: str,
    each_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Calls are answered through it: the server at an IPv4 address, an IPv6 address, or a name."""
    policy = STRICT.but(dialects=(dialect,))
    place = host if host != "localhost" else "127.0.0.1"
    async with broker.serve(Echo(), f"pb://{place}:0") as server:
        port = server.addresses[0].rpartition(":")[2]
        url = f"{kind}://127.0.0.1:{proxy}"
        assert await echoed(f"pb://{host}:{port}", url, policy=policy) == ["hello", 7]


async def test_socks4(proxy: int) -> None:
    """A SOCKS 4 proxy is asked for an IPv4 address."""
    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server:
        url = f"socks4://127.0.0.1:{proxy}"
        assert await echoed(server.addresses[0], url) == ["hello", 7]


@pytest.mark.parametrize("kind", ["socks5", "http"])
async def test_tls(proxy: int, kind: str, authority: Authority) -> None:
    """TLS is between client and server: the certificate must be for the server's name."""
    tls = broker.TLS.client(ca=authority.ca_path)
    url = f"{kind}://127.0.0.1:{proxy}"
    for names, is_right in ((("localhost",), True), (("other.example",), False)):
        pair = authority.issue(names)
        settings = broker.TLS.server(pair.certificate_path, pair.key_path)
        async with broker.serve(Echo(), "pbs://127.0.0.1:0", tls=settings) as server:
            address = server.addresses[0].replace("127.0.0.1", "localhost")
            if is_right:
                assert await echoed(address, url, tls=tls) == ["hello", 7]
            else:
                with pytest.raises(broker.TLSError, match=r"other\.example"):
                    await echoed(address, url, tls=tls)


@pytest.mark.parametrize("kind", ["socks5", "http"])
async def test_a_login_at_the_proxy(guarded: int, kind: str) -> None:
    """The right password is accepted; a wrong one, or none, is an error that says so."""
    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server:
        (address,) = server.addresses
        for login, wrong in (("me:s%25cret@", ""), ("me:no@", "wrong password"), ("", "needs? a")):
            url = f"{kind}://{login}127.0.0.1:{guarded}"
            if not wrong:
                assert await echoed(address, url) == ["hello", 7]
                continue
            with pytest.raises(ConnectError, match=wrong) as caught:
                await echoed(address, url)
            assert "no@" not in str(caught.value)


@pytest.mark.parametrize("kind", ["socks5", "http"])
async def test_a_server_that_is_not_there(proxy: int, kind: str) -> None:
    """The error names the server and the proxy, even if the proxy has accepted first."""
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises((ConnectError, PBConnectionLost)) as caught:
        await echoed(f"pb://{address}", f"{kind}://127.0.0.1:{proxy}")
    assert address in str(caught.value)
    assert f"127.0.0.1:{proxy}" in str(caught.value)


async def together(server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    """Send the answer and the first bytes of the server in one segment."""
    client.write(ESTABLISHED + await server.read(65536))


async def byte_by_byte(server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    """Send the answer and the first bytes of the server one by one."""
    for byte in ESTABLISHED + await server.read(65536):
        client.write(bytes([byte]))
        await client.drain()
        await asyncio.sleep(0)


Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


@pytest.mark.parametrize("say", [together, byte_by_byte])
@pytest.mark.parametrize("dialect", ["pb", "msgpack/1"])
async def test_the_server_speaks_first(
    say: Say, dialect: str, each_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """No byte of the server is lost, whichever way the answer of the proxy comes with it."""
    asked: list[bytes] = []
    policy = STRICT.but(dialects=(dialect,))
    async with (
        broker.serve(Echo(), "pb://127.0.0.1:0") as server,
        small_proxy(connect_of(say, asked)) as port,
    ):
        url = f"http://127.0.0.1:{port}"
        address = server.addresses[0].replace("127.0.0.1", "localhost")
        assert await echoed(address, url, policy=policy) == ["hello", 7]
    assert asked[0].startswith(b"CONNECT localhost:")


async def ends_in_the_middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP proxy that ends in its answer."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 O")


async def ends_after_the_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP proxy that ends after its answer."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ESTABLISHED)


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (ends_in_the_middle, ConnectError, "the proxy closed the connection"),
        (ends_after_the_answer, PBConnectionLost, "can the proxy 127.0.0.1:[0-9]+ reach it"),
    ],
)
async def test_a_proxy_that_ends(answer: Answer, kind: type[Exception], text: str) -> None:
    """A connection that the proxy ends is an error at once."""
    async with small_proxy(answer) as port:
        with pytest.raises(kind, match=text):
            await broker.connect("pb://127.0.0.1:7", proxy=f"http://127.0.0.1:{port}")


async def test_a_proxy_makes_nothing_private() -> None:
    """A password is not sent in plain text to another machine, even if the proxy is on this one."""

    def to_this_machine(asked: list[bytes], port: int) -> Answer:
        inner = connect_of(together)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            redirected = asyncio.StreamReader()
            redirected.feed_data(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
            copying = asyncio.create_task(_copy(reader, redirected))
            await inner(redirected, writer)
            await copying

        return answer

    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server:
        port = int(server.addresses[0].rpartition(":")[2])
        asked: list[bytes] = []
        async with small_proxy(to_this_machine(asked, port)) as at:
            url = f"http://127.0.0.1:{at}"
            for host, is_private in (("b.example", False), ("127.0.0.1", True)):
                address = f"pb://{host}:{port}"
                async with broker.connect(address, proxy=url, policy=PLAINTEXT) as connection:
                    assert connection.broker.port.is_private is is_private
                    assert str(connection.peer.address) == f"127.0.0.1:{at}"
    assert asked[0].startswith(b"CONNECT b.example:")


async def _copy(reader: asyncio.StreamReader, to: asyncio.StreamReader) -> None:
    while piece := await reader.read(65536):
        to.feed_data(piece)
    to.feed_eof()


async def test_a_login_at_the_server(proxy: int) -> None:
    """A user logs in at the server through the proxy."""
    from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="secret")

    class User(broker.Avatar):
        def perspective_whoami(self) -> str:
            return "alice"

    portal = cred.Portal(broker.realm(lambda avatar_id, mind: User()), [checker])
    async with broker.serve(portal, "pb://127.0.0.1:0") as server:
        credentials = cred.UsernamePassword("alice", "secret")
        url = f"socks5://127.0.0.1:{proxy}"
        async with broker.connect(server.addresses[0], credentials, proxy=url) as connection:
            assert await connection.avatar.callRemote("whoami") == "alice"


async def test_env(monkeypatch: pytest.MonkeyPatch, proxy: int) -> None:
    """ALL_PROXY counts with ``"env"`` only, and not for the servers of NO_PROXY."""
    for name in ("all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy}")
    async with broker.serve(Echo(), "pb://127.0.0.1:0") as server:
        (address,) = server.addresses

        async def peer(**options: Any) -> str:
            async with broker.connect(address, **options) as connection:
                return str(connection.peer.address)

        here = address.removeprefix("pb://")
        assert await peer(proxy="env") == f"127.0.0.1:{proxy}"
        assert await peer() == here
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        assert await peer(proxy="env") == here


def test_threads(proxy: int) -> None:
    """``broker.blocking.connect`` has the same argument."""
    with broker.blocking.serve(Echo(), "pb://127.0.0.1:0") as server:
        url = f"socks5://127.0.0.1:{proxy}"
        with broker.blocking.connect(server.addresses[0], proxy=url) as connection:
            assert connection.root.callRemote("echo", "hi") == "hi"


def test_the_command(proxy: int, tmp_path: Path) -> None:
    """``pb call --proxy`` connects through the proxy."""
    with broker.blocking.serve(Echo(), "pb://127.0.0.1:0") as server:
        arguments = [server.addresses[0], "echo", "[1]", "--proxy", f"http://127.0.0.1:{proxy}"]
        result = CliRunner().invoke(call, arguments)
        assert (result.exit_code, json.loads(result.output)) == (0, [1])
        arguments[-1] = f"http://127.0.0.1:{free_port()}"
        result = CliRunner().invoke(call, arguments)
    assert result.exit_code == 3
    assert "connection refused by the proxy" in result.output

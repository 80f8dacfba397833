"""Listeners behind proxies: the PROXY protocol before ``pb://``, ``pbs://`` and UNIX sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.core.policy import STRICT

LINE = b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 8787\r\n"
BINARY = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(
    [203, 0, 113, 5, 10, 0, 0, 1, 18, 103, 34, 83]
)
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


class Who(broker.Root):
    """Says who calls."""

    def remote_who(self) -> tuple[str, str, bool]:
        """Return the address, that of the proxy, and whether the connection is private."""
        call = broker.current_call()
        port = call.connection.broker.port
        return str(call.peer.address), str(call.peer.proxy), port.is_private


class Proxy:
    """Passes bytes on, with a header in front.

    Attributes:
        address: where it listens.
    """

    def __init__(self, header: bytes):
        self.header = header
        self.tasks: list[asyncio.Task[None]] = []
        self.listener: Any = None
        self.target: Any = None

    async def start(self, target: str) -> int:
        """Listen; return the port."""
        self.target = target
        self.listener = await asyncio.start_server(self.pass_on, "127.0.0.1", 0)
        return int(self.listener.sockets[0].getsockname()[1])

    async def pass_on(self, reader: Any, writer: Any) -> None:
        """Serve one connection."""
        if self.target.startswith("/"):
            far_reader, far_writer = await asyncio.open_unix_connection(self.target)
        else:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        # In two pieces: a header may come in any.
        far_writer.write(self.header[:9])
        await far_writer.drain()
        far_writer.write(self.header[9:])
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    async def stop(self) -> None:
        """Stop listening."""
        self.listener.close()
        await self.listener.wait_closed()


async def copy(reader: Any, writer: Any) -> None:
    """Copy until the end."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


@pytest.mark.parametrize("header", [LINE, BINARY], ids=["v1", "v2"])
@pytest.mark.parametrize("scheme", ["pb", "pbs", "pb+unix"])
async def test_clients_behind_a_proxy(
    scheme: str, header: bytes, authority: Any, pair: Any, tmp_path: Path
) -> None:
    """The peer is the client that the header names; TLS is between the client and the server."""
    tls = broker.TLS.server(pair.certificate_path, pair.key_path) if scheme == "pbs" else None
    path = str(tmp_path / "socket")
    address = f"pb+unix://{path}" if scheme == "pb+unix" else f"{scheme}://127.0.0.1:0"
    trusted = ["unix"] if scheme == "pb+unix" else ["127.0.0.1"]
    async with broker.serve(Who(), address, tls=tls, trusted_proxies=trusted) as server:
        proxy = Proxy(header)
        port = await proxy.start(
            path if scheme == "pb+unix" else server.addresses[0].rpartition(":")[2]
        )
        ours = broker.TLS.client(ca=authority.ca_path) if scheme == "pbs" else None
        near = "pbs" if scheme == "pbs" else "pb"
        async with broker.connect(f"{near}://127.0.0.1:{port}", tls=ours) as connection:
            address, through, is_private = await connection.root.callRemote("who")
            assert address == "203.0.113.5:4711"
            assert through.startswith("unix:" if scheme == "pb+unix" else "127.0.0.1:")
            assert is_private == (scheme == "pbs")
            if scheme == "pbs":
                far = server.connections[0].broker.port
                assert far.channel_binding() == connection.broker.port.channel_binding()
        await proxy.stop()


async def test_health_checks() -> None:
    """A proxy that connects for itself is a peer like others."""
    async with broker.serve(Who(), "pb://127.0.0.1:0", trusted_proxies=["127.0.0.0/8"]) as server:
        proxy = Proxy(LOCAL)
        port = await proxy.start(server.addresses[0].rpartition(":")[2])
        async with broker.connect(f"pb://127.0.0.1:{port}") as connection:
            address, through, is_private = await connection.root.callRemote("who")
            assert address.startswith("127.0.0.1:")
            assert (through, is_private) == ("None", True)
        await proxy.stop()


async def test_without_a_header(caplog: pytest.LogCaptureFixture) -> None:
    """A trusted address without a header is refused, with one line and without an answer."""
    async with broker.serve(Who(), "pb://127.0.0.1:0", trusted_proxies=["127.0.0.1"]) as server:
        port = server.addresses[0].rpartition(":")[2]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x07\x82msgpack")
        with pytest.raises(ConnectionResetError):
            if await reader.read() == b"":
                raise ConnectionResetError
        writer.close()
        assert server.stats.accepted == 0
    (line,) = caplog.messages
    assert line.endswith(": refused: a trusted proxy that does not say for whom")


async def test_a_slow_header(caplog: pytest.LogCaptureFixture) -> None:
    """A header that does not come ends the connection: ``handshake_timeout`` is for all of it."""
    policy = STRICT.but(handshake_timeout=0.1)
    async with broker.serve(
        Who(), "pb://127.0.0.1:0", trusted_proxies=["127.0.0.1"], policy=policy
    ) as server:
        port = server.addresses[0].rpartition(":")[2]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PROXY TCP4 ")
        with pytest.raises(ConnectionResetError):
            if await reader.read() == b"":
                raise ConnectionResetError
        writer.close()
    (line,) = caplog.messages
    assert line.endswith(": no PROXY header in 0.1 s")


async def test_headers_of_strangers() -> None:
    """From an address that is not trusted, a header is not understood; others may connect."""
    async with broker.serve(Who(), "pb://127.0.0.1:0", trusted_proxies=["10.0.0.1"]) as server:
        async with broker.connect(server.addresses[0]) as connection:
            address, through, is_private = await connection.root.callRemote("who")
            assert (address[:10], through, is_private) == ("127.0.0.1:", "None", True)
        proxy = Proxy(LINE)
        port = await proxy.start(server.addresses[0].rpartition(":")[2])
        with pytest.raises(broker.PBConnectionLost):
            async with broker.connect(f"pb://127.0.0.1:{port}") as connection:
                await connection.root.callRemote("who")
        await proxy.stop()

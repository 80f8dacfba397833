"""Links and loops against servers that drain without end, and name the addresses of strangers."""

from __future__ import annotations

import asyncio
import logging
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

import broker
from broker.stopping import Notice
from cred import UsernamePassword

OFFER = b"\x03\x80\x09\x82msgpack/1\x02\x82pb\x04\x82none"
LOGIN_OFFER = b"\x02\x80\x09\x82msgpack/1\x0e\x82login password"
STRANGERS = [f"pb://127.0.0.2:{port}" for port in range(2000, 2005)]
WRONG = [*STRANGERS, "pb+exec:touch /tmp/was-run", "pb+unix:///tmp/was-dialled", "not an address"]


def frame(*fields: Any) -> bytes:
    """A message of ``msgpack/1``."""
    body: bytes = msgspec.msgpack.encode(fields)
    return len(body).to_bytes(4, "big") + body


class Fake:
    """A server by hand.

    Attributes:
        connections: how many came.
        address: its address.
    """

    def __init__(self, messages: bytes, offer: bytes, keeps: bool):
        self.connections = 0
        self.address = ""
        self.messages, self.offer, self.keeps = messages, offer, keeps

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Offer the dialect, say the version and the messages; then close, or read on."""
        self.connections += 1
        writer.write(self.offer)
        await reader.readexactly(11)
        writer.write(frame(0, 6) + self.messages)
        try:
            await writer.drain()
            while self.keeps and await reader.read(65_536):
                pass
        except ConnectionError:
            pass
        writer.close()


@asynccontextmanager
async def fake(
    messages: bytes, offer: bytes = OFFER, *, keeps: bool = False
) -> AsyncIterator[Fake]:
    """Run such a server."""
    made = Fake(messages, offer, keeps)
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.address = f"pb://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        listening.close()


async def test_strangers_are_not_dialled(tmp_path: Any) -> None:
    """Eight addresses of strangers, a command and a socket: the loop comes back to the server."""
    with socket.create_server(("127.0.0.2", 2000)) as stranger:
        stranger.setblocking(False)
        async with fake(frame(15, 0, WRONG)) as server:
            turns = 0
            async for connection in broker.connect(server.address, retry=broker.Retry(first=0.01)):
                await connection.wait_closed()
                assert connection.draining == Notice(0.0, tuple(WRONG))
                turns += 1
                if turns == 4:
                    break
            assert server.connections == 4
        with pytest.raises(BlockingIOError):
            stranger.accept()


async def test_a_flood_of_notices(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred thousand notices cost a client one log line and no memory; the last one counts."""
    notices = frame(15, 1, ["pb://127.0.0.1:1"] * 8) * 100_000 + frame(15, 7, [])
    caplog.set_level(logging.INFO, "broker")
    async with fake(notices, keeps=True) as server:
        connection = await broker.connect(server.address)
        tracemalloc.start()
        while connection.draining != Notice(0.007):
            await asyncio.sleep(0.001)
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await connection.close()
    drains = [record for record in caplog.records if "drains" in record.getMessage()]
    assert len(drains) == 1
    assert kept < 1_000_000


async def test_a_server_that_drains_after_each_login() -> None:
    """A link does not hurry back: its attempts are farther and farther apart."""
    async with fake(frame(15, 0, []), keeps=True) as server:
        link = broker.Link(server.address, retry=broker.Retry(first=0.2, most=0.2))
        async with link:
            with pytest.raises((broker.PBConnectionLost, broker.CallTimeout)):
                async with broker.timeout(1.0):
                    await link.root.callRemote("echo", 1)
        # Twenty at most on average, if each delay is half of the longest.
        assert server.connections < 40


async def test_old_connections_do_not_pile_up() -> None:
    """A server that drains again and again, and never answers: few of its connections are kept."""

    class Stuck(broker.Root):
        """Never answers."""

        async def remote_wait(self) -> None:
            """Wait without end."""
            await asyncio.Event().wait()

    server = await broker.serve(Stuck(), "pb://127.0.0.1:0")
    retry = broker.Retry(first=0.0)
    async with broker.Link(server.addresses[0], retry=retry) as link:
        calls = []
        for _ in range(30):
            calls.append(link.root.callRemote("wait"))
            now = link.connection
            assert now is not None
            end = server.connections[-1]
            while not end.broker.session.running:
                await asyncio.sleep(0)
            end.broker.drain()
            while link.connection in (None, now):
                await asyncio.sleep(0)
        assert len(server.connections) <= 12
    await asyncio.gather(*calls, return_exceptions=True)
    await server.close(drain=0)


async def test_notices_before_the_login() -> None:
    """A server that drains while a client logs in: the login is put off, and tried again."""
    messages = frame(15, 3000, WRONG) * 10
    async with fake(messages, LOGIN_OFFER) as server:
        with pytest.raises(broker.Disconnected) as caught:
            await broker.connect(server.address, UsernamePassword("ann", "x"))
        assert broker.is_transient(caught.value)


async def test_a_client_that_names_addresses() -> None:
    """A server dials nothing that a client names, and its calls of the client are refused."""

    class Office(broker.Root):
        """Keeps its caller."""

        def remote_ear(self, ear: Any) -> None:
            """Call it later."""
            self.ear = ear

    office = Office()
    server = await broker.serve(office, "pb://127.0.0.1:0")
    connection = await broker.connect(server.addresses[0])
    await connection.root.callRemote("ear", broker.Referenceable())
    connection.broker.drain(Notice(5.0, tuple(STRANGERS)))
    end = server.connections[0]
    assert await end.wait_draining() == Notice(5.0, tuple(STRANGERS))
    with pytest.raises(broker.ServerDraining) as caught:
        await office.ear.callRemote("x")
    assert (caught.value.after, caught.value.elsewhere) == (5.0, tuple(STRANGERS))
    await connection.close()
    await server.close(drain=0)

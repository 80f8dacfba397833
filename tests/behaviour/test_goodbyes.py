"""Goodbyes: a peer can read why the connection ends, whatever it has sent meanwhile."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.certificates import Authority, Pair
from vectors import notation
from vectors.msgpack_case import CHOICE, VERSION, frame
from vectors.msgpack_served import POLICY, Desk, portal, surroundings
from vectors.record_msgpack import fate_of

import broker
from broker.net.transport_port import LINGER_SIZE

# One vector of each text.
FAULTS: dict[str, Any] = {
    case["fate"]: case
    for case in reversed(notation.load("msgpack"))
    if case["fate"].startswith("connection")
}
PING = frame(12, 5)
SCHEMES = ("pb", "pbs", "pb+unix")


@pytest.fixture(autouse=True, scope="module")
def served() -> Iterator[None]:
    """Serve what the vectors are about."""
    with surroundings():
        yield


class Stranger(NamedTuple):
    """A client without this library.

    Attributes:
        reader, writer: its connection.
        session: the Broker at the server.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    session: Any


class Place:
    """Where the server of a test listens, with TLS or without.

    Args:
        scheme: of the address.
        authority, pair: the certificates.
        folder: for the UNIX socket.
    """

    def __init__(self, scheme: str, authority: Authority, pair: Pair, folder: Path):
        self._scheme = scheme
        self._authority = authority
        self._pair = pair
        self._path = folder / "socket"

    @asynccontextmanager
    async def serve(self, target: Any, **policy: Any) -> AsyncIterator[broker.Server]:
        """Serve a root or a portal."""
        tls = None
        if self._scheme == "pbs":
            tls = broker.TLS.server(self._pair.certificate_path, self._pair.key_path)
        where = f"/{self._path}" if self._scheme == "pb+unix" else "127.0.0.1:0"
        address = f"{self._scheme}://{where.replace('//', '/')}"
        async with broker.serve(target, address, tls=tls, policy=POLICY.but(**policy)) as server:
            yield server

    async def connect(self, server: broker.Server) -> Stranger:
        """Connect without this library, and read the offer."""
        if self._scheme == "pb+unix":
            reader, writer = await asyncio.open_unix_connection(self._path)
        else:
            context = None
            if self._scheme == "pbs":
                context = ssl.create_default_context(cafile=self._authority.ca_path)
            port = int(server.addresses[0].rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        await reader.readexactly(2)
        (connection,) = server.connections
        return Stranger(reader, writer, connection.broker)


@pytest.fixture(params=SCHEMES)
def place(
    request: pytest.FixtureRequest, authority: Authority, pair: Pair, tmp_path: Path
) -> Place:
    """Each scheme."""
    return Place(request.param, authority, pair, tmp_path)


@pytest.mark.parametrize("unread", [0, LINGER_SIZE])
async def test_each_fault(place: Place, unread: int) -> None:
    """The last frame is the goodbye with its text; then the connection ends without a reset."""
    found = {}
    for fate, case in FAULTS.items():
        target = portal() if case["state"] == "before login" else Desk()
        said = [bytes.fromhex(each["hex"]) for each in case["messages"] if each["from"] == "client"]
        opening = [] if case["state"] == "opening" else [CHOICE + VERSION]
        async with place.serve(target) as server:
            reader, writer, _ = await place.connect(server)
            writer.write(b"".join([*opening, *said, bytes(unread)]))
            # More than the kernel would take without a reader.
            await writer.drain()
            received = await reader.read()
            writer.close()
        found[fate] = goodbye_of(received)
    assert found == {fate: fate for fate in FAULTS}


def goodbye_of(received: bytes) -> str | None:
    """The fate that the last frame tells."""
    body = received[received.rindex(b"\x93\x0e\xa5error") :]
    return fate_of(len(body).to_bytes(4, "big") + body)


async def test_who_writes_on(place: Place) -> None:
    """A peer that has not read the goodbye may go on writing for a while."""
    async with place.serve(Desk()) as server:
        reader, writer, session = await place.connect(server)
        writer.write(CHOICE + VERSION + frame(99))
        while not session._is_aborted:
            await asyncio.sleep(0)
        for _ in range(30):
            writer.write(PING)
            await asyncio.sleep(0)
        assert goodbye_of(await reader.read()) == "connection: malformed message"
        writer.close()
        await session.closed


async def test_who_writes_for_ever(place: Place) -> None:
    """Who sends more than the bytes that are dropped is cut."""
    async with place.serve(Desk()) as server:
        _, writer, session = await place.connect(server)
        writer.write(CHOICE + VERSION + frame(99))
        ended = asyncio.ensure_future(until(session))
        sent = 0
        while not ended.done():
            writer.write(bytes(LINGER_SIZE))
            sent += LINGER_SIZE
            await asyncio.sleep(0)
        writer.transport.abort()
        assert sent <= 100 * LINGER_SIZE
        assert str(session.reason).startswith("malformed message")


async def until(session: Any) -> None:
    """Wait for the end of a connection."""
    await session.closed


async def test_who_does_not_close(place: Place) -> None:
    """A peer has a second to close; then the connection has ended all the same."""
    async with place.serve(Desk()) as server:
        reader, writer, session = await place.connect(server)
        # Whose reading is paused does not notice the end.
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(CHOICE + VERSION + frame(99))
        began = asyncio.get_running_loop().time()
        await session.closed
        assert asyncio.get_running_loop().time() - began >= 0.9
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert goodbye_of(await reader.read()) == "connection: malformed message"
        writer.close()


@pytest.mark.parametrize("drain", [0, 5])
async def test_a_server_that_closes(place: Place, drain: float) -> None:
    """Its goodbye arrives while a peer is sending calls."""
    desk = Desk()
    async with place.serve(desk) as server:
        reader, writer, session = await place.connect(server)
        writer.write(CHOICE + VERSION + frame(1, 1, "root", "echo", [1], {}))
        while not session.session.stats.calls_received:
            await asyncio.sleep(0)
        session.pump._port.pause_reading()
        for number in range(2, 100):
            writer.write(frame(1, number, "root", "echo", ["x" * 500], {}))
        await server.close(drain=drain)
        received = await reader.read()
        code = b"draining" if drain else b"closing"
        assert received.endswith(code + b"\xbbthe server is shutting down")
        assert (b"\x93\x0f\x00\x90" in received) == bool(drain)
        writer.close()

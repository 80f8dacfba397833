"""Much data in both directions at once, over small socket buffers."""

# ruff: noqa: D102 - the docstrings of the tests describe the methods that a peer calls

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import broker

PIECE = bytes(512 * 1024)
PIECES = 64
BUFFER = 64 * 1024


class Sink(broker.Referenceable):
    """Counts the received bytes."""

    def __init__(self) -> None:
        self.taken = 0

    def remote_take(self, piece: bytes) -> int:
        self.taken += len(piece)
        return len(piece)


class Server(broker.Root, Sink):
    """Receives, and sends as much to a caller."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0

    def remote_give(self) -> bytes:
        self.given += 1
        return PIECE[: BUFFER * 2]

    async def remote_send_to(self, sink: Any, at_once: int) -> list[int]:
        return await send(sink, at_once)


async def send(sink: Any, at_once: int) -> list[int]:
    """Send all pieces, so many at once, and return the answers."""
    room = asyncio.Semaphore(at_once)

    async def take() -> int:
        async with room:
            return int(await sink.callRemote("take", PIECE))

    return list(await asyncio.gather(*(take() for _ in range(PIECES))))


def narrow(link: Any) -> None:
    """Make the kernel's buffers of a connection small."""
    for end in (link.near, link.far):
        plug = end.transport._socket()
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)


async def both_ways(link: Any, root: Server, at_once: int) -> None:
    """Let both ends send 32 MiB to each other, and check that all of it is received."""
    narrow(link)
    sink = Sink()
    answered, sent = await asyncio.gather(
        link.reference.callRemote("send_to", sink, at_once), send(link.reference, at_once)
    )
    assert answered == sent == [len(PIECE)] * PIECES
    assert root.taken == sink.taken == 32 * 1024 * 1024


@pytest.mark.parametrize("at_once", [1, 8, 64])
@pytest.mark.row("B13")
async def test_32_mib_each_way(face: Any, at_once: int) -> None:
    """With 64 KiB socket buffers, 32 MiB in each direction arrive, and all calls are answered."""
    root = Server()
    await both_ways(await face.connect(await face.serve(root)), root, at_once)


@pytest.mark.row("B13")
async def test_slow_reader(face: Any) -> None:
    """While a peer does not read its answers, its further calls wait; then all of them run."""
    root = Server()
    link = await face.connect(await face.serve(root))
    narrow(link)
    link.near.transport.pauseProducing()
    calls = [link.reference.callRemote("give") for _ in range(200)]
    while not link.far.transport.unsent:
        await asyncio.sleep(0.001)
    # The kernel holds some answers; these turns are enough to start all calls that need not wait.
    for _ in range(100):
        await asyncio.sleep(0)
    assert root.given < 50
    link.near.transport.resumeProducing()
    assert {len(await face.outcome(call)) for call in calls} == {BUFFER * 2}
    assert root.given == 200

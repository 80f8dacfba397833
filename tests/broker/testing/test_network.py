"""The network in memory: what TCP promises holds, and no more than that."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from broker.testing.flow import Profile
from broker.testing.loop import SimulatedLoop
from broker.testing.network import Wire

SENT = bytes(range(256)) * 300


class Side(asyncio.Protocol):
    """Writes down what asyncio would tell a protocol."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.reads: list[bytes] = []
        self.log: list[str] = []
        self.when_lost = 0.0

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep the data."""
        self.reads.append(data)

    def eof_received(self) -> bool:
        """Close too."""
        self.log.append("eof")
        return False

    def pause_writing(self) -> None:
        """Too much waits."""
        self.log.append("paused")

    def resume_writing(self) -> None:
        """Little waits."""
        self.log.append("resumed")

    def connection_lost(self, error: Exception | None) -> None:
        """The end."""
        self.log.append("lost" if error is None else type(error).__name__)
        self.when_lost = asyncio.get_running_loop().time()


def play(
    profile: Profile, act: Callable[[Wire, Side, Side], object], seed: int = 0
) -> tuple[Side, Side]:
    """Let two sides be connected, something be done, and a minute pass."""
    client, server = Side(), Side()
    dice = random.Random(seed)

    async def scenario(loop: SimulatedLoop) -> None:
        protocols = (lambda: client), (lambda: server)
        wire = Wire(loop, dice, profile, ("c0", "s0"), protocols, 40_000)
        wire.begin()
        act(wire, client, server)
        await asyncio.sleep(60)

    with contextlib.closing(SimulatedLoop(dice)) as loop:
        loop.run_until_complete(scenario(loop))
    return client, server


@pytest.mark.parametrize("seed", range(20))
def test_bytes_arrive_whole_and_in_order(seed: int) -> None:
    """Whatever the pieces, the latency, the room and the rate: what was written before a close."""

    def act(wire: Wire, client: Side, server: Side) -> None:
        client.transport.write(SENT[:5])
        client.transport.write(SENT[5:])
        client.transport.close()

    client, server = play(Profile.draw(random.Random(seed)), act, seed)
    assert b"".join(server.reads) == SENT
    assert server.log == ["eof", "lost"]
    assert client.log[-1] == "lost"


def test_they_are_split_and_merged() -> None:
    """Small pieces that come at once are read at once; those that come apart are not."""
    profile = Profile(pieces=(7,), latency=0.1, jitter=0.05)
    _, server = play(profile, lambda wire, client, _: client.transport.write(SENT[:140]))
    assert 1 < len(server.reads) < 20
    _, server = play(
        Profile(latency=0.1), lambda wire, client, _: [client.transport.write(b"a")] * 2
    )
    assert server.reads == [b"a"]


def test_little_room() -> None:
    """A writer is told to pause while the reader is paused and there is no room, and to go on."""

    def act(wire: Wire, client: Side, server: Side) -> None:
        server.transport.pause_reading()
        client.transport.write(SENT)
        loop = asyncio.get_running_loop()
        loop.call_later(10, lambda: log.append(len(server.reads)))
        loop.call_later(10, server.transport.resume_reading)

    log: list[int] = []
    client, server = play(Profile(capacity=4000), act)
    assert log == [0]
    assert client.log == ["paused", "resumed"]
    assert b"".join(server.reads) == SENT


def test_a_rate() -> None:
    """Bytes take their time."""

    def act(wire: Wire, client: Side, server: Side) -> None:
        client.transport.write(SENT)
        client.transport.close()

    _, server = play(Profile(rate=len(SENT) / 20), act)
    assert server.when_lost == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("seed", range(10))
def test_a_cut(seed: int) -> None:
    """Each end sees a reset in its time; of what was on its way a part may have arrived."""

    def act(wire: Wire, client: Side, server: Side) -> None:
        client.transport.write(SENT)
        wire.lose((5.0, 1.0))

    client, server = play(Profile(latency=0.1, pieces=(1448,)), act, seed)
    assert SENT.startswith(b"".join(server.reads))
    assert client.log == server.log == ["ConnectionResetError"]
    assert (client.when_lost, server.when_lost) == pytest.approx((1, 5), abs=0.1)


def test_a_half_closed_connection() -> None:
    """The end of one direction is seen by its reader, who closes the other."""
    client, server = play(Profile(), lambda wire, *_: wire.half_close("to_server"))
    assert server.log == client.log == ["eof", "lost"]


def test_a_stall() -> None:
    """Nothing arrives before a stall is over, and then all of it; if it has no end, never."""
    for until, arrives in ((20.0, True), (float("inf"), False)):

        def act(wire: Wire, client: Side, server: Side, until: float = until) -> None:
            wire.to_server.stall(until)
            client.transport.write(b"late")
            client.transport.close()

        _, server = play(Profile(), act)
        assert server.reads == [b"late"] * arrives
        assert server.when_lost == pytest.approx(20.0 * arrives, abs=0.1)


def test_an_end_that_closes_unread() -> None:
    """Who closes with data unread, or gets more after that, resets the connection."""

    def act(wire: Wire, client: Side, server: Side) -> None:
        server.transport.pause_reading()
        client.transport.write(b"unread")
        asyncio.get_running_loop().call_later(1, server.transport.close)

    client, server = play(Profile(), act)
    assert client.log == ["ConnectionResetError"]
    assert server.log == ["lost"]

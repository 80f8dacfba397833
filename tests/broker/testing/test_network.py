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
from broker.testing.network import Wire, network_loop

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


# The faults that a test makes, in a loop of each kind.


async def connected(profile: Profile | None = None) -> tuple[Wire, Side, Side]:
    """Two sides in the running loop."""
    client, server = Side(), Side()
    loop = network_loop(asyncio.get_running_loop())
    protocols = (lambda: client), (lambda: server)
    names = "client", "server"
    wire = Wire(loop, random.Random(0), profile or Profile(), names, protocols, 40_000)
    wire.begin()
    return wire, client, server


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    while not condition():
        await asyncio.sleep(0)


async def test_a_cut_now(each_loop: Any) -> None:
    """The bytes on their way are lost, and both ends see a reset."""
    wire, client, server = await connected()
    client.transport.write(b"lost")
    wire.cut()
    await until(lambda: server.log and client.log)
    assert server.reads == []
    assert client.log == server.log == ["ConnectionResetError"]
    assert wire.was_reset
    assert wire.is_empty


async def test_a_cut_of_one_direction() -> None:
    """Only the receiver of that direction sees it; the other one does when it writes."""
    wire, client, server = await connected()
    wire.cut("to_client")
    await until(lambda: client.log)
    for _ in range(20):
        await asyncio.sleep(0)
    assert server.log == ["eof", "lost"] or server.log == []
    server.transport.write(b"x")
    await until(lambda: server.log)


@pytest.mark.parametrize("count", [0, 1, 5, 9, 10])
async def test_a_cut_after_bytes(count: int, each_loop: Any) -> None:
    """Exactly so many bytes arrive, also within one write; the bytes after them are lost."""
    wire, client, server = await connected()
    client.transport.write(b"before")
    wire.cut_after(bytes=count)
    client.transport.write(b"0123")
    client.transport.write(b"456789")
    client.transport.write(b"never")
    await until(lambda: server.log and client.log)
    assert b"".join(server.reads) == b"before" + b"0123456789"[:count]
    assert wire.to_server.carried == 6 + count
    assert server.log == client.log == ["ConnectionResetError"]


async def test_bytes_of_both_directions_are_counted() -> None:
    """By default both count, in the order of writing; with a direction, only its own."""
    wire, client, server = await connected()
    wire.cut_after(bytes=5)
    client.transport.write(b"abc")
    server.transport.write(b"defg")
    await until(lambda: server.log and client.log)
    assert (b"".join(server.reads), b"".join(client.reads)) == (b"abc", b"de")
    assert wire.carried == 5
    wire, client, server = await connected()
    wire.cut_after(bytes=2, direction="to_client")
    client.transport.write(b"abc")
    server.transport.write(b"defg")
    await until(lambda: server.log and client.log)
    assert (b"".join(server.reads), b"".join(client.reads)) == (b"abc", b"de")


@pytest.mark.parametrize("direction", ["to_server", "to_client", None])
async def test_a_stall_until_it_is_resumed(direction: Any, each_loop: Any) -> None:
    """Nothing arrives in a stalled direction; the other flows, and all arrives in the end."""
    wire, client, server = await connected()
    wire.stall(direction)
    client.transport.write(b"a")
    server.transport.write(b"b")
    for _ in range(20):
        await asyncio.sleep(0)
    assert server.reads == [b"a"] * (direction == "to_client")
    assert client.reads == [b"b"] * (direction == "to_server")
    assert wire.to_server.is_stalled == (direction != "to_client")
    wire.resume()
    await until(lambda: server.reads and client.reads)
    assert not wire.to_server.is_stalled
    wire.ends[0].abort()
    await until(lambda: server.log)


def test_delay_and_rate() -> None:
    """Either direction has its own; they hold for the next bytes, which keep their order."""

    async def scenario(loop: SimulatedLoop) -> None:
        wire, client, server = await connected()
        arrivals: list[tuple[str, float]] = []
        client.data_received = lambda data: arrivals.append(("client", loop.time()))  # type: ignore[method-assign]
        server.data_received = lambda data: arrivals.append(("server", loop.time()))  # type: ignore[method-assign]
        wire.delay = 5
        assert (wire.delay, wire.to_client.delay) == (5, 5)
        wire.to_client.delay = 2
        client.transport.write(b"a")
        wire.delay = 0
        client.transport.write(b"b")
        server.transport.write(b"c")
        await asyncio.sleep(20)
        wire.rate = 10
        assert (wire.rate, wire.to_client.rate) == (10, 10)
        server.transport.write(bytes(50))
        await asyncio.sleep(20)
        names = [name for name, _ in arrivals]
        assert names == ["client", "server", "client"]
        times = [when for _, when in arrivals]
        assert times == pytest.approx([0, 5, 25], abs=0.1)

    with contextlib.closing(SimulatedLoop(random.Random(0))) as loop:
        loop.run_until_complete(scenario(loop))


async def test_a_half_close() -> None:
    """The reader of the direction sees its end, in a running loop, too."""
    wire, client, server = await connected()
    wire.half_close("to_client")
    await until(lambda: client.log and server.log)
    assert client.log == ["eof", "lost"]


async def test_misuse() -> None:
    """Directions and numbers that do not exist are refused."""
    wire, _, _ = await connected()
    for act in (wire.cut, wire.stall, wire.resume, wire.half_close):
        with pytest.raises(ValueError, match="no direction 'up'"):
            act("up")  # type: ignore[operator]
    with pytest.raises(ValueError, match="no direction 'up'"):
        wire.cut_after(1, "up")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bytes=-1"):
        wire.cut_after(-1)
    for name in ("delay", "rate"):
        for value in (-1, float("nan")):
            with pytest.raises(ValueError, match=f"{name}="):
                setattr(wire, name, value)
    assert not wire.was_reset
    wire.cut()

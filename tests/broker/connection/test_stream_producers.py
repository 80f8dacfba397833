"""The producers of a connection: turns, frames, pressure, and generators that do not end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
from support.memory import BrokerPair

import broker
from broker.core.policy import STRICT
from broker.core.tracer import Tracer
from broker.core.wire.messages import Items, Piece
from broker.core.wire.msgpack.reader import FrameReader
from broker.defer import Deferred
from broker.flavors.referenceable import Root


class House(Root):
    """Makes items, at once or in turns."""

    def __init__(self) -> None:
        self.gates: list[Deferred[None]] = []
        self.made = 0
        self.closed: list[int] = []

    async def remote_named(self, number: int) -> AsyncIterator[int]:
        """Make an item, and note when this ends."""
        try:
            yield number
            await Deferred()
        finally:
            self.closed.append(number)

    async def remote_rows(self, most: int, item: Any = None) -> AsyncIterator[Any]:
        """Make items."""
        for number in range(most):
            self.made += 1
            yield number if item is None else item

    async def remote_gated(self) -> AsyncIterator[int]:
        """Make an item for each gate that opens."""
        number = 0
        while True:
            yield number
            number += 1
            self.gates.append(Deferred())
            await self.gates[-1]

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


def frames_of(pair: BrokerPair) -> list[int]:
    """The numbers of items in the frames that wait at the client."""
    (stream,) = pair.client.session.translator.streams.incoming.values()
    return [count for _, _, count, _ in stream.frames]


def test_items_that_are_ready_go_together() -> None:
    """Those of one turn of the loop are one frame; a generator that waits delays none."""
    pair = BrokerPair(House(), policy=STRICT)
    stream = pair.call("rows", 100)
    assert frames_of(pair) == [100]
    del stream
    house = House()
    pair = BrokerPair(house, policy=STRICT)
    kept = pair.call("gated")
    assert frames_of(pair) == [1]
    house.gates[0].callback(None)
    pair.exchange()
    assert frames_of(pair) == [1, 1]
    del kept


def test_a_frame_a_turn() -> None:
    """After each frame others have their turn: two streams are sent alternately."""
    pair = BrokerPair(House(), policy=STRICT.but(stream_items=4))
    streams = [pair.root.callRemote("rows", 4) for _ in range(2)]
    pair.client.flush()
    pair.server.dataReceived(pair.transport(pair.client).take())
    read = FrameReader(STRICT.limits)
    found: list[Any] = []
    while pair.scheduler.step():
        read.receive(pair.transport(pair.server).take(), found)
    order = [message.stream for message in found if isinstance(message, Items)]
    assert order == [1, 2, 1, 2]
    del streams


@pytest.mark.parametrize(("size", "each_turn"), [(1, 2), (65_536, 2), (131_072, 1)])
def test_items_of_bytes_a_turn(size: int, each_turn: int) -> None:
    """Two go out in one turn, unless the first is large."""
    pair = BrokerPair(House(), policy=STRICT.but(stream_window=1 << 24))
    stream = pair.root.callRemote("rows", 6, bytes(size))
    pair.client.flush()
    pair.server.dataReceived(pair.transport(pair.client).take())
    turns = []
    while pair.scheduler.step():
        found: list[Any] = []
        FrameReader(STRICT.limits).receive(pair.transport(pair.server).take(), found)
        turns.append(sum(isinstance(message, Piece) for message in found))
    assert [turn for turn in turns if turn] == [each_turn] * (6 // each_turn)
    del stream


def test_no_item_of_bytes_beyond_the_credit() -> None:
    """A second one needs credit too."""
    house = House()
    pair = BrokerPair(house, policy=STRICT.but(stream_window=100))
    stream = pair.root.callRemote("rows", 6, bytes(200))
    pair.exchange()
    assert (house.made, frames_of(pair)) == (1, [1])
    del stream


def test_pressure() -> None:
    """No frame is made while many bytes are unsent; it goes on when they are."""
    house = House()
    pair = BrokerPair(house, policy=STRICT)
    transport: Any = pair.transport(pair.server)
    stream = pair.root.callRemote("rows", 100, "x" * 10_000)
    transport.unsent = STRICT.high_water + 1
    pair.exchange()
    made = house.made
    assert made < 30
    for _ in range(5):
        pair.exchange()
    assert house.made == made
    transport.unsent = 0
    transport.on_drained()
    pair.exchange()
    assert house.made > made
    del stream


def test_a_call_between_the_frames() -> None:
    """It is answered while a stream is produced."""
    pair = BrokerPair(House(), policy=STRICT.but(stream_items=2))
    stream = pair.root.callRemote("rows", 1000)
    assert pair.call("echo", 5) == 5
    del stream


async def test_a_generator_that_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """It is left alone, and logged once, some time after it was stopped."""
    let_go = asyncio.Event()

    class Stubborn(broker.Root):
        async def remote_rows(self) -> AsyncIterator[int]:
            """Ignore being cancelled."""
            yield 1
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue

        async def remote_echo(self, value: Any) -> Any:
            """Return it."""
            return value

    policy = broker.STRICT.but(close_timeout=0.05)
    async with (
        broker.serve(Stubborn(), "pb://127.0.0.1:0", policy=policy) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        for _ in range(2):
            async for _ in connection.root.callRemote("rows"):
                break
        text = "the generator of the stream of 'rows' goes on after it was stopped"
        async with asyncio.timeout(5):
            while sum(text in message for message in caplog.messages) < 2:
                await connection.root.callRemote("echo", 1)
        let_go.set()
        (peer,) = server.connections
        while len(peer.broker._producers or ()):
            await connection.root.callRemote("echo", 1)
        assert sum(text in message for message in caplog.messages) == 2
    told = [record for record in caplog.records if record.name == "broker.connection"]
    assert [record.levelno for record in told] == [logging.WARNING] * 2


async def test_no_timer_is_left() -> None:
    """When every stopped generator has ended, nothing is watched, and the connection can go."""

    class Rows(broker.Root):
        async def remote_rows(self) -> AsyncIterator[int]:
            """Make numbers for ever."""
            for number in count():
                yield number

        def remote_echo(self, value: Any) -> Any:
            """Return it."""
            return value

    async with (
        broker.serve(Rows(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        (peer,) = server.connections
        for _ in range(2):
            async for _ in connection.root.callRemote("rows"):
                break
            async with asyncio.timeout(5):
                while len(peer.broker._producers or ()):
                    await connection.root.callRemote("echo", 1)
            assert peer.broker._producers._timer is None


def test_streams_end_in_the_order_in_which_they_began() -> None:
    """When the connection ends, their generators are closed in that order."""
    house = House()
    pair = BrokerPair(house, policy=STRICT)
    kept = [pair.call("named", number) for number in range(20)]
    pair.cut()
    assert house.closed == [*range(20)]
    del kept


async def test_an_error_of_closing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback; the reader does not learn of it."""

    class Failing(broker.Root):
        async def remote_rows(self) -> AsyncIterator[int]:
            """Fail when it is closed."""
            try:
                while True:
                    yield 1
            finally:
                raise ValueError("no")

        def remote_echo(self, value: Any) -> Any:
            """Return it."""
            return value

    async with (
        broker.serve(Failing(), "pb://127.0.0.1:0") as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        async for _ in connection.root.callRemote("rows"):
            break
        async with asyncio.timeout(5):
            while not caplog.records:
                await connection.root.callRemote("echo", 1)
    assert "the generator of the stream of 'rows' raised when it was closed" in caplog.text


async def test_a_drain_ends_the_streams() -> None:
    """At its end their readers learn why; a stream does not hold it back."""
    async with broker.serve(House(), "pb://127.0.0.1:0") as server:
        connection = await broker.connect(server.addresses[0])
        stream = await connection.root.callRemote("rows", 10**9)
        assert await anext(stream) == 0
        await server.close(drain=5)
        with pytest.raises(broker.ServerDraining, match="the server is shutting down"):
            async for _ in stream:
                pass
        await connection.wait_closed()


def test_streams_are_no_calls_for_a_tracer() -> None:
    """The call has ended when the stream is there."""
    ended: list[Any] = []

    class Noting(Tracer):
        def call_ended(self, token: Any, outcome: Any, error: Any) -> None:
            """Note it."""
            ended.append(outcome)

    pair = BrokerPair(House(), policy=STRICT)
    pair.client.session.trace(Noting())
    stream = pair.call("rows", 1000)
    assert len(ended) == 1
    assert not stream.is_ended


def test_generators_that_end_leave_no_timer() -> None:
    """A stopped stream is watched by a timer only until its generator has ended."""
    pair = BrokerPair(House(), policy=STRICT)
    idle = pair.scheduler.waiting
    for _ in range(20):
        stream = pair.call("gated")
        assert pair.get(stream.read()) == 0
        del stream
        pair.collect()
    assert pair.scheduler.waiting == idle

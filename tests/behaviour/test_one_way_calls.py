"""One-way calls: none is lost while the connection lasts, unless a counter shows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.memory import ROOT, BrokerPair

from broker.connection.broker import Broker
from broker.core.policy import PUBLISHED, STRICT, Policy
from broker.errors import ConnectionDone
from broker.failure import Failure
from broker.flavors.referenceable import Referenceable, Root
from broker.net.scheduler import LoopScheduler

EVENTS = 1500


class Feed(Root):
    """Receives events, and calls their sender."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.most = self.running = 0
        self.doors: list[asyncio.Future[None]] = []

    async def remote_event(self, number: int) -> None:
        """Wait until the test releases this event."""
        self.taken.append(number)
        door = asyncio.get_running_loop().create_future()
        self.doors.append(door)
        self.running += 1
        self.most = max(self.most, self.running)
        await door
        self.running -= 1

    async def remote_relayed(self, number: int, asker: Any) -> None:
        """Call the sender before returning."""
        self.running += 1
        self.most = max(self.most, self.running)
        self.taken.append(await asker.callRemote("give", number))
        self.running -= 1

    def remote_count(self) -> int:
        """Return how many events have started."""
        return len(self.taken)

    def open_all(self) -> None:
        """Let the started events end."""
        doors, self.doors = self.doors, []
        for door in doors:
            if not door.cancelled():
                door.set_result(None)


class Giver(Referenceable):
    """Called by the feed."""

    def remote_give(self, number: int) -> int:
        """Return the number."""
        return number


class Line:
    """A feed and its sender in the running loop."""

    def __init__(self, policy: Policy):
        self.feed = Feed()
        scheduler: Any = LoopScheduler(asyncio.get_running_loop())
        self.pair = BrokerPair(self.feed, policy=policy, scheduler=scheduler, connect=False)
        for broker in (self.pair.client, self.pair.server):
            broker.makeConnection(self.pair.transport(broker))
        self.root = self.pair.client.remoteForName(ROOT)

    async def settle(self, until: Callable[[], bool] = lambda: False) -> None:
        """Deliver and run the loop until both ends have been quiet for some turns."""
        quiet = 0
        while quiet < 20 and not until():
            quiet += 1
            client, server = self.pair.client, self.pair.server
            for sender, receiver in ((client, server), (server, client)):
                sender.flush()
                data = self.pair.transport(sender).take()
                if data and not receiver.disconnected:
                    receiver.dataReceived(data)
                    quiet = 0
                if receiver.pump.has_turn or receiver.session.inbox.has_unstarted_tasks:
                    quiet = 0
            await asyncio.sleep(0)


WIRES = [
    pytest.param(policy.but(dialects=dialects), id=f"{name}-{dialects[0]}")
    for name, policy in (("strict", STRICT), ("published", PUBLISHED))
    for dialects in (("msgpack/1",), ("pb", "none"))
]
each_wire = pytest.mark.parametrize("policy", WIRES)


@asynccontextmanager
async def settled(policy: Policy) -> AsyncIterator[Line]:
    """A line whose ends have agreed on a dialect; both ends are lost afterwards."""
    line = Line(policy)
    await line.settle()
    yield line
    for broker in (line.pair.client, line.pair.server):
        broker.connectionLost(Failure(ConnectionDone()))
    # The published policy lets methods run on.
    line.feed.open_all()
    await asyncio.sleep(0)


@each_wire
async def test_events_beyond_max_calls_wait_and_all_run_in_order(policy: Policy) -> None:
    """1,500 events to a slow method: max_calls at once, none refused, none lost."""
    async with settled(policy) as line:
        for number in range(EVENTS):
            line.root.callRemote("event", number, pbanswer=False)
        await line.settle()
        assert len(line.feed.taken) == policy.max_calls
        while line.feed.doors:
            line.feed.open_all()
            await line.settle()
        assert line.feed.taken == list(range(EVENTS))
        assert line.feed.most == policy.max_calls
        stats = line.pair.server.session.stats
        assert not stats.limits
        assert not stats.sends_refused


@each_wire
async def test_a_call_behind_an_event_that_waits_is_made_after_it(policy: Policy) -> None:
    """Calls with and without an answer keep their order."""
    async with settled(policy.but(max_calls=2)) as line:
        for number in range(3):
            line.root.callRemote("event", number, pbanswer=False)
        counted: list[Any] = []
        line.root.callRemote("count").addBoth(counted.append)
        await line.settle()
        assert (line.feed.taken, counted) == ([0, 1], [])
        line.feed.open_all()
        await line.settle()
        assert (line.feed.taken, counted) == ([0, 1, 2], [3])


@each_wire
async def test_a_call_that_wants_an_answer_is_refused_as_before(policy: Policy) -> None:
    """Beyond max_calls it is ServerBusy at once, if no event waits before it."""
    async with settled(policy.but(max_calls=1)) as line:
        line.root.callRemote("event", 0, pbanswer=False)
        failures: list[Any] = []
        line.root.callRemote("count").addErrback(failures.append)
        await line.settle()
        assert [failure.type.rpartition(".")[2] for failure in failures] == ["ServerBusy"]


@each_wire
async def test_answers_pass_events_that_wait(policy: Policy) -> None:
    """A method that calls the sender of 1,500 events gets its answer."""
    async with settled(policy) as line:
        giver = Giver()
        for number in range(EVENTS):
            line.root.callRemote("relayed", number, giver, pbanswer=False)
        await line.settle(lambda: len(line.feed.taken) == EVENTS)
        assert sorted(line.feed.taken) == list(range(EVENTS))
        assert line.feed.most <= policy.max_calls


@each_wire
async def test_reading_stops_while_much_waits_and_goes_on_when_it_has_been_taken(
    policy: Policy,
) -> None:
    """Flow control reaches the sender: at most max_backlog bytes wait, and all events arrive."""
    async with settled(policy.but(max_calls=1, max_backlog=2000)) as line:
        pair, transport = line.pair, line.pair.transport(line.pair.server)
        for number in range(200):
            line.root.callRemote("event", number, pbanswer=False)
        await line.settle()
        assert transport.is_paused
        while line.feed.doors:
            line.feed.open_all()
            await line.settle()
        assert not transport.is_paused
        assert line.feed.taken == list(range(200))
        assert pair.server.session.inbox.wants_data


@each_wire
async def test_what_is_handled_meanwhile_does_not_stop_reading(policy: Policy) -> None:
    """Only waiting messages count as backlog: thousands of answers pass one event that waits."""
    async with settled(policy.but(max_calls=1, max_backlog=2000)) as line:
        server, transport = line.pair.server, line.pair.transport(line.pair.server)
        giver = Giver()
        line.root.callRemote("relayed", 0, giver, pbanswer=False)
        line.root.callRemote("event", 1, pbanswer=False)
        line.root.callRemote("event", 2, pbanswer=False)
        await line.settle()
        asked = server.remoteForName(ROOT)
        line.pair.client.setNameForLocal(ROOT, giver)
        for number in range(1000):
            got: list[Any] = []
            asked.callRemote("give", number).addBoth(got.append)
            await line.settle(lambda got=got: bool(got))  # type: ignore[misc]
            assert got == [number]
        assert not transport.is_paused
        assert server.session.inbox.waiting == 1


@each_wire
async def test_events_that_came_before_a_drain_are_run(policy: Policy) -> None:
    """The drain ends when they have ended; later events are counted, and logged once."""
    async with settled(policy.but(max_calls=1)) as line:
        server = line.pair.server
        for number in range(4):
            line.root.callRemote("event", number, pbanswer=False)
        await line.settle()
        ended: list[Any] = []
        server.drain().addCallback(ended.append)
        while line.feed.doors:
            assert not ended
            line.feed.open_all()
            await line.settle()
        assert line.feed.taken == [0, 1, 2, 3]
        assert len(ended) == 1


async def test_an_event_that_comes_during_a_drain_is_counted_and_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The sender counts it if it was notified of the drain, else the receiver counts it."""
    caplog.set_level(logging.WARNING)

    for dialect, ours, theirs in (("msgpack/1", 4, 0), ("pb", 0, 4)):
        caplog.clear()
        async with settled(STRICT.but(dialects=(dialect,))) as line:
            line.pair.server.drain()
            if dialect == "msgpack/1":
                await line.settle()
            for number in range(3):
                line.root.callRemote("event", number, pbanswer=False)
            line.root.send("event", 3)
            await line.settle()
            assert line.feed.taken == []
            assert line.pair.client.dialect == dialect
            assert line.pair.client.session.stats.sends_dropped == ours
            assert line.pair.server.session.stats.sends_refused == theirs
        texts = [record.getMessage() for record in caplog.records]
        assert len([text for text in texts if "'event'" in text]) == 1


@each_wire
@pytest.mark.parametrize(
    ("name", "args"), [("nothing", ()), ("count", (1, 2)), ("count", (Giver(),))]
)
async def test_an_event_that_no_method_takes_is_counted_and_told_of_once(
    policy: Policy, name: str, args: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """No peer gets the error: the receiver's log has the first, and its counter all of them."""
    caplog.set_level(logging.WARNING)

    async with settled(policy) as line:
        for _ in range(3):
            line.root.callRemote(name, *args, pbanswer=False)
        await line.settle()
        assert line.pair.server.session.stats.sends_refused == 3

    texts = [record.getMessage() for record in caplog.records]
    assert len([text for text in texts if f"'{name}' without an answer" in text]) == 1


@each_wire
async def test_with_no_calls_allowed_at_all_an_event_is_counted(policy: Policy) -> None:
    """No running call could end, so the event would wait without limit."""
    async with settled(policy.but(max_calls=0)) as line:
        line.root.callRemote("event", 1, pbanswer=False)
        await line.settle()
        assert line.feed.taken == []
        assert line.pair.server.session.stats.sends_refused == 1


class Overriding(Broker):
    """Handles calls itself, as published."""

    def proto_message(self, *fields: Any) -> None:
        """Pass the call on."""
        super().proto_message(*fields)


async def test_events_that_a_published_hook_handles() -> None:
    """They also wait in order if a class handles each message first."""
    async with settled(PUBLISHED.but(max_calls=2, dialects=("pb", "none"))) as line:
        server = Overriding(False, policy=line.pair.server.policy)
        server.setNameForLocal(ROOT, line.feed)
        scheduler: Any = LoopScheduler(asyncio.get_running_loop())
        line.pair = BrokerPair(None, policy=server.policy, scheduler=scheduler, connect=False)
        transport = line.pair.transport(line.pair.server)
        line.pair._transports[server] = transport
        line.pair.server = server
        for broker in (line.pair.client, server):
            broker.makeConnection(line.pair.transport(broker))
        root = line.pair.client.remoteForName(ROOT)
        await line.settle()
        counted: list[Any] = []
        for number in range(9):
            root.callRemote("event", number, pbanswer=False)
        root.callRemote("count").addBoth(counted.append)
        await line.settle()
        assert (line.feed.taken, counted) == ([0, 1], [])
        while line.feed.doors:
            line.feed.open_all()
            await line.settle()
        assert (line.feed.taken, counted) == (list(range(9)), [9])

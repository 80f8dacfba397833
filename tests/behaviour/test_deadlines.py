"""Deadlines: they count from the receipt of a call, and apply to the calls that it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.memory import BrokerPair, ManualScheduler

import broker
from broker.core.calls.deadline import DEADLINE
from broker.core.policy import PUBLISHED, STRICT
from broker.failure import Failure
from broker.flavors.referenceable import Referenceable, Root

POLICIES = [
    pytest.param(policy.but(dialects=("msgpack/1",)), id=name)
    for name, policy in (("strict", STRICT), ("published", PUBLISHED))
]
each_policy = pytest.mark.parametrize("policy", POLICIES)


class Thing(Referenceable):
    """Sent as an argument, so that a call takes a graph."""


class House(Root):
    """Returns the deadline under which it runs."""

    def __init__(self) -> None:
        self.ran: list[Any] = []
        self.on_step: Callable[[], None] = lambda: None

    def remote_step(self, *args: Any) -> None:
        """Run the test's function."""
        self.ran.append("step")
        self.on_step()

    def remote_plain(self, *args: Any) -> float | None:
        """Return the deadline."""
        self.ran.append("plain")
        return DEADLINE.get()

    async def remote_async(self, *args: Any) -> float | None:
        """Return the deadline."""
        self.ran.append("async")
        return DEADLINE.get()


class Line:
    """Two ends without a loop; the test sets the time."""

    def __init__(self, policy: Any):
        self.house = House()
        self.pair = BrokerPair(self.house, policy=policy)
        scheduler = self.pair.scheduler
        assert isinstance(scheduler, ManualScheduler)
        self.clock = scheduler

    def call(self, seconds: float | None, name: str, *args: Any, **kw: Any) -> list[Any]:
        """Call with this much time; return the list that will get the outcome."""
        found: list[Any] = []
        token = DEADLINE.set(None if seconds is None else self.clock.clock + seconds)
        try:
            deferred = self.pair.root.callRemote(name, *args, **kw)
        finally:
            DEADLINE.reset(token)
        if deferred is not None:
            deferred.addBoth(found.append)
        return found

    def bytes(self) -> Any:
        """Return the bytes that the client has written."""
        self.pair.client.flush()
        return self.pair.transport(self.pair.client).take()


def name_of(outcome: list[Any]) -> str:
    """Return the name of the error that a call ended with, or an empty text."""
    (found,) = outcome
    return found.type.rpartition(".")[2] if isinstance(found, Failure) else ""


@each_policy
@pytest.mark.parametrize("name", ["plain", "async"])
@pytest.mark.parametrize("args", [(), (Thing(),)], ids=["values", "graph"])
def test_a_method_runs_until_its_caller_s_deadline(policy: Any, name: str, args: Any) -> None:
    """The deadline is sent in milliseconds, rounded up; a call without one has none."""
    line = Line(policy)
    line.clock.clock = 100.0
    with_one, without = line.call(5.0, name, *args), line.call(None, name, *args)
    line.clock.clock = 103.0
    line.pair.exchange()
    assert with_one == [pytest.approx(103.0 + 5.001)]
    assert without == [None]


@each_policy
@pytest.mark.parametrize("args", [(), (Thing(),)], ids=["values", "graph"])
@pytest.mark.parametrize("name", ["plain", "async"])
@pytest.mark.parametrize("late", [1.9, 2.1])
def test_a_call_behind_one_that_takes_long(policy: Any, name: str, late: float, args: Any) -> None:
    """Its deadline counts from its receipt; if it has passed before the call's turn, it does not
    run.
    """
    line = Line(policy)

    def take_long() -> None:
        line.clock.clock += late

    line.house.on_step = take_long
    line.call(None, "step")
    outcome = line.call(2.0, name, *args)
    line.pair.exchange()
    assert name_of(outcome) == ("CallTimeout" if late > 2.001 else "")
    assert line.house.ran == ["step", *([name] if late < 2 else [])]
    if late < 2:
        assert outcome == [pytest.approx(2.001)]


@each_policy
@pytest.mark.parametrize("count", [1, 200])
def test_calls_that_are_held(policy: Any, count: int) -> None:
    """Each counts from the receipt of its own bytes, decoded or not."""
    line = Line(policy)
    server = line.pair.server
    server.session.inbox.hold_calls(True)
    outcomes = []
    for _ in range(3):
        outcomes += [line.call(2.0, "plain") for _ in range(count)]
        server.dataReceived(line.bytes())
        line.clock.clock += 1.0
    # Now is 3: the first calls have waited 3 seconds, the second 2, the last 1.
    server.session.inbox.hold_calls(False)
    server.pump.run()
    line.pair.exchange()
    assert [name_of(each) for each in outcomes[:count]] == ["CallTimeout"] * count
    assert outcomes[count : 2 * count] == [[pytest.approx(1.0 + 2.001)]] * count
    assert outcomes[2 * count :] == [[pytest.approx(2.0 + 2.001)]] * count


@each_policy
def test_bytes_that_wait_to_be_decoded(policy: Any) -> None:
    """Calls that are received while others wait count from their own receipt."""
    line = Line(policy)
    server = line.pair.server
    flood = [line.call(None, "step") for _ in range(1000)]
    server.dataReceived(line.bytes())
    assert server.session.inbox.has_more
    outcomes = []
    for _ in range(4):
        outcomes.append(line.call(2.0, "plain"))
        server.dataReceived(line.bytes())
        line.clock.clock += 1.0
    assert server.session.inbox.has_more
    line.pair.exchange()
    assert all(flood)
    assert [name_of(each) for each in outcomes] == ["CallTimeout", "CallTimeout", "", ""]
    assert outcomes[2:] == [[pytest.approx(2 + 2.001)], [pytest.approx(3 + 2.001)]]


@each_policy
def test_a_frame_that_comes_in_pieces(policy: Any) -> None:
    """Its time begins with its last byte."""
    line = Line(policy)
    outcome = line.call(2.0, "plain")
    data = line.bytes()
    line.pair.server.dataReceived(data[:-1])
    line.clock.clock = 10.0
    line.pair.server.dataReceived(data[-1:])
    line.pair.exchange()
    assert outcome == [pytest.approx(12.001)]


@each_policy
def test_a_call_that_was_not_run_releases_what_it_brought(policy: Any) -> None:
    """A call without an answer runs: no caller waits for it."""
    line = Line(policy)
    line.house.on_step = lambda: setattr(line.clock, "clock", line.clock.clock + 5)
    line.call(None, "step")
    outcome = line.call(2.0, "plain", Thing())
    line.call(2.0, "plain", Thing(), pbanswer=False)
    line.pair.exchange()
    assert name_of(outcome) == "CallTimeout"
    assert line.house.ran == ["step", "plain"]
    line.pair.collect()
    assert len(line.pair.client.session.translator.exports.names()) == 0
    assert line.pair.server.session.stats.sends_refused == 0


class Relay(Root):
    """Passes calls on."""

    def __init__(self, worker: Any):
        self.worker = worker

    async def remote_ask(self) -> Any:
        """Wait for the worker."""
        return await self.worker.callRemote("plain")

    def remote_ask_plainly(self) -> Any:
        """Return the worker's Deferred."""
        return self.worker.callRemote("plain")

    async def remote_ask_longer(self) -> Any:
        """Ask for more time than is left."""
        async with broker.timeout(100):
            return await self.worker.callRemote("plain")

    async def remote_ask_shorter(self) -> Any:
        """Ask for less time than is left."""
        async with broker.timeout(3):
            return await self.worker.callRemote("plain")

    async def remote_ask_task(self) -> Any:
        """Let a task ask."""
        return await asyncio.ensure_future(self.worker.callRemote("plain").asFuture(
            asyncio.get_running_loop()))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("ask", 20, 30.1),
        ("ask_plainly", 20, 30.1),
        ("ask_longer", 20, 30.1),
        ("ask_shorter", 0, 3.1),
        ("ask_task", 20, 30.1),
    ],
)
async def test_the_rest_is_passed_on(name: str, least: float, most: float) -> None:
    """The calls of a method have the time that its caller has left, or less."""
    loop = asyncio.get_running_loop()
    async with (
        broker.serve(House(), "pb://127.0.0.1:0") as far,
        broker.connect(far.addresses[0]) as worker,
        broker.serve(Relay(worker.root), "pb://127.0.0.1:0") as near,
        broker.connect(near.addresses[0]) as connection,
    ):
        due = await connection.root.callRemote(name)
        assert (due is None) == (name not in ("ask_shorter", "ask_longer"))
        async with broker.timeout(30):
            due = await connection.root.callRemote(name)
        assert least < due - loop.time() <= most

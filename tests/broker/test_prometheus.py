"""The metrics of a server, read by Prometheus's own parser and compared with what was done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.cached_models import House

import broker
from broker import pb, prometheus, reactor
from broker.topics.hub import waiting_messages
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.error import LoginFailed
from cred.portal import Portal

LOOPBACK = "pb://127.0.0.1:0"
DIALECTS = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])


class Shop(broker.Root):
    """What is served."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_raise(self) -> None:
        """Raise."""
        raise broker.Error("no")

    def remote_things(self, count: int) -> list[Any]:
        """Return new objects."""
        return [broker.Referenceable() for _ in range(count)]


class PublishedShop(pb.Root):
    """What a factory serves."""

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value


class Clock:
    """A clock that is set."""

    def __init__(self, step: float = 0.004):
        self.time, self.step = 0.0, step

    def now(self) -> float:
        """Return the time, and let some pass."""
        self.time += self.step
        return self.time


def read(server: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples by their name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(prometheus.text(server))
        for sample in family.samples
    }


def calls(method: str, outcome: str) -> tuple[tuple[str, str], ...]:
    """Return labels."""
    return (("method", method), ("outcome", outcome), ("target", "Shop"))


@DIALECTS
async def test_counts(dialect: str) -> None:
    """Calls, bytes, references and connections are those that there were."""
    policy = broker.STRICT.but(dialects=(dialect,))
    metrics = prometheus.Metrics(Clock().now)
    async with broker.serve(Shop(), LOOPBACK, policy=policy, observers=[metrics]) as server:
        async with broker.connect(server.addresses[0]) as connection:
            for number in range(3):
                await connection.root.callRemote("echo", number)
            with pytest.raises(broker.Error):
                await connection.root.callRemote("raise")
            things = await connection.root.callRemote("things", 4)
            found = read(server)
            assert found["pb_calls_total", calls("echo", "answered")] == 3
            assert found["pb_calls_total", calls("raise", "raised")] == 1
            assert found["pb_call_seconds_count", calls("echo", "answered")] == 3
            assert found["pb_call_seconds_sum", calls("echo", "answered")] == pytest.approx(0.012)
            for bound, count in (("0.0025", 0), ("0.005", 3), ("+Inf", 3)):
                labels = tuple(sorted([*calls("echo", "answered"), ("le", bound)]))
                assert found["pb_call_seconds_bucket", labels] == count
            assert found["pb_connections", ()] == 1
            assert found["pb_references", (("direction", "out"),)] == 4
            received = found["pb_received_bytes_total", ()]
            assert received > 50
            del things
        while server.connections:
            await server.connections[0].wait_closed()
        found = read(server)
        closed = {key: value for key, value in found.items() if "closed" in key[0]}
        assert found["pb_connections", ()] == 0
        assert closed == {("pb_connections_closed_total", (("reason", "ConnectionDone"),)): 1}
        assert found["pb_received_bytes_total", ()] >= received


@pytest.mark.parametrize("others", [[], [broker.LogCalls()]])
async def test_short_calls(others: list[broker.Observer]) -> None:
    """Calls of the first bucket are counted as exactly, also beside another observer."""
    observers = [prometheus.Metrics(Clock(0.0001).now), *others]
    async with (
        broker.serve(Shop(), LOOPBACK, observers=observers) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        for number in range(5):
            await connection.root.callRemote("echo", number)
        found = read(server)
        labels = calls("echo", "answered")
        first = tuple(sorted([*labels, ("le", "0.0005")]))
        assert found["pb_calls_total", labels] == found["pb_call_seconds_bucket", first] == 5
        assert found["pb_call_seconds_sum", labels] == pytest.approx(0.0005)
        # A method that nobody has called has no sample.
        assert not [key for key in found if ("method", "things") in key[1]]


async def test_odd_names_make_no_labels() -> None:
    """10,000 names of a peer that no class has are one label."""
    async with (
        broker.serve(Shop(), LOOPBACK, observers=[prometheus.Metrics()]) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        before = len(read(server))
        pending = [connection.root.callRemote(f'odd{n}\n"') for n in range(10_000)]
        for each in pending:
            each.addErrback(lambda _: None)
        with pytest.raises(broker.NoSuchMethod):
            await connection.root.callRemote("__init__")
        found = read(server)
        assert found["pb_calls_total", calls("other", "refused")] == 10_001
        assert len(found) - before < 25


async def test_logins() -> None:
    """Logins are counted by mechanism and outcome."""
    checker = InMemoryUsernamePasswordDatabaseDontUse(alice="a")
    portal = Portal(broker.realm(lambda name, mind: broker.Avatar()), [checker])
    async with broker.serve(portal, LOOPBACK, observers=[prometheus.Metrics()]) as server:
        with pytest.raises(LoginFailed):
            await broker.connect(server.addresses[0], UsernamePassword("alice", "b"))
        async with broker.connect(server.addresses[0], UsernamePassword("alice", "a")):
            logins = {
                dict(labels)["outcome"]: value
                for (name, labels), value in read(server).items()
                if name == "pb_logins_total"
            }
            assert logins == {"refused": 1, "answered": 1}
        assert "alice" not in prometheus.text(server)


async def test_without_the_observer() -> None:
    """Without it there are gauges only, and no counter that could fall."""
    async with (
        broker.serve(Shop(), LOOPBACK) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        await connection.root.callRemote("echo", 1)
        server.stats.limits["max_calls"] += 2
        names = {name for name, _ in read(server)}
        assert "pb_connections" in names and "pb_calls_total" not in names
        assert "pb_received_bytes_total" not in names
        assert read(server)["pb_limits_total", (("limit", "max_calls"),)] == 2


async def test_the_collector() -> None:
    """prometheus_client has the same metrics by the collector."""
    async with broker.serve(Shop(), LOOPBACK, observers=[prometheus.Metrics()]) as server:
        registry = CollectorRegistry()
        registry.register(prometheus.collector(server))
        assert b"pb_connections 0.0" in generate_latest(registry)


class Yard(House):
    """Has what the gauges count."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = asyncio.Event()

    async def remote_wait(self) -> None:
        """Wait for the end."""
        await self.ends.wait()

    async def remote_numbers(self) -> AsyncIterator[int]:
        """Yield one, and wait for the end."""
        yield 1
        await self.ends.wait()

    async def remote_take(self, items: Any) -> int:
        """Read a stream to its end."""
        return len([item async for item in items])

    async def remote_call_back(self, other: Any) -> None:
        """Call the caller."""
        await other.callRemote("missed", 1)

    def remote_big(self) -> bytes:
        """Return many bytes."""
        return bytes(500_000)


async def test_each_gauge() -> None:
    """Caches, streams, calls and unsent bytes are counted in their direction, and given back."""
    yard = Yard()

    async def items() -> AsyncIterator[int]:
        yield 1
        await yard.ends.wait()

    def value(name: str, **labels: str) -> float:
        return float(read(server)[f"pb_{name}", tuple(labels.items())])

    async with broker.serve(yard, LOOPBACK, observers=[prometheus.Metrics()]) as server:
        connection = await broker.connect(server.addresses[0])
        call = connection.root.callRemote
        mirror = await call("get")
        await call("call_back", Follower())
        numbers = aiter(call("numbers"))
        assert await anext(numbers) == 1
        pending = [call("take", items()), call("wait")]
        while value("streams", direction="in") < 1:
            await asyncio.sleep(0.01)
        assert value("streams", direction="out") == 1
        assert value("caches", direction="out") == 1
        assert value("caches", direction="in") == 0
        assert value("calls_running") == 2
        assert value("calls_made_total", outcome="answered") == 1
        assert (value("connections_accepted_total"), value("connections_slow")) == (1, 0)
        assert value("unsent_bytes") == 0
        sent = value("sent_bytes_total")
        connection.broker.port.pause_reading()
        pending += [call("big") for _ in range(60)]
        while not value("connections_slow"):
            await asyncio.sleep(0.01)
        assert value("unsent_bytes") > server.connections[0].broker.policy.high_water
        assert value("sent_bytes_total") > sent
        for each in pending:
            each.addErrback(lambda _: None)
        connection.broker.port.abortConnection()
        while server.connections:
            await server.connections[0].wait_closed()
        for name in ("streams", "caches", "references"):
            assert value(name, direction="out") == value(name, direction="in") == 0
        assert value("calls_running") == value("unsent_bytes") == value("connections_slow") == 0
        yard.ends.set()
        del mirror, numbers


class Clerk(Protocol):
    """A contract."""

    async def sell(self, number: int) -> int:
        """Return it."""
        ...


class ClerkInPerson:
    """Keeps it."""

    async def sell(self, number: int) -> int:
        """Return it."""
        return number


@DIALECTS
async def test_a_contract(dialect: str) -> None:
    """The calls of a servant have the name of its contract, and those of others their class."""
    policy = broker.STRICT.but(dialects=(dialect,))
    root = broker.servant(Clerk)(ClerkInPerson())
    observers = [prometheus.Metrics()]
    async with (
        broker.serve(root, LOOPBACK, policy=policy, observers=observers) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        assert await connection.root.of(Clerk).sell(3) == 3
        labels = (("method", "sell"), ("outcome", "answered"), ("target", "Clerk"))
        assert read(server)["pb_calls_total", labels] == 1


class Mine(prometheus.Metrics):
    """Counts the seconds of refused calls apart."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[str] = []

    def call_ended(self, token: Any, call: Any, outcome: Any, error: object) -> None:
        """Note it."""
        self.outcomes.append(outcome.value)
        super().call_ended(token, call, outcome, error)


async def test_a_subclass_and_other_observers() -> None:
    """A subclass is told of each call; with other observers the counts are the same."""
    for observers in ([Mine()], [prometheus.Metrics(), broker.Observer()]):
        async with (
            broker.serve(Shop(), LOOPBACK, observers=observers) as server,
            broker.connect(server.addresses[0]) as connection,
        ):
            await connection.root.callRemote("echo", 1)
            with pytest.raises(broker.NoSuchMethod):
                await connection.root.callRemote("nothing")
            calls = {
                dict(labels)["outcome"]: value
                for (name, labels), value in read(server).items()
                if name == "pb_calls_total"
            }
            assert calls == {"answered": 1, "refused": 1}
            assert all(
                each.outcomes == ["answered", "refused"]
                for each in observers
                if isinstance(each, Mine)
            )


class Feed(broker.Root):
    """Sends events."""

    def __init__(self) -> None:
        self.subscribers = broker.Subscribers(key=lambda name, args, kw: args[0])

    def remote_follow(self, follower: Any, slow: str) -> None:
        """Subscribe."""
        self.subscribers.add(follower, slow=broker.Slow[slow], most=1)


class Follower(broker.Referenceable):
    """Hears events."""

    def remote_event(self, number: int, data: bytes) -> None:
        """Do nothing."""

    def remote_missed(self, count: int) -> None:
        """Do nothing."""


@DIALECTS
@pytest.mark.parametrize(("slow", "name"), [("DROP_OLDEST", "dropped"), ("CONFLATE", "conflated")])
async def test_events(slow: str, name: str, dialect: str) -> None:
    """Lost events are counted, and their counter does not fall when the connection ends."""
    feed = Feed()
    policy = broker.STRICT.but(dialects=(dialect,))
    observers = [prometheus.Metrics()]
    async with broker.serve(feed, LOOPBACK, policy=policy, observers=observers) as server:
        async with broker.connect(server.addresses[0]) as connection:
            await connection.root.callRemote("follow", Follower(), slow)
            assert read(server)["pb_subscriptions", ()] == 1
            connection.broker.port.pause_reading()
            lost = 0.0
            while not lost:
                feed.subscribers.send("event", 1, bytes(65_536))
                await asyncio.sleep(0)
                lost = read(server)[f"pb_events_{name}_total", ()]
            connection.broker.port.abortConnection()
        while server.connections:
            await server.connections[0].wait_closed()
        found = read(server)
        assert found["pb_subscriptions", ()] == 0
        assert found[f"pb_events_{name}_total", ()] >= lost
        assert found["pb_events_dropped_total", ()] >= 1


async def test_the_process() -> None:
    """The delay of the loop, kept replies and the messages of topics are there where they exist."""
    names = {"pb_loop_lag_seconds", "pb_replies", "pb_topics_waiting"}
    async with broker.serve(Shop(), LOOPBACK, replies=broker.Replies(seconds=60)) as server:
        assert read(server)["pb_replies", ()] == 0
        assert not {"pb_loop_lag_seconds"} & {name for name, _ in read(server)}
        broker.inspector(server)
        async with broker.Link(server.addresses[0]) as link, broker.Topics():
            async with broker.once():
                await link.root.callRemote("echo", 1)
            found = read(server)
            assert names <= {name for name, _ in found}
            assert found["pb_replies", ()] > 0


class Held(broker.MemoryEngine):
    """An engine that takes messages later than at once."""

    capabilities = broker.MemoryEngine.capabilities - {"immediate"}


async def test_messages_that_wait_for_an_engine() -> None:
    """A message that the engine has not taken is counted."""
    before = waiting_messages()
    async with broker.serve(Shop(), LOOPBACK) as server, broker.Topics(Held()) as topics:
        topics.publish("prices.milk", 1)
        assert read(server)["pb_topics_waiting", ()] == before + 1
        await topics.published("prices.milk", 2)
        assert read(server)["pb_topics_waiting", ()] == before


async def test_closed_by_reason() -> None:
    """Connections that have ended are counted by the class of their error."""
    async with broker.serve(Shop(), LOOPBACK) as server:
        for is_kicked in (False, True, False):
            async with broker.connect(server.addresses[0]) as connection:
                await connection.root.callRemote("echo", 1)
                if is_kicked:
                    assert server.kick(number=server.stats.accepted) == 1
                    await connection.wait_closed()
            while server.connections:
                await server.connections[0].wait_closed()
        closed = {
            dict(labels)["reason"]: value
            for (name, labels), value in read(server).items()
            if name == "pb_connections_closed_total"
        }
        assert closed == {"ConnectionDone": 2, "ConnectionAborted": 1}


async def test_a_factory() -> None:
    """A factory of the published API has the same metrics, from the first text on."""
    factory = pb.PBServerFactory(PublishedShop(), observers=[prometheus.Metrics()])
    assert read(factory)["pb_connections", ()] == 0
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        address = f"pb://127.0.0.1:{port.getHost().port}"
        async with broker.connect(address) as connection:
            await connection.root.callRemote("echo", 1)
            found = read(factory)
            assert found["pb_connections", ()] == 1
            labels = (("method", "echo"), ("outcome", "answered"), ("target", "PublishedShop"))
            assert found["pb_calls_total", labels] == 1
        while factory.inspected.accepted:
            await asyncio.sleep(0)
        closed = [key for key in read(factory) if key[0] == "pb_connections_closed_total"]
        assert len(closed) == 1
    finally:
        await port.stopListening()

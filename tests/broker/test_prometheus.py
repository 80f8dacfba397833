"""The metrics of a server, read by Prometheus's own parser and compared with what was done."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import broker
from broker import prometheus
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


class Clock:
    """A clock that is set."""

    time = 0.0

    def now(self) -> float:
        """Return the time, and let some pass."""
        self.time += 0.004
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
        assert (found["pb_connections", ()], found["pb_connections_closed_total", ()]) == (0, 1)
        assert found["pb_received_bytes_total", ()] >= received


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

"""The inspector: what it shows of a server, against what is known to be there, and its acts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import broker
from broker.errors import Error, ServerBusy
from broker.inspection import inspector as module
from broker.inspection.contract import ORDERS, Inspection
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.credentials import UsernamePassword
from cred.identity import Identity
from cred.portal import Portal

LOOPBACK = "pb://127.0.0.1:0"
DIALECTS = pytest.mark.parametrize("dialect", ["msgpack/1", "pb"])


class Thing(broker.Referenceable):
    """An object that the client holds."""


class State(broker.Cacheable):
    """An object whose state the client holds."""

    def __init__(self) -> None:
        self.number = 1

    def stoppedObserving(self, perspective: Any, observer: Any) -> None:
        """Forget nothing."""

    def getTypeToCopy(self) -> str:
        """Return the tag."""
        return "test.inspector.State"

    def getStateToCacheAndObserveFor(self, perspective: Any, observer: Any) -> dict[str, int]:
        """Return the state."""
        return {"number": self.number}


@broker.register("test.inspector.State")
class Copy(broker.RemoteCache):
    """The client's part of it."""

    number: int


class Shop(broker.Root):
    """What is served."""

    def __init__(self) -> None:
        self.subscribers = broker.Subscribers()
        self.held: list[Any] = []

    def remote_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def remote_things(self, count: int) -> list[Thing]:
        """Return new objects."""
        return [Thing() for _ in range(count)]

    def remote_state(self) -> State:
        """Return a new one."""
        return State()

    def remote_follow(self, follower: Any) -> None:
        """Subscribe."""
        self.held.append(follower)
        self.subscribers.add(follower, slow=broker.Slow.DROP_OLDEST, most=7)

    async def remote_wait(self) -> None:
        """Wait until it is cancelled."""
        await asyncio.Event().wait()

    async def remote_count(self) -> AsyncIterator[int]:
        """Yield numbers."""
        for number in range(100_000):
            yield number


class Follower(broker.Referenceable):
    """A client's object."""

    def remote_told(self, text: str) -> None:
        """Hear it."""


def policy_of(dialect: str) -> broker.Policy:
    """Return the strict policy with one dialect."""
    return broker.STRICT.but(dialects=(dialect,))


@DIALECTS
async def test_one_connection(dialect: str) -> None:
    """Types, streams, subscriptions and running calls of a connection are those that are there."""
    async with (
        broker.serve(Shop(), LOOPBACK, policy=policy_of(dialect)) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        root = connection.root
        things = await root.callRemote("things", 3)
        state = await root.callRemote("state")
        await root.callRemote("follow", Follower())
        waiting = root.callRemote("wait")
        stream = broker.stream_of(await root.callRemote("count"))
        async for _ in stream:
            break
        inspector = module.Inspector(server)
        try:
            shown = await inspector.connection(1)
            listed = await inspector.connections()
        finally:
            inspector.stop()
        assert shown.exported_types.get("Thing") == 3 and "Shop" not in shown.exported_types
        assert shown.cached_out_types == {"State": 1}
        assert (shown.caches_out, shown.caches_in, shown.imports >= 1) == (1, 0, True)
        assert [(each.slow, each.waiting) for each in shown.subscription_list] == [
            ("DROP_OLDEST", 0)
        ]
        assert "wait" in [call.name for call in shown.oldest_calls]
        assert all(call.age >= 0 for call in shown.oldest_calls)
        if dialect == "msgpack/1":
            ((direction, name),) = [(each.is_outgoing, each.name) for each in shown.stream_list]
            assert (direction, name) == (True, "count")
        far = server.connections[0].broker
        if far.pings is not None:
            async with asyncio.timeout(20):
                while far.snapshot().round_trip is None:
                    await asyncio.sleep(0)
        assert (shown.dialect, shown.is_secure, shown.state) == (dialect, False, "flowing")
        assert (listed[0].number, listed[0].exported_types) == (1, {})
        assert listed[0].exports == shown.exports
        assert (shown.unsent_in_kernel is None) == (os.uname().sysname != "Linux")
        waiting.cancel()
        waiting.addErrback(lambda _: None)
        del things, state, stream


async def test_churn() -> None:
    """The census agrees with a model while connections and references come and go."""
    rng = random.Random(7)
    async with broker.serve(Shop(), LOOPBACK) as server:
        inspection = broker.inspector(server)
        inspector: Any = server.inspector
        open_ones: dict[int, tuple[Any, list[Any]]] = {}
        opened = 0
        for _ in range(60):
            act = rng.random()
            if act < 0.4 or not open_ones:
                opened += 1
                open_ones[opened] = (await broker.connect(server.addresses[0]), [])
            elif act < 0.8:
                number = rng.choice(list(open_ones))
                connection, held = open_ones[number]
                held.extend(await connection.root.callRemote("things", rng.randrange(1, 5)))
            else:
                number = rng.choice(list(open_ones))
                connection, held = open_ones.pop(number)
                held.clear()
                await connection.close()
                while any(each.number == number for each in server.accepted.values()):
                    await asyncio.sleep(0)
            shown = {each.number: each.exports for each in await inspector.connections()}
            assert shown == {number: len(held) for number, (_, held) in open_ones.items()}
        now = await inspector.server()
        assert (now.open, now.accepted, now.closed) == (
            len(open_ones),
            opened,
            opened - len(open_ones),
        )
        for connection, _ in open_ones.values():
            await connection.close()
        assert inspection is not None


async def test_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is that of the code that runs, not of what has been installed since."""
    runs = module.version("perspective-broker")
    async with broker.serve(Shop(), LOOPBACK) as server:
        broker.inspector(server)
        inspector: Any = server.inspector
        monkeypatch.setattr(module, "version", lambda name: "9.9")
        assert (await inspector.server()).version == runs


async def test_a_snapshot_of_a_server() -> None:
    """A program that has the server reads the same as an operator, until the server is closed."""
    async with broker.serve(Shop(), LOOPBACK) as server:
        async with broker.connect(server.addresses[0]) as connection:
            await connection.root.callRemote("echo", "hi")
            now = server.snapshot()
            assert (now.open, now.accepted, now.closed, now.state) == (1, 1, 0, "serving")
            assert now.addresses == list(server.addresses)
            inspector: Any = server.inspector
            asked = await inspector.server()
            assert (asked.open, asked.started, asked.pid) == (now.open, now.started, now.pid)
        await server.close()
        with pytest.raises(RuntimeError, match="this server is closed"):
            server.snapshot()


async def test_orders() -> None:
    """Each order has the largest first, and ``most`` limits the answer."""
    async with broker.serve(Shop(), LOOPBACK) as server:
        connections = [await broker.connect(server.addresses[0]) for _ in range(3)]
        for count, connection in enumerate(connections):
            for _ in range(count + 1):
                await connection.root.callRemote("echo", "x" * 100)
        broker.inspector(server)
        inspector: Any = server.inspector
        for order in ORDERS:
            numbers = [each.number for each in await inspector.connections(order=order, most=2)]
            assert len(numbers) == 2
            if order in ("calls", "bytes"):
                assert numbers == [3, 2]
            if order in ("number", "age"):
                assert numbers == [1, 2]
        for wrong in ({"order": "name"}, {"most": 0}, {"most": 10**9}):
            with pytest.raises(Error):
                await inspector.connections(**wrong)
        with pytest.raises(Error, match="there is no open connection 9"):
            await inspector.connection(9)
        for connection in connections:
            await connection.close()


@DIALECTS
async def test_over_the_socket(tmp_path: Path, dialect: str) -> None:
    """At the socket of operators, which only this user can open, the contract is the root."""
    path = tmp_path / "admin"
    policy = policy_of(dialect)
    async with broker.serve(Shop(), LOOPBACK, policy=policy, admin=f"pb+unix://{path}") as server:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        client = await broker.connect(server.addresses[0])
        async with broker.connect(f"pb+unix://{path}", policy=policy) as operator:
            assert operator.dialect == dialect
            inspection: Inspection = operator.root.of(Inspection)
            now = await inspection.server(history=True)
            assert (now.open, now.accepted, now.pid) == (1, 1, os.getpid())
            assert (await inspection.health()).is_ready
            (one,) = await inspection.connections()
            assert one.number == 1
            watched = []
            with broker.credit(items=1):
                async for snapshot in inspection.watch(0.1):
                    watched.append(snapshot.open)
                    if len(watched) == 3:
                        break
            assert watched == [1, 1, 1]
            assert await inspection.kick(number=1, reason="bye") == 1
            await client.wait_closed()
            assert await inspection.kick(number=1) == 0
            await inspection.drain(0)
        while not server._closed.is_set():
            await asyncio.sleep(0)
        assert not path.exists()


async def test_other_addresses() -> None:
    """Operators' data is not given out at a port without a login."""
    for address in ("pb://127.0.0.1:0", "pbs://127.0.0.1:0"):
        with pytest.raises(broker.ConfigError, match=r"^admin= takes a pb\+unix:// address; hand"):
            broker.serve(Shop(), LOOPBACK, admin=address)


async def test_a_failing_admin_socket(tmp_path: Path) -> None:
    """If the socket cannot be opened, the server is not started."""
    serving = broker.serve(Shop(), LOOPBACK, admin=f"pb+unix://{tmp_path}/no/such/folder")
    with pytest.raises(broker.CannotListenError):
        await serving


class Operator(broker.Avatar):
    """A user."""

    server: Any = None

    @broker.allow("operators")
    def perspective_inspector(self) -> Any:
        """Return the inspector."""
        return broker.inspector(self.server)

    def perspective_echo(self, value: Any) -> Any:
        """Return it."""
        return value


async def test_by_a_login(caplog: pytest.LogCaptureFixture) -> None:
    """An avatar gives it to its group; a kick by user has a line in the audit log."""

    class Checker(InMemoryUsernamePasswordDatabaseDontUse):
        async def requestAvatarId(self, credentials: Any) -> Any:
            name = await super().requestAvatarId(credentials)
            text = name.decode() if isinstance(name, bytes) else str(name)
            groups = frozenset({"operators"}) if text == "root" else frozenset()
            return Identity(text, groups=groups)

    caplog.set_level(logging.INFO, "broker.audit")
    checker = Checker(root="a", alice="b")
    portal = Portal(broker.realm(lambda name, mind: Operator()), [checker])
    async with broker.serve(portal, LOOPBACK) as server:
        Operator.server = server
        alice = await broker.connect(server.addresses[0], UsernamePassword("alice", "b"))
        with pytest.raises(Exception, match="you may not call"):
            await alice.avatar.callRemote("inspector")
        async with broker.connect(server.addresses[0], UsernamePassword("root", "a")) as operator:
            found = await operator.avatar.callRemote("inspector")
            inspection: Inspection = found.of(Inspection)
            users = [each.user for each in await inspection.connections()]
            assert sorted(users, key=str) == ["alice", "root"]
            assert await inspection.kick(user="alice") == 1
            await alice.wait_closed()
            assert await inspection.kick(user="nobody") == 0
            with pytest.raises(Error):
                await inspection.kick()
            with pytest.raises(Error):
                await inspection.kick(user="a", number=1)
    line = next(json.loads(r.getMessage()) for r in caplog.records if '"kick"' in r.getMessage())
    assert (line["operator"], line["act"], line["of"], line["count"]) == (
        "root",
        "kick",
        "alice",
        1,
    )


@DIALECTS
async def test_tap(dialect: str) -> None:
    """A tap tells names and sizes, never values, and ends with the connection."""
    async with broker.serve(Shop(), LOOPBACK, policy=policy_of(dialect)) as server:
        connection = await broker.connect(server.addresses[0])
        broker.inspector(server)
        inspector: Any = server.inspector
        entries = []

        async def read() -> None:
            async for entry in inspector.tap(1):
                entries.append(entry)

        (far,) = server.accepted
        reading = asyncio.create_task(read())
        while far.session.tracing is None:
            await asyncio.sleep(0)
        await connection.root.callRemote("echo", "secret")
        with pytest.raises(Exception, match="no_such"):
            await connection.root.callRemote("no_such")
        await connection.close()
        await reading
        told = [
            (each.is_incoming, each.kind, each.name) for each in entries if each.kind != "bytes"
        ]
        assert told[:2] == [(True, "call", "echo"), (False, "answer", "echo: answered")]
        assert (False, "answer", "no_such: refused") in told
        assert sum(each.size for each in entries if each.is_incoming) > 10
        assert "secret" not in repr(entries)


async def test_too_many_watchers(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are few watchers at once; one that has ended makes room."""
    monkeypatch.setattr(module, "MOST_WATCHERS", 1)
    async with broker.serve(Shop(), LOOPBACK) as server:
        broker.inspector(server)
        inspector: Any = server.inspector
        first = inspector.watch()
        await anext(first)
        with pytest.raises(ServerBusy, match=r"^1 watchers$"):
            await anext(inspector.watch())
        await first.aclose()
        second = inspector.watch()
        await anext(second)
        await second.aclose()
        with pytest.raises(Error):
            await anext(inspector.watch(0.01))


async def test_a_slow_connection() -> None:
    """A client that does not read is slow, and it is known since when."""
    policy = broker.STRICT.but(high_water=1000)
    async with (
        broker.serve(Shop(), LOOPBACK, policy=policy) as server,
        broker.connect(server.addresses[0]) as connection,
    ):
        root = connection.root
        await root.callRemote("echo", 1)
        broker.inspector(server)
        inspector: Any = server.inspector
        connection.broker.port.pause_reading()
        (far,) = server.accepted
        for _ in range(40):
            root.callRemote("echo", "x" * 500_000).addErrback(lambda _: None)
        async with asyncio.timeout(20):
            while True:
                (shown,) = await inspector.connections(order="unsent")
                if shown.slow_for is not None:
                    break
                await asyncio.sleep(0.01)
        assert shown.state in ("slow", "held")
        assert shown.unsent > 1000 and shown.slow_for >= 0
        if shown.unsent_in_kernel is not None:
            assert shown.unsent_in_kernel > 0
        far.port.abortConnection()


async def test_a_closed_server() -> None:
    """A closed server has no inspector."""
    async with broker.serve(Shop(), LOOPBACK) as server:
        pass
    with pytest.raises(RuntimeError, match="this server is closed"):
        broker.inspector(server)

"""A link: it connects again, its tasks run once a connection, and it moves away from a drain."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.linked import A, Office, linked, restart, turns
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.link import Connected, Connecting, Failed, Lost
from broker.testing.clock import virtual_clock
from cred import UsernamePassword
from cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from cred.error import UnauthorizedLogin
from cred.portal import Portal

DIALECTS = ["msgpack/1", "pb"]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> MemoryNet:
    """The network of the test."""
    return memory_net(monkeypatch)


def portal(office: Office) -> Portal:
    """A portal with one user, whose avatar has the methods of an office."""

    class Avatar(broker.Avatar):
        """Passes calls on."""

        def perspective_echo(self, value: Any) -> Any:
            """Return what came."""
            return office.remote_echo(value)

    users = InMemoryUsernamePasswordDatabaseDontUse(ann=b"wonderland")
    return Portal(broker.realm(lambda who, mind: Avatar()), [users])


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_calls_go_on_after_a_crash(net: MemoryNet, dialect: str) -> None:
    """The same reference works on each connection, and a call that is made between waits."""
    office, policy = Office(), POLICY.but(dialects=(dialect,))
    net.serve(A, office, policy)
    with virtual_clock():
        async with linked(policy=policy) as link:
            assert await link.root.callRemote("echo", 1) == 1
            net.crash(A)
            await turns()
            between = link.root.callRemote("echo", 2)
            await asyncio.sleep(3)
            assert not between.called
            net.serve(A, office, policy)
            assert await between == 2
            assert link.connection is not None
            assert await link.connection.root.callRemote("echo", 3) == 3


async def test_an_avatar(net: MemoryNet) -> None:
    """With credentials there is an avatar and no root; without, a root and no avatar."""
    net.serve(A, portal(Office()))
    async with linked(credentials=UsernamePassword("ann", "wonderland")) as link:
        assert await link.avatar.callRemote("echo", "x") == "x"
        with pytest.raises(AttributeError, match=r"use link\.avatar"):
            _ = link.root
    with pytest.raises(AttributeError, match=r"use link\.root"):
        _ = linked().avatar


async def test_the_first_login_is_refused(net: MemoryNet) -> None:
    """LoginFailed is raised by entering, and by the calls that waited."""
    net.serve(A, portal(Office()))
    link = linked(credentials=UsernamePassword("ann", "guess"))
    waiting = link.avatar.callRemote("echo", 1)
    with pytest.raises(UnauthorizedLogin):
        async with link:
            raise AssertionError("it was refused")
    with pytest.raises(UnauthorizedLogin):
        await waiting
    with pytest.raises(UnauthorizedLogin):
        await link.avatar.callRemote("echo", 1)
    assert isinstance(link.state, Failed)


async def test_entering_waits_for_a_server(net: MemoryNet) -> None:
    """A server that is down is waited for, as ``retry`` says."""
    with virtual_clock() as clock:
        asyncio.get_running_loop().call_later(100, net.serve, A, Office())
        async with linked() as link:
            assert clock.elapsed >= 100
            assert await link.root.callRemote("echo", 1) == 1
        net.crash(A)
        with pytest.raises(broker.ConnectionRefusedError):
            async with linked(retry=broker.Retry(give_up_after=50.0)):
                pass


async def test_a_link_is_entered_once(net: MemoryNet) -> None:
    """It cannot be entered twice, and not after its end."""
    net.serve(A, Office())
    async with linked() as link:
        with pytest.raises(RuntimeError, match="entered once"):
            await link.__aenter__()
    with pytest.raises(RuntimeError, match="entered once"):
        await link.__aenter__()


async def test_over_tls(tmp_path: Path, each_loop: Any) -> None:
    """A server that is restarted on real sockets, over TLS, with a login by password."""
    authority = Authority(tmp_path)
    pair = authority.issue()
    tls = broker.TLS.server(pair.certificate_path, pair.key_path)
    target = portal(Office())
    server = await broker.serve(target, "pbs://localhost:0", tls=tls)
    address = server.addresses[0]
    link = broker.Link(
        address,
        UsernamePassword("ann", "wonderland"),
        tls=broker.TLS.client(ca=authority.ca_path),
        retry=broker.Retry(first=0.05),
    )
    async with link:
        for number in range(3):
            assert await link.avatar.callRemote("echo", number) == number
            await server.close()
            server = await broker.serve(target, address, tls=tls)
        assert await link.avatar.callRemote("echo", "last") == "last"
    await server.close(drain=0)


# Tasks.


async def test_a_task_runs_once_a_connection(net: MemoryNet) -> None:
    """It begins behind the recipes, gets the connection, and is cancelled when that goes."""
    office = Office()
    net.serve(A, office)
    link = linked()
    log: list[str] = []

    @link.task
    async def follow(connection: broker.Connection) -> None:
        office.log.append("task")
        try:
            await connection.root.callRemote("echo", "in the task")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    room = link.root.recipe("room", "x")
    with virtual_clock():
        async with link:
            for number in range(3):
                while office.log.count("echo in the task") == number:
                    await asyncio.sleep(0.1)
                if number < 2:
                    await restart(net, office)
                    await asyncio.sleep(2)
    assert [each for each in office.log if each != "echo in the task"].count("task") == 3
    assert sorted(office.log) == ["echo in the task"] * 3 + ["room x"] * 3 + ["task"] * 3
    assert log == ["cancelled"] * 3
    assert room is not None


@pytest.mark.parametrize("how", ["Disconnected", "Deferred", "asyncio"])
async def test_a_task_that_ends_with_its_connection(net: MemoryNet, how: str) -> None:
    """Disconnected and both kinds of CancelledError end it silently."""
    errors: dict[str, BaseException] = {
        "Disconnected": broker.PBConnectionLost("x"),
        "Deferred": broker.defer.CancelledError(),
        "asyncio": asyncio.CancelledError(),
    }
    net.serve(A, Office())
    async with linked() as link:

        @link.task
        async def end(connection: broker.Connection) -> None:
            raise errors[how]

        await turns()
        assert await link.root.callRemote("echo", 1) == 1


async def test_a_task_that_fails_ends_the_link(net: MemoryNet) -> None:
    """Its error is raised by waiting and later calls, and by leaving the block."""
    office = Office()
    net.serve(A, office)
    link = linked()
    with pytest.raises(KeyError, match="the program's own"):
        async with link:

            @link.task
            async def end(connection: broker.Connection) -> None:
                raise KeyError("the program's own")

            await turns()
            with pytest.raises(KeyError):
                await link.root.callRemote("echo", 1)
            state = link.state
            assert isinstance(state, Failed)
            assert isinstance(state.error, KeyError)
    assert office.log == []


async def test_the_error_of_the_block_comes_first(net: MemoryNet) -> None:
    """If the block raises, that is what leaves it."""
    net.serve(A, Office())
    with pytest.raises(ZeroDivisionError):
        async with linked() as link:

            @link.task
            async def end(connection: broker.Connection) -> None:
                raise KeyError("x")

            await turns()
            raise ZeroDivisionError


# States.


async def test_states(net: MemoryNet) -> None:
    """A reader gets each state in its order; the iteration ends with the link."""
    office = Office()
    net.serve(A, office)
    link = linked()
    seen: list[Any] = []

    async def read() -> None:
        async for state in link.states():
            seen.append(state)

    reader = asyncio.create_task(read())
    with virtual_clock():
        async with link:
            await turns()
            net.crash(A)
            await asyncio.sleep(0.0001)
            net.serve(A, office)
            await link.root.callRemote("echo", 1)
            await turns()
    await reader
    kinds = [type(state) for state in seen]
    assert kinds[0] is Connecting
    assert kinds[1] is Connected
    assert Lost in kinds[2:] or Connecting in kinds[2:]
    assert kinds[-1] is Connected
    again = next(each for each in seen[2:] if isinstance(each, Connecting))
    assert again.attempt == 1
    assert 0 <= again.delay <= 0.5
    assert isinstance(again.reason, broker.ConnectionLost)


async def test_kicked_and_replaced(net: MemoryNet) -> None:
    """A goodbye *kicked* is followed by a login half a minute later; *replaced* ends the link."""
    office = Office()
    with virtual_clock() as clock:
        server = net.serve(A, office)
        with pytest.raises(broker.PBConnectionLost) as caught:
            async with linked() as link:
                await link.root.callRemote("echo", 0)
                server.connections[0].broker.leave("kicked", "an operator did it")
                began = clock.elapsed
                await turns()
                await link.root.callRemote("echo", 1)
                assert 30.0 <= clock.elapsed - began <= 31.0
                server.connections[0].broker.leave("replaced", "another login")
                await turns()
                with pytest.raises(broker.PBConnectionLost, match="another login"):
                    await link.root.callRemote("echo", 1)
        assert caught.value.goodbye == "replaced"


# The end.


async def test_closing(net: MemoryNet) -> None:
    """Calls that wait fail, and have surely not run; those that run may have."""
    office = Office()
    server = net.serve(A, office)
    async with linked() as link:
        running = link.root.callRemote("wait")
        while not office.waits:
            await asyncio.sleep(0)
    with pytest.raises(broker.PBConnectionLost) as caught:
        await running
    assert caught.value.may_have_run
    with pytest.raises(broker.PBConnectionLost, match="not run: the link is closed") as caught:
        await link.root.callRemote("echo", 1)
    assert not caught.value.may_have_run
    await server.close(drain=0)
    await link.close()


async def test_closing_while_it_connects(net: MemoryNet) -> None:
    """A link without a connection is closed at once, and so is one that is being entered."""
    net.serve(A, Office())
    with virtual_clock() as clock:
        async with linked() as link:
            net.crash(A)
            await asyncio.sleep(10)
            waiting = link.root.callRemote("echo", 1)
        with pytest.raises(broker.PBConnectionLost, match="the link is closed"):
            await waiting
        assert clock.elapsed < 11
        entering = asyncio.ensure_future(linked().__aenter__())
        await asyncio.sleep(10)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering


async def test_a_worker_drains_at_a_signal(net: MemoryNet) -> None:
    """At SIGTERM running calls of the server end, and the link is closed."""

    class Worker(broker.Referenceable):
        """Is called by the server."""

        def __init__(self) -> None:
            self.gate = asyncio.Event()

        async def remote_work(self) -> str:
            """Work until the gate opens."""
            signal.raise_signal(signal.SIGTERM)
            await self.gate.wait()
            return "worked"

    office, worker = Office(), Worker()
    server = net.serve(A, office)
    async with linked() as link:
        await link.root.callRemote("hear", worker)
        serving = asyncio.create_task(link.serve_forever())
        await turns()
        working = office.heard[0].callRemote("work")
        while server.connections[0].draining is None:
            await asyncio.sleep(0)
        worker.gate.set()
        assert await working == "worked"
        await serving
    await server.close(drain=0)


@pytest.mark.parametrize("patience", [-1, "3", True, None])
def test_wrong_arguments(patience: Any) -> None:
    """They are refused when the link is made."""
    with pytest.raises(broker.ConfigError, match="patience="):
        linked(patience=patience)
    with pytest.raises(broker.ConfigError):
        linked([])
    with pytest.raises(broker.ConfigError, match="retry="):
        linked(retry=3)


def test_repr() -> None:
    """It tells where to, and the state."""
    assert repr(linked()) == "<Link to pb://a:1, not connected>"

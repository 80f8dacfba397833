"""A link: it connects again, its tasks run once a connection, and it moves away from a drain."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any

import pytest
from support.linked import A, B, Office, linked, restart, turns
from support.memory_net import POLICY, MemoryNet, memory_net

import broker
from broker.link import Connected, Connecting, Failed, Link, Lost, Moving
from broker.stopping import Notice
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


# Moving.


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_it_moves(net: MemoryNet, dialect: str) -> None:
    """A call that runs ends on the old connection; new ones, recipes and tasks go to the other."""
    policy = POLICY.but(dialects=(dialect,))
    offices = {A: Office("a"), B: Office("b")}
    servers = {each: net.serve(each, office, policy) for each, office in offices.items()}
    link = linked((A, B), policy=policy)
    tasks: list[str] = []

    @link.task
    async def follow(connection: broker.Connection) -> None:
        tasks.append(await connection.root.callRemote("name"))
        await asyncio.Event().wait()

    with virtual_clock():
        async with link:
            room = link.root.recipe("room", "x")
            old = await link.root.callRemote("name")
            here, there = (A, B) if old == "a" else (B, A)
            running = link.root.callRemote("wait")
            await turns()
            connection = link.connection
            assert connection is not None
            closing = asyncio.create_task(servers[here].close(drain=60))
            await turns()
            # In PB's dialects this call is refused, and tells the link that the server drains.
            assert await room.callRemote("say", "hi") == "x: hi"
            assert await link.root.callRemote("name") == offices[there].name
            assert not connection.is_closed
            assert not running.called
            offices[here].gate.set()
            assert await running == old
            await closing
            assert connection.is_closed
            assert tasks == [old, offices[there].name]
            assert "room x" in offices[there].log
            assert link.state == Connected(link.connection)  # type: ignore[arg-type]


async def test_the_goodbye_of_a_client_that_moves(net: MemoryNet) -> None:
    """The old server is told *moved* by a client that has another connection."""
    offices = {A: Office("a"), B: Office("b")}
    servers = {each: net.serve(each, office) for each, office in offices.items()}
    async with linked(A) as other, linked((A, B), retry=broker.Retry(first=0.0)) as link:
        # Another client, whose call keeps the server from its end.
        waiting = other.root.callRemote("wait")
        while await link.root.callRemote("name") == "b":
            servers[B].connections[0].broker.leave("closing", "go to the other server")
            await turns()
        end = next(each for each in servers[A].connections if each.peer.address.port != 40_000)
        closing = asyncio.create_task(servers[A].close(drain=60))
        await end.wait_closed()
        assert not waiting.called
        offices[A].gate.set()
        await closing
        reason: Any = end.broker.reason
        assert (reason.goodbye, str(reason)) == (
            "moved",
            "the peer closed the connection: the client has another connection",
        )


async def first_move(link: Link) -> Moving:
    """The next state in which a link moves."""
    async for state in link.states():
        if isinstance(state, Moving):
            return state
    raise AssertionError("it did not move")


async def test_elsewhere(net: MemoryNet) -> None:
    """A link goes to the address that the server names on a host that it knows, and to no other."""
    office, other = Office("a"), Office("other")
    named = ("pb://stranger:1", "pb+exec:false", "pb://a:9")
    server = net.serve(A, office, notice=Notice(5.0, named))
    net.serve("pb://a:9", other)
    net.serve("pb://stranger:1", Office("stranger"))
    with virtual_clock() as clock:
        async with linked() as link:
            running = link.root.callRemote("wait")
            await turns()
            moving = asyncio.create_task(first_move(link))
            closing = asyncio.create_task(server.close(drain=60))
            assert await moving == Moving("pb://a:9")
            assert await link.root.callRemote("name") == "other"
            assert clock.elapsed < 5
            office.gate.set()
            assert await running == "a"
            await closing
    assert net.dialled == {A: 1, "pb://a:9": 1}


async def test_a_task_on_a_server_that_drains(net: MemoryNet) -> None:
    """A task whose call is refused there ends silently; the next connection has its own."""
    offices = {each: Office(each) for each in (A, B)}
    servers = {each: net.serve(each, offices[each]) for each in (A, B)}
    link = linked((A, B))
    refused: list[BaseException] = []

    @link.task
    async def work(connection: broker.Connection) -> None:
        try:
            while True:
                await connection.root.callRemote("echo", 1)
                await asyncio.sleep(0.01)
        except BaseException as error:
            refused.append(error)
            raise

    with virtual_clock():
        async with link:
            here = await link.root.callRemote("name")
            running = link.root.callRemote("wait")
            await turns()
            closing = asyncio.create_task(servers[here].close(drain=60))
            await asyncio.sleep(1)
            offices[here].gate.set()
            await running
            await closing
            assert await link.root.callRemote("name") != here
    assert isinstance(refused[0], broker.ServerDraining)


@pytest.mark.timeout(60)
async def test_a_drain_with_two_hundred_links(net: MemoryNet) -> None:
    """No call ends with ServerDraining, and none runs twice, while clients move to and fro."""
    ran: Counter[int] = Counter()
    failed: list[BaseException] = []
    made = 0
    is_over = False

    class Counting(Office):
        """Counts the calls of all servers together."""

        def remote_count(self, number: int) -> int:
            """Count a call."""
            ran[number] += 1
            return number

        async def remote_slowly(self, number: int) -> int:
            """Count a call, and answer later."""
            ran[number] += 1
            await asyncio.sleep(0.5)
            return number

    async def work(link: Link) -> None:
        nonlocal made
        while not is_over:
            made += 1
            name = "count" if made % 3 else "slowly"
            try:
                await link.root.callRemote(name, made)
            except BaseException as error:
                failed.append(error)
                raise
            await asyncio.sleep(0.2)

    with virtual_clock():
        servers = {each: net.serve(each, Counting(each)) for each in (A, B)}
        links = [linked((A, B)) for _ in range(200)]
        await asyncio.gather(*(link.__aenter__() for link in links))
        workers = [asyncio.create_task(work(link)) for link in links]
        for number in range(4):
            here = (A, B)[number % 2]
            await asyncio.sleep(2)
            await servers[here].close(drain=60)
            servers[here] = net.serve(here, Counting(here))
        is_over = True
        await asyncio.gather(*workers)
        await asyncio.gather(*(link.close() for link in links))
    assert failed == []
    assert made > 2000
    assert set(ran) == set(range(1, made + 1))
    assert max(ran.values()) == 1


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
